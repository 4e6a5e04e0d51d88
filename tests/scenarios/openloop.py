# SPDX-License-Identifier: MIT
"""Open-loop load, HTTP or RESP (redis): requests leave on a schedule, always.

Latency counts from the moment a request was due, so a slow server cannot slow
the questions down (no coordinated omission).  A request that is not answered
within its timeout counts with the timeout as its latency.

Writes one line for each request to --out: "DUE_NS LATENCY_NS STATUS", with
CLOCK_MONOTONIC times and STATUS 200, another HTTP status (404: no such key,
500: an error of redis), or 0 for a timeout.  A line "DUE_NS LATE_NS late" tells of
its own fault: it was kept from looking at the schedule for so long.

usage: python openloop.py --port 8080 --path /x --rate 60 --seconds 30 --out FILE
       python openloop.py --protocol resp --port 6379 --keys 10000 --rate 60 ...
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import ctypes
import random
import selectors
import socket
import time
from typing import TextIO

NS = 1_000_000_000
LATE_NS = 10_000_000  # behind the schedule: said
PR_SET_THP_DISABLE = 41  # include/uapi/linux/prctl.h


class Http:
    """GET of one page; the answer comes in chunks."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.text = (
            f"GET {args.path} HTTP/1.1\r\nHost: shop\r\nAccept-Encoding: gzip\r\n\r\n"
        ).encode()

    def request(self, dice: random.Random) -> bytes:
        """Return the bytes of one question."""
        del dice
        return self.text

    def status(self, head: bytes, tail: bytes, length: int) -> int | None:
        """Return the status once the answer is whole; None before."""
        del length
        return int(head[9:12]) if tail == b"0\r\n\r\n" else None


