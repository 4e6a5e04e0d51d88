# SPDX-License-Identifier: MIT
"""The agent's side of the socket: answers clients without ever waiting.

The loop polls fileno() and calls service(), which does a bounded amount of work.
Every socket is non-blocking.  A client that does not read misses windows and is
then cut off; one that asks too much, or nonsense, is cut off at once.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import selectors
import socket
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

import msgspec

from vagus.cli import protocol
from vagus.cli.board import Signals, Tracker
from vagus.errors import DaemonError, PrivilegeError, VagusError
from vagus.flow import Record
from vagus.record.schema import GROUP

CLIENTS = 32  # at once; more are turned away
BACKLOG_BYTES = 4 << 20  # unsent to one client before it is cut off
READS = ("plan", "trial")  # orders that change nothing
READ_BYTES = 16 * 1024  # taken from one client in one call
EVENTS = 16  # sockets looked at in one call
BURST = 40  # requests of one client at once ...
REQUESTS_PER_S = 20.0  # ... and in the long run

Order = Callable[[Mapping[str, str]], object]


class Client:
    """One connection: its peer, what it sent in part, what it was not sent yet."""

    def __init__(self, peer: socket.socket, may_change: bool) -> None:
        """Own the socket."""
        self.peer = peer
        self.may_change = may_change
        self.is_watching = False
        self.inbox = b""
        self.outbox = b""
        self._tokens = float(BURST)
        self._last = time.monotonic()

    def may_ask(self) -> bool:
        """Take one token of this client's allowance, if there is one."""
        now = time.monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._last) * REQUESTS_PER_S)
        self._last = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def send(self, line: bytes) -> bool:
        """Send what the kernel takes and keep the rest; False where it is too much."""
        self.outbox += line
        with contextlib.suppress(BlockingIOError):
            sent = self.peer.send(self.outbox)
            self.outbox = self.outbox[sent:]
        return len(self.outbox) <= BACKLOG_BYTES


