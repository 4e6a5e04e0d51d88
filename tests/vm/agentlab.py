# SPDX-License-Identifier: MIT
"""An agent in a process of its own, for tests; what it records, one can read.

Run as a program it is that agent:
    python -m tests.vm.agentlab POLICY RECORDS [--model] [--hang]
--hang: its scheduler schedules nothing, so that the kernel ejects it.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from vagus.flow import Effect, Outcome, Record

ROOT = Path("/sys/fs/cgroup")
CHECKOUT = Path(__file__).resolve().parents[2]
# Starting an agent takes some ten seconds in an emulated guest.
PATIENCE_S = 90.0


class Agent:
    """An agent at work on cgroups below `base`, by a policy of the test's own."""

    def __init__(self, base: Path, work: Path) -> None:
        self.base, self.policy = base, work / "policy.yaml"
        self.records_file, self.log = work / "records", work / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self._read, self._records = 0, list[Record]()
        self.others: list[subprocess.Popen[bytes]] = []

    @property
    def cgroup(self) -> str:
        """The path of `base` below the mount."""
        return f"/{self.base.relative_to(ROOT)}"

    def start(self, *options: str) -> None:
        """Start it."""
        argv = [sys.executable, "-m", "tests.vm.agentlab"]
        argv += [str(self.policy), str(self.records_file), *options]
        paths = f"{CHECKOUT / 'agent'}:{CHECKOUT}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                argv, stderr=log, cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": paths}
            )

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def run_in(self, name: str, *argv: str) -> "subprocess.Popen[bytes]":
        """Start another program, in a cgroup below `base`."""
        procs = self.base / name / "cgroup.procs"
        join = f"echo $$ >{procs} && exec " + '"$@"'
        process = subprocess.Popen(["/bin/sh", "-c", join, "sh", *argv])
        self.others.append(process)
        return process

    def records(self) -> list[Record]:
        """Return what is on record so far."""
        try:
            with self.records_file.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        self._records += [
            msgspec.json.decode(line, type=Record) for line in whole.splitlines()
        ]
        return self._records

    def story(self) -> str:
        """Return what happened, for a test that failed."""
        lines = [self.log.read_text()[-2000:]]
        for record in self.records():
            words = {
                name: "/".join(one.words.values())
                for name, one in record.window.workloads.items()
            }
            lines.append(f"{record.window.tick} {words}")
            if record.verdict is not None:
                lines.append(f"  allowed {record.verdict.allowed}")
                lines += [f"  {refusal.sentence}" for refusal in record.verdict.refused]
            for lease in record.granted:
                setting = lease.setting
                lines.append(f"  {setting.path} = {setting.value} ({setting.why})")
            lines += [f"  {refusal.sentence}" for refusal in record.failed]
            lines += [f"  {end.path}: {end.end} ({end.cause})" for end in record.ended]
            lines += [f"  {effect.sentence}" for effect in record.effects]
        return "\n".join(lines)

    def effects(self) -> list[Effect]:
        """Return what the judge concluded so far, without what pends."""
        found = [e for record in self.records() for e in record.effects]
        return [e for e in found if e.outcome is not Outcome.PENDING]

    def knob(self, path: str) -> str:
        """Return a knob's text."""
        return (self.base / path).read_text().strip()

    def wait(
        self,
        what: Callable[[], object],
        seconds: float = PATIENCE_S,
        pause_s: float = 0.2,
    ) -> float:
        """Wait until something is so; return how long it took."""
        start = time.monotonic()
        while not what():
            status = self.process.poll() if self.process else None
            if status not in (None, 0, -signal.SIGKILL):
                pytest.fail(
                    f"the agent died ({status}):\n{self.log.read_text()[-3000:]}"
                )
            if time.monotonic() - start > seconds:
                pytest.fail(f"not within {seconds} s\n{self.story()}")
            # On one CPU the test must not be the noisy neighbour itself.
            time.sleep(pause_s)
        return time.monotonic() - start

    def more(self, count: int) -> None:
        """Wait until so many more windows are on record."""
        before = len(self.records())
        self.wait(lambda: len(self.records()) >= before + count)

    def stop(self) -> None:
        """End it and what was started beside it."""
        for process in [self.process, *self.others]:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def enable_controllers(folder: Path) -> None:
    """Let the children of a cgroup have the controllers that Vagus sets."""
    for name in ("cpu", "io", "memory"):
        (folder / "cgroup.subtree_control").write_text(f"+{name}")


def main(arguments: list[str]) -> None:
    """Run an agent until a signal ends it; records go to a file."""
    from vagus.wake import Waker
    from vagus.wire import Options, agent

    policy, records = Path(arguments[0]), arguments[1]
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    out = os.open(records, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def put(record: Record) -> None:
        os.write(out, msgspec.json.encode(record) + b"\n")

    sched = {"hang": 1} if "--hang" in arguments else {}
    no_model = "--model" not in arguments
    options = Options(policy, no_model=no_model, put=put, sched=sched)
    with Waker() as waker, agent(options) as loop:
        loop.run(waker)


if __name__ == "__main__":
    main(sys.argv[1:])
