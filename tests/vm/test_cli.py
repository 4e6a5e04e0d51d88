# SPDX-License-Identifier: MIT
"""The commands a person types, against a real agent and the real module."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path("/sys/fs/cgroup")
AGENT = Path(__file__).parents[2] / "agent"
POLICY = """\
version: 1
objective: "Keep the shop fast."
mode: {mode}
decider: static
workloads:
  shop: {{match: {{cgroup: "{base}/shop"}}}}
  batch: {{match: {{cgroup: "{base}/batch"}}}}
static: {{shop: protect cpu 2, batch: yield cpu 2}}
budget: {{lease: 3s, cooldown: 0s, actions_per_minute: 100}}
decide: {{min_interval: 100ms}}
"""

# What a person types, line after line; Python starts slowly in a guest.
TYPED = """
import contextlib, io, json, sys
from vagus.cli.main import main
for line in sys.stdin:
    out, err = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(json.loads(line))
        except SystemExit as end:
            code = end.code
    said = [one.buffer.getvalue().decode() for one in (out, err)]
    print(json.dumps([code, *said]), flush=True)
"""


class Typist:
    """Somebody at a prompt, who may be another user."""

    def __init__(self, env, before=()):
        self.process = subprocess.Popen(
            [*before, sys.executable, "-c", TYPED],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *words):
        """Return exit code, output and errors of one verb."""
        self.process.stdin.write(json.dumps([str(word) for word in words]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def leave(self):
        self.process.communicate()


class Shell:
    """Runs `vagus VERB ...` as a person does, and the agent behind it."""

    def __init__(self, base, work):
        self.base, self.work = base, work
        self.record, self.socket = work / "record.db", work / "socket"
        self.policy, self.log = work / "policy.yaml", work / "log"
        self.agent = self.typist = None
        self.env = {
            **os.environ,
            "PYTHONPATH": str(AGENT),
            "VAGUS_RECORD": str(self.record),
            "VAGUS_SOCKET": str(self.socket),
        }

    def __call__(self, *words, code=0):
        if self.typist is None:
            self.typist = Typist(self.env)
        found, out, err = self.typist(*words)
        assert found == code, (words, out, err)
        return out if code == 0 else err

    def as_user(self, user, *lines):
        """Return (exit code, what was said) of verbs that another user types."""
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        other = Typist(self.env, become)
        found = [other(*line.split()) for line in lines]
        other.leave()
        return [(code, out + err) for code, out, err in found]

    def json(self, *words):
        return json.loads(self(*words, "--json"))

    def start(self, mode="enforce"):
        text = POLICY.format(mode=mode, base=f"/{self.base.relative_to(ROOT)}")
        self.policy.write_text(text)
        argv = [sys.executable, "-m", "vagus.cli.main", "run", "--policy", self.policy]
        with self.log.open("w") as log:
            self.agent = subprocess.Popen(argv, env=self.env, stderr=log)
        began = until(
            lambda: self.socket.exists() and (self.weight() or mode != "enforce"), 120
        )
        assert began, self.log.read_text()[-3000:]

    def stop(self, how=signal.SIGTERM):
        if self.agent is not None and self.agent.poll() is None:
            self.agent.send_signal(how)
            self.agent.wait(30)

    def weight(self):
        """Return the shop's weight where it is not the old one."""
        text = (self.base / "shop/cpu.weight").read_text().strip()
        return "" if text == "100" else text


def until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(AssertionError):
            if found := condition():
                return found
        time.sleep(0.2)
    return False


@pytest.fixture
def shell(cgroup, tmp_path, loaded):
    """A shop and a batch job, and no agent yet."""
    (cgroup.parent / "cgroup.subtree_control").write_text("+cpu +memory +io")
    (cgroup / "cgroup.subtree_control").write_text("+cpu +memory +io")
    children = []
    for name in ("shop", "batch"):
        (cgroup / name).mkdir()
        child = subprocess.Popen(["sleep", "10000"])
        (cgroup / name / "cgroup.procs").write_text(str(child.pid))
        children.append(child)
    one = Shell(cgroup, tmp_path)
    yield one
    one.stop()
    if one.typist is not None:
        one.typist.leave()
    for child in children:
        child.kill()
        child.wait()