class Server:
    """Owns the listening socket and the clients; a context manager."""

    def __init__(
        self,
        path: Path,
        orders: Mapping[str, Order],
        signals: Signals = lambda _: {},
    ) -> None:
        """Listen; DaemonError where another agent does, or the path cannot be.

        The orders may be filled in later.
        """
        self.path = path
        self._orders = orders
        self._tracker = Tracker(signals)
        self._record: Record | None = None
        self._clients: dict[int, Client] = {}
        self._listener = _listen(path)
        # An epoll descriptor can itself be polled: the loop needs no other.
        self._selector = selectors.EpollSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)

    def fileno(self) -> int:
        """Return a descriptor that is readable when service() has work."""
        return self._selector.fileno()

    def close(self) -> None:
        """Cut every client off and remove the socket."""
        for client in [*self._clients.values()]:
            self._drop(client)
        self._selector.close()
        self._listener.close()
        with contextlib.suppress(OSError):
            self.path.unlink()

    def __enter__(self) -> Server:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def publish(self, record: Record, left_ms: Mapping[int, int] | None = None) -> None:
        """Take the newest record, and send it to those who watch.

        `left_ms`: time left of leases, by number.
        """
        self._record = record
        self._tracker.follow(record, left_ms)
        watchers = [one for one in self._clients.values() if one.is_watching]
        if not watchers:
            return
        line = protocol.reply(self._tracker.board())
        for client in watchers:
            # Who has not read the last one misses this one.
            if not client.outbox:
                self._send(client, line)

    def service(self) -> None:
        """Accept, read, answer and send, as far as that goes without waiting."""
        for key, ready in self._selector.select(0)[:EVENTS]:
            if key.fileobj is self._listener:
                self._accept()
                continue
            client = self._clients.get(key.fd)
            if client is None:
                continue
            if ready & selectors.EVENT_WRITE:
                self._send(client, b"")
            if ready & selectors.EVENT_READ and key.fd in self._clients:
                self._receive(client)

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return
        peer.setblocking(False)
        uid, gid = _credentials(peer)
        if len(self._clients) >= CLIENTS or not may_read(uid, gid):
            peer.close()
            return
        self._clients[peer.fileno()] = Client(peer, may_change=uid == 0)
        self._selector.register(peer, selectors.EVENT_READ)

    def _drop(self, client: Client) -> None:
        self._clients.pop(client.peer.fileno(), None)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(client.peer)
        client.peer.close()

    def _send(self, client: Client, line: bytes) -> None:
        """Send; look for room to write only while something is unsent."""
        try:
            if not client.send(line):
                return self._drop(client)
        except OSError:
            return self._drop(client)
        wanted = selectors.EVENT_READ
        if client.outbox:
            wanted |= selectors.EVENT_WRITE
        self._selector.modify(client.peer, wanted)
        return None

    def _receive(self, client: Client) -> None:
        try:
            data = client.peer.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            return self._drop(client)
        *lines, client.inbox = (client.inbox + data).split(b"\n")
        if len(client.inbox) > protocol.LINE_BYTES:
            return self._drop(client)
        for line in lines:
            if not client.may_ask() or len(line) > protocol.LINE_BYTES:
                return self._drop(client)
            self._send(client, self._answer(client, line))
            if client.peer.fileno() < 0:
                return None
        return None

    def _answer(self, client: Client, line: bytes) -> bytes:
        """Return the line that answers a request; nothing in it can raise."""
        try:
            request = msgspec.json.decode(line, type=protocol.Request)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return protocol.failure(f"no request: {error}", 64)
        if request.v != protocol.VERSION:
            version = protocol.VERSION
            return protocol.failure(f"this agent speaks version {version}", 7)
        try:
            return protocol.reply(self._result(client, request))
        except VagusError as error:
            return protocol.failure(str(error), error.exit_code)
        except Exception as error:  # an order's own mistake must not end the agent
            what = f"{type(error).__name__}: {error}"
            return protocol.failure(f"the order '{request.do}' failed: {what}", 1)

    def _result(self, client: Client, request: protocol.Request) -> object:
        if request.do in ("board", "watch"):
            client.is_watching = client.is_watching or request.do == "watch"
            return self._tracker.board()
        if request.do == "record":
            return self._record
        order = self._orders.get(request.do)
        if order is None:
            known = ", ".join(["board", "watch", "record", *self._orders])
            raise DaemonError(f"'{request.do}' is no order; known are {known}")
        if not client.may_change and request.do not in READS:
            raise PrivilegeError(f"only root may order '{request.do}'; use sudo")
        return order(request.args)


def may_read(uid: int, gid: int) -> bool:
    """Say whether a peer is root or in the group vagus."""
    if uid == 0:
        return True
    try:
        group = grp.getgrnam(GROUP)
        return gid == group.gr_gid or pwd.getpwuid(uid).pw_name in group.gr_mem
    except KeyError:
        return False


def _credentials(peer: socket.socket) -> tuple[int, int]:
    """Return user and group of the other end, as the kernel knows them."""
    size = struct.calcsize("3i")
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _, uid, gid = struct.unpack("3i", raw)
    return uid, gid


def _listen(path: Path) -> socket.socket:
    """Bind the socket, root and group vagus only."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear(path)
        # Nobody else may connect in the moment between bind and chmod.
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        with contextlib.suppress(KeyError, PermissionError):
            os.chown(path, -1, grp.getgrnam(GROUP).gr_gid)
            path.chmod(0o660)
        listener.listen(CLIENTS)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise DaemonError(
            f"cannot listen at {path} ({error.strerror or error}); name another"
            " place with --socket, or run as root"
        ) from error
    except BaseException:
        listener.close()
        raise
    return listener


def _clear(path: Path) -> None:
    """Remove the socket of an agent that is gone; DaemonError where one lives."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError:
            pass
    raise DaemonError(
        f"an agent already runs here ({path}); stop it first, or name another"
        " place with --socket"
    )
