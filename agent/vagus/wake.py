# SPDX-License-Identifier: MIT
"""Waiting: descriptors, signals and a deadline in one place.

A class owns the epoll descriptor and the signals' pipe, and puts the old signal
handlers back.
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
from types import FrameType, TracebackType
from typing import Self

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# kernfs files always report EPOLLIN and keep EPOLLPRI until they are read, so
# both are asked for by edge: what is drained once is quiet until it moves again.
EDGE = select.EPOLLIN | select.EPOLLPRI | select.EPOLLET


class Waker:
    """Sleeps until a descriptor is ready, a signal came, or the time is up."""

    def __init__(self, signals: tuple[signal.Signals, ...] = SIGNALS) -> None:
        """Catch the signals from now on."""
        self._epoll = select.epoll()
        self._names: dict[int, str] = {}
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self._came: set[signal.Signals] = set()
        self._old_fd = signal.set_wakeup_fd(self._writer.fileno())
        self._old = {sig: signal.signal(sig, self._note) for sig in signals}
        self._epoll.register(self._reader.fileno(), select.EPOLLIN)

    def watch(self, name: str, fd: int, *, edge: bool = False) -> None:
        """Wake with this name when the descriptor is ready; -1 is no descriptor.

        A name that is watched already is moved to the new descriptor.
        """
        if fd in self._names and self._names[fd] == name:
            return
        self.forget(name)
        if fd < 0:
            return
        with contextlib.suppress(FileExistsError):
            self._epoll.register(fd, EDGE if edge else select.EPOLLIN)
            self._names[fd] = name

    def forget(self, name: str) -> None:
        """Watch no longer; a descriptor that was closed left by itself."""
        for fd in [fd for fd, other in self._names.items() if other == name]:
            del self._names[fd]
            with contextlib.suppress(OSError, ValueError):
                self._epoll.unregister(fd)

    def wait(self, seconds: float) -> set[str]:
        """Return the names of what is ready; empty when the time is up."""
        ready = {fd for fd, _ in self._epoll.poll(max(0.0, seconds))}
        if self._reader.fileno() in ready:
            with contextlib.suppress(BlockingIOError):
                while self._reader.recv(64):
                    pass
        return {self._names[fd] for fd in ready if fd in self._names}

    def signals(self) -> set[signal.Signals]:
        """Return the signals that came since the last call."""
        came, self._came = self._came, set()
        return came

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came.add(signal.Signals(number))

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the handlers back and close."""
        signal.set_wakeup_fd(self._old_fd)
        for sig, handler in self._old.items():
            signal.signal(sig, handler)
        self._epoll.close()
        self._reader.close()
        self._writer.close()
