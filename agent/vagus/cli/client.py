# SPDX-License-Identifier: MIT
"""A client's side of the socket."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import msgspec

from vagus.cli import protocol
from vagus.cli.board import Board
from vagus.errors import DaemonError, VagusError

TIMEOUT_S = 3.0  # for the agent to answer

T = TypeVar("T")


class RemoteError(VagusError):
    """The agent's own words, with the exit code that it gave."""

    def __init__(self, message: str, code: int) -> None:
        """Keep the code."""
        super().__init__(message)
        self.exit_code = code


class Client:
    """Owns a connection to the agent; a context manager."""

    def __init__(self, path: Path) -> None:
        """Connect; DaemonError with the remedy where that cannot be."""
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(TIMEOUT_S)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise DaemonError(_remedy(path, error)) from error
        self._file = self._socket.makefile("rwb")

    def close(self) -> None:
        """Hang up; what the agent did not take any more is no error here."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._socket.close()

    def hang_up(self) -> None:
        """End a watch() that another thread waits in."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Client:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close; an answer that is none becomes a DaemonError."""
        self.close()
        if isinstance(error, msgspec.DecodeError):
            raise DaemonError(
                f"what answers at {self.path} is no agent of this version ({error});"
                " restart it, or name another socket with --socket"
            ) from error

    def ask(self, do: str, args: Mapping[str, str] | None = None) -> msgspec.Raw:
        """Send a request and return the raw result; the agent's error is raised."""
        request = protocol.Request(protocol.VERSION, do, dict(args or {}))
        try:
            self._file.write(msgspec.json.encode(request) + b"\n")
            self._file.flush()
        except OSError as error:
            raise DaemonError(_remedy(self.path, error)) from error
        return self._next()

    def board(self) -> Board | None:
        """Return the present."""
        return msgspec.json.decode(self.ask("board"), type=Board | None)

    def order(self, do: str, args: Mapping[str, str]) -> str:
        """Give an order and return the agent's sentence."""
        return msgspec.json.decode(self.ask(do, args), type=str)

    def watch(self) -> Iterator[Board]:
        """Yield the present now and after every window."""
        result = self.ask("watch")
        self._socket.settimeout(None)
        while True:
            board = msgspec.json.decode(result, type=Board | None)
            if board is not None:
                yield board
            result = self._next()

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def _next(self) -> msgspec.Raw:
        try:
            line = self._file.readline()
        except OSError as error:
            raise DaemonError(_remedy(self.path, error)) from error
        if not line:
            raise DaemonError(
                f"the agent at {self.path} hung up; only root and the group vagus"
                " may ask it"
            )
        reply = msgspec.json.decode(line, type=protocol.Reply)
        if reply.v != protocol.VERSION:
            raise DaemonError(
                f"the agent at {self.path} speaks version {reply.v}, this is version"
                f" {protocol.VERSION}; restart it after an upgrade"
            )
        if not reply.ok:
            raise RemoteError(reply.error, reply.code)
        return reply.result


def _remedy(path: Path, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"not allowed to ask the agent at {path}; use sudo"
    if isinstance(error, TimeoutError):
        return f"the agent at {path} does not answer; see its log"
    return f"no agent runs here ({path}); start it with `vagus run`"