class Resp:
    """GET of a random one of redis' keys."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.keys, self.prefix = args.keys, args.prefix

    def request(self, dice: random.Random) -> bytes:
        """Return the bytes of one question."""
        key = f"{self.prefix}:{dice.randrange(self.keys)}"
        return f"*2\r\n$3\r\nGET\r\n${len(key)}\r\n{key}\r\n".encode()

    def status(self, head: bytes, tail: bytes, length: int) -> int | None:
        """Return the status once the answer is whole; None before."""
        line, end, _ = head.partition(b"\r\n")
        if not end or not tail.endswith(b"\r\n"):
            return None
        if not line.startswith(b"$"):
            return 500
        size = int(line[1:])
        if size < 0:
            return 404
        return 200 if length >= len(line) + 2 + size + 2 else None


PROTOCOLS: dict[str, type[Http] | type[Resp]] = {"http": Http, "resp": Resp}


class Connection:
    """One keep-alive connection; at most one request under way.

    Never waits: a server that does not even accept must not hold up the schedule.
    """

    def __init__(self, port: int, protocol: Http | Resp) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", port))
        self.protocol = protocol
        self.due_ns = self.length = 0
        self.standing = False  # not yet connected
        self.unsent = self.head = self.tail = b""

    def start(self, request: bytes, due_ns: int) -> None:
        """Take a request that was due then; flush() sends it."""
        self.due_ns, self.length, self.unsent = due_ns, 0, request
        self.head = self.tail = b""

    def flush(self) -> None:
        """Send the request; the connection stands."""
        self.standing = True
        if self.unsent:
            with contextlib.suppress(BlockingIOError):
                self.socket.send(self.unsent)
                self.unsent = b""

    def finished(self) -> int | None:
        """Read what is there; return the status once the answer is whole."""
        try:
            chunk = self.socket.recv(1 << 20)
        except BlockingIOError:
            return None
        if not chunk:
            raise ConnectionError("the server closed the connection")
        # Only the first line and the end matter.
        self.head = self.head if len(self.head) >= 32 else (self.head + chunk)[:32]
        self.tail = (self.tail + chunk[-5:])[-5:]
        self.length += len(chunk)
        return self.protocol.status(self.head, self.tail, self.length)


class Load:
    """The schedule, the connections and what became of each request."""

    def __init__(self, args: argparse.Namespace, out: TextIO) -> None:
        self.args, self.out = args, out
        self.protocol: Http | Resp = PROTOCOLS[args.protocol](args)
        self.random = random.Random(args.seed)
        # epoll waits whole milliseconds and every request would leave half a one late.
        self.selector = selectors.SelectSelector()
        self.idle: list[Connection] = []
        self.waiting: collections.deque[int] = collections.deque()
        self.flying: dict[Connection, None] = {}
        self.timeout_ns = int(args.timeout * NS)

    def report(self, due_ns: int, latency_ns: int, status: int) -> None:
        """Write one finished request."""
        self.out.write(f"{due_ns} {latency_ns} {status}\n")

    def connection(self) -> Connection | None:
        """Return a free connection, or None when all are under way."""
        if self.idle:
            return self.idle.pop()
        if len(self.flying) >= self.args.connections:
            return None
        connection = Connection(self.args.port, self.protocol)
        both = selectors.EVENT_READ | selectors.EVENT_WRITE
        self.selector.register(connection.socket, both, connection)
        return connection

    def drop(self, connection: Connection) -> None:
        """Close a connection whose request is given up."""
        self.flying.pop(connection, None)
        self.selector.unregister(connection.socket)
        connection.socket.close()

    def launch(self) -> None:
        """Send what is due, as far as connections reach."""
        while self.waiting:
            connection = self.connection()
            if connection is None:
                return
            request = self.protocol.request(self.random)
            connection.start(request, self.waiting.popleft())
            self.flying[connection] = None
            if connection.standing:
                connection.flush()

    def expire(self, now_ns: int) -> None:
        """Give up requests that are older than the timeout."""
        while self.waiting and now_ns - self.waiting[0] > self.timeout_ns:
            self.report(self.waiting.popleft(), self.timeout_ns, 0)
        # Requests leave in order, so the oldest stands first.
        for connection in list(self.flying):
            if now_ns - connection.due_ns <= self.timeout_ns:
                break
            self.report(connection.due_ns, self.timeout_ns, 0)
            self.drop(connection)

    def collect(self, wait_s: float) -> None:
        """Take in answers for at most this long."""
        for key, mask in self.selector.select(max(0.0, wait_s)):
            connection = key.data
            try:
                if mask & selectors.EVENT_WRITE:
                    connection.flush()
                    only = selectors.EVENT_READ
                    self.selector.modify(connection.socket, only, connection)
                status = connection.finished()
            except ConnectionError:
                self.report(connection.due_ns, self.timeout_ns, 0)
                self.drop(connection)
                continue
            if status is not None:
                now = time.monotonic_ns()
                self.report(connection.due_ns, now - connection.due_ns, status)
                self.flying.pop(connection)
                self.idle.append(connection)

    def run(self) -> None:
        """Keep to the schedule until the time is up and all is answered."""
        gap_ns = NS / self.args.rate
        due = time.monotonic_ns() + int(gap_ns)
        end = due + int(self.args.seconds * NS)
        while due < end or self.waiting or self.flying:
            now = time.monotonic_ns()
            if now - due > LATE_NS and due < end:
                self.out.write(f"{due} {now - due} late\n")
            while due <= now and due < end:
                self.waiting.append(due)
                # Spacing jitters by half a gap either way: no lock-step.
                due += int(gap_ns * self.random.uniform(0.5, 1.5))
            self.expire(now)
            self.launch()
            next_ns = due if due < end else now + NS // 20
            self.collect((min(next_ns, now + NS // 20) - time.monotonic_ns()) / NS)


def small_pages() -> None:
    """Keep khugepaged away from this process.

    It runs at nice 19 and holds the address space whose pages it collapses: on a
    full CPU a measurer that touches its memory then waits 0.1 to 0.3 s for it,
    real-time or not, and all that was due meanwhile looks unserved.
    """
    ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)


def main() -> None:
    """Run the load that the command line describes."""
    parser = argparse.ArgumentParser(description="open-loop load")
    parser.add_argument("--protocol", choices=sorted(PROTOCOLS), default="http")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--path", default="/", help="of the page (http)")
    parser.add_argument("--keys", type=int, default=1, help="how many (resp)")
    parser.add_argument("--prefix", default="key", help="of the keys (resp)")
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--timeout", type=float, default=2.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    small_pages()
    with open(args.out, "w", buffering=1) as out:
        Load(args, out).run()


if __name__ == "__main__":
    main()
