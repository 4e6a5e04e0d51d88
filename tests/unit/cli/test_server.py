# SPDX-License-Identifier: MIT
"""The socket: served without waiting, whatever clients do."""

import os
import random
import select
import socket
import threading
import time

import msgspec
import pytest

from vagus.cli import protocol, server
from vagus.cli.client import Client, RemoteError
from vagus.cli.server import Server
from vagus.errors import DaemonError, PolicyError


class Agent:
    """Stands for the loop: polls the server in a thread of its own.

    The loop does all in one thread; here a lock keeps it one at a time.
    """

    def __init__(self, path, orders):
        self.server = Server(path, orders)
        self.slowest_s = 0.0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        poll = select.poll()
        poll.register(self.server.fileno(), select.POLLIN)
        while not self._ended.is_set():
            if poll.poll(20):
                started = time.thread_time()
                with self._lock:
                    self.server.service()
                self.slowest_s = max(self.slowest_s, time.thread_time() - started)

    def publish(self, record):
        with self._lock:
            self.server.publish(record, {1: 7_200})

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()
        self.server.close()


@pytest.fixture
def agent(tmp_path, tick_record):
    def wrong(_):
        raise PolicyError("policy.yaml:1:1: mode: expected observe")

    orders = {"say": lambda args: f"heard: {args['sentence']}", "mode": wrong}
    with Agent(tmp_path / "socket", orders) as one:
        for tick in range(1, 41):
            one.publish(tick_record(tick))
        yield one


def test_a_client_sees_the_present(agent):
    with Client(agent.server.path) as client:
        board = client.board()
    assert board.tick == 40
    assert [line.name for line in board.lines] == ["shop", "backup", "postgres"]
    assert [(one.knob, one.left_ms) for one in board.leases] == [("cpu.weight", 7_200)]
    assert board.lines[1].stances == []  # reverted by the judge
    assert board.history[-1] == 410_000.0


def test_orders_reach_the_agent_and_its_errors_come_back(agent):
    with Client(agent.server.path) as client:
        assert client.order("say", {"sentence": "hurry"}) == "heard: hurry"
        with pytest.raises(RemoteError, match="expected observe") as caught:
            client.order("mode", {"mode": "x"})
        assert caught.value.exit_code == 2
        with pytest.raises(RemoteError, match="no order; known are") as caught:
            client.order("frob", {})
        assert caught.value.exit_code == 7


def test_watching_shows_every_window(agent, tick_record):
    with Client(agent.server.path) as client:
        boards = client.watch()
        assert next(boards).tick == 40
        agent.publish(tick_record(41))
        assert next(boards).tick == 41


def test_another_version_is_told_ours(agent):
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(agent.server.path))
        raw.sendall(b'{"v":9,"do":"board"}\n')
        assert b"version 1" in raw.recv(1000)


def test_only_root_may_change(agent, monkeypatch):
    monkeypatch.setattr(server, "_credentials", lambda _: (0, 0))
    with Client(agent.server.path) as client:
        assert client.order("say", {"sentence": "x"})
    monkeypatch.setattr(server, "_credentials", lambda _: (1000, 1000))
    monkeypatch.setattr(server, "may_read", lambda uid, gid: True)
    with Client(agent.server.path) as client:
        assert client.board().tick == 40
        with pytest.raises(RemoteError, match="only root") as caught:
            client.order("say", {"sentence": "x"})
        assert caught.value.exit_code == 4


def test_a_stranger_reads_nothing(agent, monkeypatch):
    monkeypatch.setattr(server, "_credentials", lambda _: (65534, 65534))
    with Client(agent.server.path) as client, pytest.raises(DaemonError):
        client.board()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_stranger_cannot_even_connect(agent):
    child = os.fork()
    if child == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            with socket.socket(socket.AF_UNIX) as raw:
                raw.connect(str(agent.server.path))
            os._exit(1)
        except PermissionError:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_socket_is_not_for_everybody(agent):
    assert agent.server.path.stat().st_mode & 0o007 == 0


def test_a_second_agent_is_refused_and_a_dead_one_replaced(tmp_path):
    path = tmp_path / "socket"
    with Agent(path, {}), pytest.raises(DaemonError, match="already runs"):
        Server(path, {})
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    Server(path, {}).close()
    assert not path.exists()


