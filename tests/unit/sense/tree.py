# SPDX-License-Identifier: MIT
"""A fake cgroup2 mount and a fake /proc, for sensors with a root parameter."""

from pathlib import Path

PRESSURE = (
    "some avg10=0.00 avg60=0.00 avg300=0.00 total={some}\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
)


class Tree:
    """Directories and files as the kernel would show them."""

    def __init__(self, base: Path) -> None:
        self.root = base / "cgroup"
        self.proc = base / "proc"
        self.sys = base / "sys"
        for path in (self.root, self.proc / "self", self.proc / "pressure", self.sys):
            path.mkdir(parents=True)
        (self.proc / "self/cgroup").write_text("0::/vagus\n")
        (self.proc / "meminfo").write_text(
            "MemTotal:        1000000 kB\nMemAvailable:     400000 kB\n"
        )
        (self.root / "cgroup.procs").write_text("")
        self.pressure("", some_cpu=0)
        for name in ("cpu", "io", "memory"):
            (self.proc / "pressure" / name).write_text(PRESSURE.format(some=0))
        (self.root / "cpu.stat").write_text("usage_usec 0\n")

    def make(self, path: str, *processes: tuple[int, str, str]) -> Path:
        """Make a cgroup with processes of (pid, comm, exe)."""
        folder = self.root / path
        folder.mkdir(parents=True, exist_ok=True)
        for level in [folder, *folder.parents]:
            if level == self.root:
                break
            (level / "cgroup.procs").touch()
            if not (level / "cgroup.events").exists():
                (level / "cgroup.events").write_text("populated 0\nfrozen 0\n")
        self.usage(path, 0)
        self.pressure(path)
        (folder / "memory.current").write_text("1048576\n")
        (folder / "memory.stat").write_text("anon 1\nworkingset_refault_file 0\n")
        (folder / "memory.events").write_text("low 0\nhigh 0\nmax 0\noom_kill 0\n")
        (folder / "io.stat").write_text("")
        self.fill(path, *processes)
        return folder

    def fill(self, path: str, *processes: tuple[int, str, str]) -> None:
        """Put these processes, and no others, into a cgroup."""
        folder = self.root / path
        for pid, comm, exe in processes:
            (self.proc / str(pid)).mkdir(exist_ok=True)
            (self.proc / str(pid) / "comm").write_bytes(comm.encode() + b"\n")
            link = self.proc / str(pid) / "exe"
            link.unlink(missing_ok=True)
            link.symlink_to(exe)
        pids = "".join(f"{pid}\n" for pid, _, _ in processes)
        (folder / "cgroup.procs").write_text(pids)
        (folder / "cgroup.events").write_text(f"populated {int(bool(pids))}\n")

    def usage(self, path: str, usage_usec: int) -> None:
        """Set the CPU time used so far."""
        text = f"usage_usec {usage_usec}\nuser_usec {usage_usec}\nnew_field 7\n"
        (self.root / path / "cpu.stat").write_text(text)

    def pressure(self, path: str, **some: int) -> None:
        """Set the stall totals, in microseconds: some_cpu, some_io, some_memory."""
        for name in ("cpu", "io", "memory"):
            total = some.get(f"some_{name}", 0)
            file = self.root / path / f"{name}.pressure"
            file.write_text(PRESSURE.format(some=total))

    def remove(self, path: str) -> None:
        """Remove a cgroup as rmdir does: its files vanish with it."""
        folder = self.root / path
        for child in folder.iterdir():
            if child.is_dir():
                self.remove(f"{path}/{child.name}")
            else:
                child.unlink()
        folder.rmdir()
