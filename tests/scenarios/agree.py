# SPDX-License-Identifier: MIT
"""Do two runs of the lab agree?  Compares two of its result files.

usage: python agree.py ONE/lab.json OTHER/lab.json
A row agrees where the first run's interval covers the second run's median.  Exits
with 1 where fewer than 90 % of the rows do.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

AIM = 0.9
Key = tuple[str, ...]


def keyed(rows: Sequence[Mapping[str, Any]]) -> dict[Key, Mapping[str, Any]]:
    """Return rows by what they are of."""
    names = ("scenario", "variant", "phase", "arm", "metric")
    return {tuple(str(row[name]) for name in names): row for row in rows}


def compare(
    ones: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]
) -> tuple[int, list[str], int]:
    """Return (rows that agree, those that do not, rows nothing can be said of)."""
    first, second = keyed(ones), keyed(others)
    agree, apart, silent = 0, [], 0
    for key, row in first.items():
        other = second.get(key)
        known = other is not None and other["median"] is not None
        if not known or row["lo"] is None or row["hi"] is None:
            silent += 1
            continue
        assert other is not None
        # lab.json has six digits after the point.
        if row["lo"] - 1e-6 <= other["median"] <= row["hi"] + 1e-6:
            agree += 1
        else:
            apart.append(
                f"{' '.join(key)}: {row['lo']:g} to {row['hi']:g} does not cover"
                f" {other['median']:g}"
            )
    return agree, apart, silent


def main(argv: Sequence[str]) -> int:
    """Compare two files; return the exit status."""
    if len(argv) != 2:
        print("usage: python agree.py ONE/lab.json OTHER/lab.json", file=sys.stderr)
        return 2
    ones, others = (json.loads(Path(path).read_text())["rows"] for path in argv)
    agree, apart, silent = compare(ones, others)
    total = agree + len(apart)
    if not total:
        print("agree: the two files have no row in common with an interval")
        return 2
    for line in apart:
        print(f"  {line}")
    print(
        f"{agree} of {total} rows agree ({100 * agree / total:.0f} %, aim:"
        f" {100 * AIM:.0f} %); nothing can be said of {silent}"
    )
    return 0 if agree >= AIM * total else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
