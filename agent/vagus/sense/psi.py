# SPDX-License-Identifier: MIT
"""Read pressure stall information of the machine and of workloads; wake on it.

Samples are the stall totals, which the kernel brings up to date whenever they are
read (psi_show() in kernel/sched/psi.c; seen on 6.12 and 7.3); triggers make it wake
the loop when a resource stalls for longer than a share of a window
(Documentation/accounting/psi.rst).
"""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from vagus.flow import Event, Sample, SourceState
from vagus.sense.files import Kept, pressure

RESOURCES = ("cpu", "io", "memory")
OFF = "PSI is off in this kernel: boot with psi=1"


class PsiSensor:
    """Stall totals and triggers; owns descriptors and an epoll."""

    name = "psi"

    def __init__(
        self,
        root: Path = Path("/sys/fs/cgroup"),
        proc: Path = Path("/proc"),
        triggers: bool = True,
        active: Callable[[], Iterable[str] | None] = lambda: None,
        stall_us: int = 75_000,
        window_us: int = 500_000,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Wake when the machine stalls `stall_us` within `window_us`.

        `active` names the workloads worth reading; None means all.  The window
        is 500 ms to 10 s by the kernel's rule.
        """
        self._files = Kept(root)
        self._machine = Kept(proc)
        self._proc = proc
        self._folder = str(proc / "pressure")
        self._is_there = os.path.isdir(self._folder)
        self._active = active
        self._clock = clock
        self._wish = f"some {stall_us} {window_us}\0".encode()
        self._workloads: dict[str, tuple[str, int]] = {}
        # Between ticks: whom alone to read, and not the machine; None: everybody.
        self.only: Collection[str] | None = None
        self._epoll = select.epoll()
        self._triggers: dict[int, str] = {}
        self._no_trigger = ""
        if triggers:
            self._arm()

    def follow(self, workloads: Mapping[str, tuple[str, int]]) -> None:
        """Watch these workloads: name -> (cgroup path, cgroup id)."""
        for name, place in self._workloads.items():
            if workloads.get(name) != place:
                self._files.forget(place[0])
        self._workloads = dict(workloads)

    def read(self) -> list[Sample]:
        """Return stall totals in microseconds, of the machine under ''."""
        now = self._clock()
        samples: list[Sample] = []
        if self.only is None:
            self._is_there = os.path.isdir(self._folder)
            for resource in RESOURCES:
                data = self._machine.read("/pressure", resource, 512)
                samples += self._samples("", resource, data, now)
        named = self._active() if self.only is None else self.only
        for name in self._workloads if named is None else named:
            if name not in self._workloads:
                continue
            path = self._workloads[name][0]
            for resource in RESOURCES:
                data = self._files.read(path, f"{resource}.pressure", 512)
                samples += self._samples(name, resource, data, now)
        return samples

    def events(self) -> list[Event]:
        """Take the wake-up; nothing to tell, since its source is not known.

        Polling a trigger takes its event, and whoever polled fileno() has done
        so; the totals will tell.
        """
        self._epoll.poll(0)
        return []

    def state(self) -> SourceState:
        """Return files read; missing where the kernel does not account PSI."""
        reads = self._files.reads + self._machine.reads
        refused = {**self._machine.refused, **self._files.refused}
        if not self._is_there:
            return SourceState(reads, 0, OFF)
        if errno.EOPNOTSUPP in refused.values():
            return SourceState(reads, 0, OFF)
        return SourceState(reads, 0, "")

    @property
    def trigger_problem(self) -> str:
        """Return why there is no wake-up; empty where there is one."""
        return self._no_trigger

    def fileno(self) -> int:
        """Return a descriptor that is readable when a trigger fired, or -1."""
        return self._epoll.fileno() if self._triggers else -1

    def close(self) -> None:
        """Take the triggers back and close everything."""
        for fd in self._triggers:
            os.close(fd)
        self._triggers.clear()
        self._epoll.close()
        self._files.close()
        self._machine.close()

    def _arm(self) -> None:
        """Set one trigger a resource; without the right there is no wake-up."""
        for resource in RESOURCES:
            path = self._proc / "pressure" / resource
            try:
                fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                self._no_trigger = f"{path}: {error.strerror}"
                continue
            try:
                os.write(fd, self._wish)
                self._epoll.register(fd, select.EPOLLPRI)
            except OSError as error:
                self._no_trigger = f"{path}: {error.strerror}"
                os.close(fd)
                continue
            self._triggers[fd] = resource

    def _samples(
        self, name: str, resource: str, data: bytes | None, now: int
    ) -> list[Sample]:
        """Return the totals of one pressure file as counters."""
        totals = pressure(data) if data else {}
        return [
            Sample(
                self.name,
                name,
                f"psi_{resource}_{kind.decode()}_us",
                "counter",
                now,
                float(total),
            )
            for kind, total in totals.items()
        ]
