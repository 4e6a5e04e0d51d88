# SPDX-License-Identifier: MIT
"""The load generator keeps to its schedule whatever the server does."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import guest

OPENLOOP = Path(__file__).parents[2] / "scenarios/openloop.py"
ANSWER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


def serve(listener, stuck_s, clients):
    """Accept nobody for a while, then answer everybody at once."""
    time.sleep(stuck_s)
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            clients.append(client)
            threading.Thread(target=answer, args=(client,), daemon=True).start()


def answer(client):
    """Answer every request of one connection."""
    with contextlib.suppress(OSError), client:
        while client.recv(4096):
            client.sendall(ANSWER)


def test_stuck_server_does_not_slow_the_questions_down(tmp_path):
    listener = socket.create_server(("127.0.0.1", 0), backlog=2)
    clients = []
    threading.Thread(target=serve, args=(listener, 1.5, clients), daemon=True).start()
    port, out = listener.getsockname()[1], tmp_path / "out"
    argv = ["--port", str(port), "--rate", "50", "--seconds", "4", "--timeout", "0.5"]
    subprocess.run(
        [sys.executable, OPENLOOP, *argv, "--out", out], check=True, timeout=30
    )
    for one in (listener, *clients):
        one.close()
    rows = sorted(
        (due_s, ms, status)
        for due_s, ms, status in guest.said(out, 0, float("inf"))
        if status != "late"
    )
    begin = rows[0][0]
    early = [row for row in rows if row[0] < begin + 0.9]
    late = [row for row in rows if row[0] > begin + 2.5]
    # 200 were due, whatever became of them.
    assert 180 < len(rows) < 220
    assert all(status == "0" and ms == 500 for _, ms, status in early)
    # A busy host may hold up some of them, never most.
    served = [status == "200" and ms < 400 for _, ms, status in late]
    assert sum(served) > 0.7 * len(served) > 0


def test_khugepaged_is_kept_away_from_the_load():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        argv = ["--port", port, "--rate", "1", "--seconds", "9", "--out", "/dev/null"]
        load = subprocess.Popen([sys.executable, OPENLOOP, *argv])
        try:
            listener.accept()[0].close()  # it is at work
            assert "THP_enabled:\t0" in Path(f"/proc/{load.pid}/status").read_text()
        finally:
            load.kill()
            load.wait()


def test_load_tells_when_it_was_kept_from_its_schedule(tmp_path):
    out, begin = tmp_path / "out", time.monotonic()
    argv = ["--port", "1", "--rate", "100", "--seconds", "3", "--out", out]
    load = subprocess.Popen([sys.executable, OPENLOOP, *argv])
    while not out.exists() or not out.read_text():
        time.sleep(0.01)
    load.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    time.sleep(0.4)
    load.send_signal(signal.SIGCONT)
    load.wait(timeout=30)
    found = guest.said(out, stopped - 0.1, stopped + 0.3)
    assert 300 < max(ms for _, ms, status in found if status == "late") < 1500
    # What was due meanwhile was asked for nevertheless, and the rest is no request.
    rows = guest.between(out, begin, time.monotonic())
    assert 280 < len(rows) < 320 and not any(ok for *_, ok in rows)


def test_redis_is_asked_for_real_keys(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    argv = ["redis-server", "--port", port, "--save", "", "--daemonize", "no"]
    argv += ["--enable-debug-command", "yes", "--dir", str(tmp_path)]
    redis = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    ask = ["redis-cli", "-p", port]
    try:
        while b"PONG" not in subprocess.run([*ask, "ping"], capture_output=True).stdout:
            assert redis.poll() is None
            time.sleep(0.05)
        populate = [*ask, "debug", "populate", "100", "key", "4096"]
        subprocess.run(populate, check=True, capture_output=True)
        assert statuses(tmp_path, port, "100") == {200}
        assert statuses(tmp_path, port, "10000") == {200, 404}
    finally:
        redis.kill()
        redis.wait()


def statuses(folder, port, keys):
    """Ask redis for a second; return the statuses that came."""
    out = folder / "out"
    argv = ["--protocol", "resp", "--port", port, "--keys", keys, "--rate", "100"]
    argv += ["--seconds", "1", "--out", out]
    subprocess.run([sys.executable, OPENLOOP, *argv], check=True, timeout=30)
    found = guest.said(out, 0, float("inf"))
    return {int(status) for *_, status in found if status != "late"}
