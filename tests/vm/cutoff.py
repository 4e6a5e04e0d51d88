# SPDX-License-Identifier: MIT
"""In a guest that vm/cut.py cuts off: say what the last one left, then record.

usage: python tests/vm/cutoff.py DEVICE FOLDER

FOLDER is the host's.  The guest's word for what it found is in `found`; `note` has
the time of the last record that was handed over, `note.new` says that it is of now.
"""

import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "agent"), str(TOP)]

from tests.unit.record import writing  # noqa: E402
from tests.vm.powercut import left, mounted, run  # noqa: E402


def main(device: str, folder: Path) -> None:
    """Look, and record until the power goes."""
    note, is_new = folder / "note", not (folder / "note").exists()
    if is_new:
        run("mkfs.ext4", "-q", device)
    with mounted(device, Path("/mnt/cut")) as place:
        said = "a new disk"
        if not is_new:
            lost_s, integrity = left(place / "record.db", writing.last_ns(note))
            said = f"{lost_s:.2f} {integrity}"
        (folder / "found.part").write_text(said)
        (folder / "found.part").rename(folder / "found")
        writer = writing.start(place / "record.db", note)
        (folder / "note.new").touch()
        writer.wait()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
