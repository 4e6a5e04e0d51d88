#!/bin/sh
# SPDX-License-Identifier: MIT
# Add up what the test runs wrote, name what was skipped; fail where one is missing,
# empty or broken.
set -eu
exec python3 - <<'END'
import sys
import xml.etree.ElementTree as tree
from collections import Counter
from pathlib import Path

total = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
bad = False
for name in ("host", "vm-7.3", "vm-6.12", "vm-timed", "vm-agent", "vm-stress"):
    path = Path(f".output/test/{name}.xml")
    if not path.exists():
        print(f"  {name:9} did not run to its end; see .output/test")
        bad = True
        continue
    suite = tree.parse(path).getroot().find("testsuite")
    counts = {key: int(suite.get(key, 0)) for key in total}
    for key in total:
        total[key] += counts[key]
    broken = counts["failures"] + counts["errors"]
    passed = counts["tests"] - broken - counts["skipped"]
    bad |= broken > 0 or passed == 0
    print(
        f"  {name:9} {passed:4} passed {broken:3} failed {counts['skipped']:3} skipped"
        f"  {float(suite.get('time', 0)):6.0f} s"
    )
    reasons = Counter(skip.get("message", "") for skip in suite.iter("skipped"))
    for reason, times in reasons.items():
        print(f"            skipped: {reason}" + (f" ({times} tests)" if times > 1 else ""))
broken = total["failures"] + total["errors"]
passed = total["tests"] - broken - total["skipped"]
print(f"{passed} passed, {broken} failed, {total['skipped']} skipped")
sys.exit(bad)
END