def test_no_agent_is_one_sentence(tmp_path):
    with pytest.raises(DaemonError, match="start it with `vagus run`"):
        Client(tmp_path / "none")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "no agent of this version"),
        (b'{"v":1,"ok":true,"result":{"tick":"x"}}\n', "no agent of this version"),
        (b'{"v":2,"ok":true,"result":null}\n', "speaks version 2"),
    ],
)
def test_an_answer_that_is_none_is_one_sentence(tmp_path, line, said):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "socket"))
        other.listen()

        def answer():
            peer, _ = other.accept()
            with peer:
                peer.recv(100)
                peer.sendall(line)

        thread = threading.Thread(target=answer)
        thread.start()
        with (
            pytest.raises(DaemonError, match=said),
            Client(tmp_path / "socket") as client,
        ):
            client.board()
        thread.join()


def test_a_watcher_that_does_not_read_costs_nothing(agent, tick_record):
    """It misses windows; the loop does not notice."""
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(str(agent.server.path))
        deaf.sendall(b'{"v":1,"do":"watch"}\n')
        time.sleep(0.1)
        slowest = 0.0
        for tick in range(1000):
            started = time.thread_time()
            agent.publish(tick_record(41 + tick % 9))
            slowest = max(slowest, time.thread_time() - started)
        assert slowest < 0.05
        with Client(agent.server.path) as client:
            assert client.board() is not None


def _hostile_line(rng):
    choices = [
        lambda: rng.randbytes(rng.randrange(200)),
        lambda: b"[" * rng.randrange(5000),
        lambda: b'{"v":1,"do":"' + b"\xff" * rng.randrange(50) + b'"}',
        lambda: b'{"v":1,"do":"say","args":{"sentence":' + b"[" * 2000 + b"}}",
        lambda: b'{"v":1e999,"do":null}',
        lambda: b'{"v":1,"do":"board","args":{}}',
        lambda: b'{"v":1,"do":"say","args":{}}',
        lambda: b'{"v":1,"do":"watch"}',
        lambda: b"A" * rng.randrange(40_000),
        lambda: b"\0\r\n" * rng.randrange(100),
    ]
    return rng.choice(choices)() + b"\n" * rng.randrange(3)


def test_hostile_clients_do_not_stall_the_loop(agent, scaled):
    rng = random.Random(7)
    for _ in range(scaled(300)):
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(5)
            raw.connect(str(agent.server.path))
            try:
                for _ in range(rng.randrange(4)):
                    raw.sendall(_hostile_line(rng))
                raw.settimeout(rng.choice([0.001, 0.02]))
                raw.recv(100)
            except (BrokenPipeError, ConnectionResetError, TimeoutError):
                pass
    with Client(agent.server.path) as client:
        assert client.board().tick == 40
    assert agent.slowest_s < 0.05


def test_one_client_cannot_flood(agent):
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(5)
        raw.connect(str(agent.server.path))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while True:
                raw.sendall(b'{"v":1,"do":"x"}\n' * 100)


def test_more_clients_than_places_are_turned_away(agent):
    many = []
    for _ in range(server.CLIENTS + 10):
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(2)
        one.connect(str(agent.server.path))
        many.append(one)
        time.sleep(0.005)
    assert len(agent.server._clients) == server.CLIENTS
    for one in many:
        one.close()
    time.sleep(0.3)
    with Client(agent.server.path) as client:
        assert client.board() is not None


def test_an_order_that_lacks_its_argument_is_an_error_not_a_crash(agent):
    with (
        Client(agent.server.path) as client,
        pytest.raises(RemoteError, match="KeyError"),
    ):
        client.order("say", {})
    assert agent.server.path.exists()


def test_messages_are_what_the_protocol_says():
    line = protocol.reply({"a": 1})
    assert line == b'{"v":1,"ok":true,"result":{"a":1}}\n'
    reply = msgspec.json.decode(protocol.failure("no", 4), type=protocol.Reply)
    assert (reply.ok, reply.error, reply.code) == (False, "no", 4)