@pytest.mark.once
def test_a_day_with_the_agent(shell):
    shell.start()
    assert until(lambda: shell.json("decisions"))
    board = shell.json("top")
    assert board["source"] == "agent" and board["mode"] == "enforce"
    assert {line["name"] for line in board["lines"]} >= {"shop", "batch"}
    assert any(lease["knob"] == "cpu.weight" for lease in board["leases"])
    assert all(0 < lease["left_ms"] <= 3000 for lease in board["leases"])
    assert "protect cpu" in shell("top", "--once")

    story = shell.json("explain", "shop")
    assert story["decider"] == "static"
    (weight,) = [
        one
        for one in story["written"]
        if one["workload"] == "shop" and one["knob"] == "cpu.weight"
    ][:1]
    assert weight["old"] == "100"
    text = shell("explain", "shop")
    assert "cpu.weight" in text and "vagus undo" in text

    counters = shell.json("doctor")["counters"]
    assert counters["leases.granted"] >= 1
    assert counters["table.seen"] > 0
    assert shell.json("plan")["settings"]

    assert "back" in shell("undo", str(story["id"]))
    assert until(lambda: not shell.weight(), 5)  # at once, not step by step
    assert until(lambda: shell.json("explain", str(story["id"]))["written"][0]["end"])

    assert "advise" in shell("mode", "advise")
    shell.stop()
    assert shell.agent.returncode == 0
    assert shell.json("top")["source"] == "record"
    assert shell.json("plan")["source"] == "record"
    assert "no agent runs here" in shell("mode", code=7)


@pytest.mark.once
def test_off_with_and_without_the_agent(shell):
    shell.start()
    said = shell("off")
    assert "given back" in said
    assert not shell.weight()
    time.sleep(4)
    assert not shell.weight(), "the agent must not take it again"
    assert "only advises" in shell("off")  # with nothing held it is told as well
    assert "advise" in shell("mode")
    shell.stop()
    assert shell("off") == "nothing was held\n"


@pytest.mark.timed
def test_kill_9_leaves_a_record_and_no_setting(shell):
    shell.start()
    assert until(lambda: shell.json("top")["leases"])
    time.sleep(2)
    shown_ns = shell.json("top")["wall_ns"]
    shell.stop(signal.SIGKILL)
    assert until(lambda: not shell.weight(), 5)
    board = shell.json("top")
    assert board["source"] == "record"
    assert board["leases"] == []
    # Of what the agent had shown, the last 2 s at most: a slow start of its is no loss.
    assert shown_ns - board["wall_ns"] <= 2e9
    story = shell.json("explain", "shop")
    assert story["undo"].startswith("nothing is held")


@pytest.mark.once
def test_who_may_read_and_who_may_change(shell):
    """The group vagus reads, only root changes, and others do neither."""
    subprocess.run(["groupadd", "--system", "--force", "vagus"], check=True)
    subprocess.run(["useradd", "--groups", "vagus", "reader"], check=False)
    subprocess.run(["useradd", "stranger"], check=False)
    for folder in (shell.work, *shell.work.parents):
        folder.chmod(folder.stat().st_mode | 0o055)
    shell.start()
    assert until(lambda: shell.json("decisions"))
    reads = ("top --once", "decisions", "explain shop", "record dump", "plan")
    changes = ("mode observe", "undo all", "say Wait. --yes", "off")
    told = shell.as_user("reader", *reads, *changes)
    assert [code for code, _ in told] == [0] * 5 + [4] * 4, told
    assert all("only root" in said for _, said in told[5:8])
    told = shell.as_user("stranger", *reads, *changes)
    assert [code for code, _ in told] == [6] * 5 + [7] * 3 + [4], told
    assert all("not allowed" in said for _, said in told[4:8])
    assert shell.weight() and "enforce" in shell("mode")
    shell.stop()
    for user, code in (("reader", 0), ("stranger", 6)):
        assert shell.as_user(user, "explain shop")[0][0] == code


@pytest.mark.once
def test_what_is_missing_is_one_sentence(shell, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("version: 1\nmode: bogus\n")
    assert "bad.yaml:2:7" in shell("run", "--policy", str(bad), code=2)
    good = POLICY.format(mode="enforce", base="/x")
    shell.policy.write_text(good + 'model: {path: "/none.gguf"}\n')
    text = shell.policy.read_text().replace("static\n", "llm\n")
    shell.policy.write_text(text)
    assert "no model at /none.gguf" in shell("run", "--policy", shell.policy, code=5)
    subprocess.run(["rmmod", "vagus"], check=True)
    try:
        shell.policy.write_text(good)
        said = shell("run", "--policy", str(shell.policy), code=3)
        assert said.startswith("vagus: ") and said.count("\n") == 1
        assert "vagus" in shell("off", code=3)
    finally:
        subprocess.run(
            ["insmod", f"/vagus/.output/kmod/{os.uname().release}/vagus.ko"], check=True
        )
