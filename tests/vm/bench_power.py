# SPDX-License-Identifier: MIT
"""Power cuts under the recorder, in the VM; adds them to .output/bench/record.json.

usage: python tests/vm/bench_power.py [CUTS]
"""

import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.vm.powercut import cuts

OUT = Path(__file__).parents[2] / ".output/bench/record.json"


def main(argv: list[str]) -> int:
    """Cut, print, write; 1 where something was corrupt or too much was lost."""
    count = int(argv[0]) if argv else 20
    rng = random.Random(5)
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        told = cuts(folder, count, tuple(rng.random() for _ in range(count)))
    finally:
        shutil.rmtree(folder)
    worst = round(max(lost_s for lost_s, _ in told), 2)
    corrupt = sum(said != "ok" for _, said in told)
    print(f"{count} power cuts: {corrupt} corrupt, at most {worst} s lost")
    found = json.loads(OUT.read_text()) if OUT.exists() else {}
    crash = found.setdefault("crash", {"kills": 0, "corrupt": 0, "max_lost_s": 0.0})
    crash["power_cuts"] = count
    crash["corrupt"] += corrupt
    crash["max_lost_s"] = max(crash["max_lost_s"], worst)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=2) + "\n")
    return int(corrupt > 0 or worst > 2)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
