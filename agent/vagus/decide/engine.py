# SPDX-License-Identifier: MIT
"""The engine seen from the agent: a child process that fills forms, on a leash.

One request at a time.  A request that is not answered by its deadline costs the
child its life; a new one is started, and the caller hears of a miss.  Nothing here
waits, and the agent's own process never imports llama_cpp.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import msgspec

from vagus.decide.grammar import Form, valid
from vagus.decide.wire import LENGTH, LIMIT, Answer, Hello, Request
from vagus.errors import ModelError, ModelMissing

MODELS = Path(__file__).parent.parent / "models"
SHIPPED = MODELS / "vagus.gguf"
START_MS = 60_000  # to load a model; a slow disk is no reason to give up
QUEUE = 64  # requests; beyond it the caller is told at once
LATE_S = 1.0  # an answer takes a tenth of that where the engine gets its share
RESTARTS = 5  # in a row without an answer, then the engine stays down


class Filled(msgspec.Struct, frozen=True):
    """How a request ended: the answers, or why there are none."""

    answers: dict[str, str] = {}
    took_ms: float = 0.0  # in the child
    why: str = ""  # "" where there are answers
    form: Form = ()  # as it was asked


class EngineState(msgspec.Struct, frozen=True):
    """Counters since the engine was opened."""

    calls: int  # requests answered
    missed: int  # requests whose deadline passed
    failed: int  # requests that the model or the child could not answer
    starts: int  # child processes started
    model: str  # hash; "" until it is loaded
    load_ms: float
    rss_bytes: int
    pid: int  # of the child, 0 where there is none
    tokens: int = 0  # evaluated, all requests together


# A form, or who makes one knowing whether the model speaks prompt.py's signs.
Asked = Form | Callable[[bool], Form]


class _Job(msgspec.Struct):
    """A request and who wants to hear of it."""

    id: int
    asked: Asked
    deadline_ms: int
    done: Callable[[Filled], None]
    form: Form = ()


def model_file(path: str | Path | None) -> Path:
    """Return the GGUF to use; raises ModelMissing with the remedy."""
    file = Path(path) if path else SHIPPED
    if not file.is_file():
        remedy = (
            "correct model.path in the policy"
            if path
            else "reinstall vagus, train one (make train), name one in model.path,"
            " or choose decider: rules"
        )
        raise ModelMissing(f"there is no model at {file}: {remedy}")
    return file


class Engine:
    """One child process with one model."""

    def __init__(
        self,
        path: str | Path | None = None,
        threads: int = 1,
        clock: Callable[[], float] = time.monotonic,
        settle: Callable[[int], None] = lambda pid: None,
        url: str = "",
        name: str = "",
    ) -> None:
        """Start the child; settle(pid) may put it into its own cgroup.

        With a URL the child asks that OpenAI-compatible server, and its model `name`
        (or the first one), instead of a file.  Raises ModelMissing where there is no
        file.
        """
        self.where = url or str(model_file(path))
        self.name = name
        self.threads = threads
        self._clock = clock
        self._settle = settle
        self._queue: deque[_Job] = deque()
        self._now: _Job | None = None
        self._due = self._asked_s = 0.0
        self._input = b""
        self._hello: Hello | None = None
        self._calls = self._missed = self._failed = self._starts = self._ids = 0
        self._tokens = 0
        self._idle_starts = 0  # since the last answer
        self._down = ""
        self._start()

    def __enter__(self) -> Engine:
        """Return the engine."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the child."""
        self.close()

    # -- asking ---------------------------------------------------------------------

    def submit(
        self,
        form: Asked,
        deadline_ms: int,
        done: Callable[[Filled], None],
        urgent: bool = False,
    ) -> None:
        """Ask for a form to be filled; pump() calls done, once, sooner or later.

        The deadline counts from when it is its turn and the model is loaded.
        """
        self._ids += 1
        job = _Job(self._ids, form, deadline_ms, done)
        if self._down or len(self._queue) >= QUEUE:
            self._failed += 1
            done(Filled(why=self._down or "too many questions are waiting"))
            return
        if urgent:
            self._queue.appendleft(job)
        else:
            self._queue.append(job)
        self.pump()

    def pump(self) -> None:
        """Take in what the child said, mind the deadline, ask the next; never waits."""
        self._read()
        if self._due and self._clock() > self._due:
            self._overdue()
        if self._now is None and self._queue and self._hello and not self._down:
            self._ask(self._queue.popleft())

    def fileno(self) -> int:
        """Return the descriptor that becomes readable with an answer; -1 if down."""
        return -1 if self._down else self._peer.fileno()

    @property
    def native(self) -> bool:
        """Tell whether the model speaks the signs of prompt.py."""
        return bool(self._hello and self._hello.native)

    @property
    def ready(self) -> bool:
        """Tell whether the model is loaded."""
        return self._hello is not None

    @property
    def busy(self) -> bool:
        """Tell whether something is being answered or waits."""
        return self._now is not None or bool(self._queue)

    @property
    def late(self) -> bool:
        """Tell whether a question has been open for longer than it should be."""
        return self._now is not None and self._clock() - self._asked_s > LATE_S

    def state(self) -> EngineState:
        """Return counters."""
        hello = self._hello or Hello("", False, 0.0, 0)
        return EngineState(
            self._calls,
            self._missed,
            self._failed,
            self._starts,
            hello.model,
            hello.load_ms,
            hello.rss_bytes,
            0 if self._down else self._child.pid,
            self._tokens,
        )

    def close(self) -> None:
        """End the child; questions still open get no answer."""
        self._queue.clear()
        self._now = None
        self._stop()
        self._down = self._down or "the engine is closed"

    # -- the child ------------------------------------------------------------------

    def _start(self) -> None:
        """Start a child; it says hello when the model is loaded."""
        self._peer, other = socket.socketpair()
        self._peer.setblocking(False)
        source = str(Path(__file__).parent.parent.parent)
        path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
        with other:
            self._child = subprocess.Popen(
                [
                    *(sys.executable, "-m", "vagus.decide.engine_child"),
                    *(str(other.fileno()), self.where, str(self.threads), self.name),
                ],
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
            )
        self._settle(self._child.pid)
        self._input, self._hello = b"", None
        self._starts += 1
        self._idle_starts += 1
        self._due = self._clock() + START_MS / 1e3

    def _stop(self) -> None:
        """Kill the child and take its status; after SIGKILL there is no wait."""
        self._peer.close()
        self._child.kill()
        self._child.wait()
        self._due = 0.0

    def _restart(self, why: str) -> None:
        """Replace the child; the one in front of the queue hears why."""
        job, self._now = self._now, None
        self._stop()
        if self._idle_starts > RESTARTS:
            self._give_up(f"the engine failed {RESTARTS} times in a row: {why}")
        else:
            self._start()
        if job:
            job.done(Filled(why=why))

    def _give_up(self, why: str) -> None:
        """Stay down and tell everybody who waits."""
        self._down = why
        self._due = 0.0
        waiting = list(self._queue)
        self._queue.clear()
        self._failed += len(waiting)
        for job in waiting:
            job.done(Filled(why=why))

    def _ask(self, job: _Job) -> None:
        job.form = job.asked(self.native) if callable(job.asked) else job.asked
        payload = msgspec.json.encode(Request(job.id, job.form))
        self._now, self._asked_s = job, self._clock()
        self._due = self._asked_s + job.deadline_ms / 1e3
        try:
            self._peer.sendall(LENGTH.pack(len(payload)) + payload)
        except OSError as error:  # gone, or so stuck that its buffer is full
            self._failed += 1
            self._restart(f"the engine cannot be reached: {error}")

    def _overdue(self) -> None:
        if self._now:
            self._missed += 1
            self._restart(f"the model did not answer within {self._now.deadline_ms} ms")
        else:
            self._restart(f"the model did not load within {START_MS} ms")

    def _read(self) -> None:
        """Take in whole messages."""
        while not self._down:
            try:
                part = self._peer.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                part = b""
            if not part:
                self._failed += self._now is not None
                code = self._child.poll()
                self._restart(f"the engine's process ended (status {code})")
                return
            self._input += part
            self._messages()

    def _messages(self) -> None:
        while len(self._input) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._input)
            if length > LIMIT:
                self._restart("the engine's process does not speak its protocol")
                return
            end = LENGTH.size + length
            if len(self._input) < end:
                return
            raw, self._input = self._input[LENGTH.size : end], self._input[end:]
            try:
                self._message(raw)
            except msgspec.MsgspecError:
                self._restart("the engine's process does not speak its protocol")
                return
            if self._down:
                return

    def _message(self, raw: bytes) -> None:
        if self._hello is None:
            self._due = 0.0
            hello = msgspec.json.decode(raw, type=Hello)
            if hello.error:
                self._stop()
                self._give_up(hello.error)
            else:
                self._hello = hello
            return
        answer = msgspec.json.decode(raw, type=Answer)
        job = self._now
        if job is None or answer.id != job.id:
            return  # to nothing, or to what is not asked any more
        self._now, self._due = None, 0.0
        self._idle_starts = 0
        self._tokens += answer.tokens
        if answer.error or not valid(job.form, answer.answers):
            self._failed += 1
            why = answer.error or "the answer is not one that was offered"
            job.done(Filled(why=f"the model failed: {why}"))
        else:
            self._calls += 1
            job.done(Filled(answer.answers, answer.took_ms, form=job.form))


def fill_now(engine: Engine, form: Form, deadline_ms: int = 60_000) -> dict[str, str]:
    """Return the answers, waiting for them: for the CLI, tests and benches.

    Raises ModelError when there are none.
    """
    done: list[Filled] = []
    engine.submit(form, deadline_ms, done.append)
    while not done:
        time.sleep(0.0005)
        engine.pump()
    if done[0].why:
        raise ModelError(done[0].why)
    return done[0].answers
