# SPDX-License-Identifier: MIT
"""Cut guests off while they record: kill -9 of QEMU, and look at what is left.

usage: python3 vm/cut.py [CUTS]

All share one disk.  What a guest had told its disk is there after the kill, as with
a disk whose own cache is off; what lay in its page cache is gone.  The next guest
mounts it, which replays the file system's journal, says what it found (see
tests/vm/cutoff.py), and records on, to be cut off itself.  Adds to
.output/bench/record.json.  Runs on the host with the standard library alone.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE))

from vm import run  # noqa: E402

OUT = HERE / ".output/bench/record.json"
DISK_BYTES = 64 << 20
MOST_LOST_S = 2.0
# Its first second is not on the disk yet, and all before is another guest's.
LEAST_S, MOST_S = 2.0, 5.0


def guest(folder: Path, console: Path, cut_after_s: float | None) -> str:
    """Boot a guest; cut it off, at once where it is not to record; return its words."""
    for name in ("out", "started", "note.new", "found"):
        (folder / name).unlink(missing_ok=True)
    args = run.parse(["--", "python", "tests/vm/cutoff.py", "/dev/vdb", "/run-vagus"])
    (folder / "command").write_text(run.command(args.command))
    (folder / "env").touch()
    disk = f"file={folder}/disk,format=raw,if=virtio,cache=writeback"
    argv = [*run.qemu_argv(args, folder, console), "-drive", disk]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, start_new_session=True)
    try:
        with run.connect(folder / "out", process) as client:
            client.settimeout(0.05)
            said, end = b"", time.monotonic() + run.BOOT_S
            while not (folder / "found").exists() or (
                cut_after_s is not None and not (folder / "note.new").exists()
            ):
                with contextlib.suppress(TimeoutError):
                    said += client.recv(65536)
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"cut: the guest failed: {said.decode()}")
            time.sleep(cut_after_s or 0)
    finally:
        process.kill()
        process.communicate()
    return (folder / "found").read_text()


def cuts(folder: Path, count: int) -> list[tuple[float, str]]:
    """Cut so many guests off; return what each lost, and what was said of the file."""
    with (folder / "disk").open("wb") as file:
        file.truncate(DISK_BYTES)
    rng, told = random.Random(7), []
    for number in range(count + 1):
        after_s = rng.uniform(LEAST_S, MOST_S) if number < count else None
        said = guest(folder, HERE / ".output/vm/cut-console.log", after_s)
        if number:
            lost_s, integrity = said.split(" ", 1)
            told.append((float(lost_s), integrity))
            print(f"cut {number}: {lost_s} s lost, {integrity}", flush=True)
    return told


def main(argv: list[str]) -> int:
    """Cut, print, write; 1 where something was corrupt or too much was lost."""
    count = int(argv[0]) if argv else 2
    (HERE / ".output/vm").mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="vagus-cut-"))
    try:
        told = cuts(folder, count)
    finally:
        shutil.rmtree(folder)
    worst = max(lost_s for lost_s, _ in told)
    corrupt = sum(said != "ok" for _, said in told)
    print(f"{count} guests cut off: {corrupt} corrupt, at most {worst} s lost")
    found = json.loads(OUT.read_text()) if OUT.exists() else {}
    crash = found.setdefault("crash", {"kills": 0, "corrupt": 0, "max_lost_s": 0.0})
    crash["guests_cut_off"] = count
    crash["corrupt"] += corrupt
    crash["max_lost_s"] = max(crash["max_lost_s"], worst)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=2) + "\n")
    return int(corrupt > 0 or worst > MOST_LOST_S)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
