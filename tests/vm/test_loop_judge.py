# SPDX-License-Identifier: MIT
"""Real contention, sensed, decided, applied and judged; each verdict once."""

import sys

import pytest
from tests.vm.judgelab import DISK, MEMORY, null_disk
from tests.vm.kmodlab import swap_on

from vagus.flow import Act, Outcome

pytestmark = pytest.mark.needs("kmod")


def test_contention_is_relieved_and_judged_kept(scene):
    scene.begin("rules")
    scene.more(8)
    scene.hogs()
    scene.wait(lambda: int(scene.knob("build/cpu.weight")) < 100)
    scene.outcome(Outcome.KEPT)
    effect = next(e for e in scene.effects() if e.outcome is Outcome.KEPT)
    assert effect.signal.startswith("shop ")
    assert effect.before - effect.after > effect.noise, scene.story()
    assert "kept" in effect.sentence
    reverted = [e for e in scene.effects() if e.outcome is Outcome.REVERTED]
    assert not reverted, scene.story()


def test_harmful_stance_is_reverted_and_not_tried_again(scene):
    scene.hogs()
    (scene.base / "build/cpu.weight").write_text("5")
    scene.begin("static", "build: protect cpu 2")
    stance = scene.outcome(Outcome.REVERTED)
    assert (stance.workload, stance.act) == ("build", Act.PROTECT)
    scene.wait(lambda: scene.knob("build/cpu.weight") == "5")
    scene.more(5)
    assert scene.knob("build/cpu.weight") == "5"


def test_trouble_that_ends_by_itself_is_coincident(scene):
    scene.hogs(2)
    scene.begin("static")
    scene.more(8)  # it sees the trouble before there is a stance
    scene.rule("static", "mail: yield cpu 2")
    scene.wait(lambda: scene.knob("mail/cpu.weight") == "20")
    for hog in scene.others[:2]:
        hog.kill()
    stance = scene.outcome(Outcome.COINCIDENT, Outcome.REVERTED)
    assert stance.workload == "mail"
    assert scene.effects()[0].outcome is Outcome.COINCIDENT, scene.story()
    scene.wait(lambda: scene.knob("mail/cpu.weight") == "100")


def test_disk_contention_is_relieved_and_judged_kept(scene):
    disk = str(null_disk("irqmode=2 completion_nsec=100000 mbps=100"))
    scene.begin("rules", shop=(DISK, disk, "paced"))
    scene.more(8)
    for _ in range(2):
        scene.run_in("backup", sys.executable, "-c", DISK, disk, "full")
    scene.wait(lambda: "rbps" in scene.knob("backup/io.max"), 120)
    scene.outcome(Outcome.KEPT)
    effect = next(e for e in scene.effects() if e.outcome is Outcome.KEPT)
    assert effect.signal.startswith("shop io") or "psi_io" in effect.signal
    assert effect.before - effect.after > effect.noise, scene.story()


@pytest.fixture
def swapping():
    """A disk that answers at once: what it costs is memory's trouble alone."""
    with swap_on(null_disk("memory_backed=1 irqmode=0")):
        yield


def test_memory_contention_is_relieved_and_judged_kept(swapping, scene):
    (scene.base / "memory.max").write_text("192M")
    scene.begin("rules", shop=(MEMORY, "160", "100", "random"))
    scene.more(8)
    scene.run_in("backup", sys.executable, "-c", MEMORY, "256", "100", "in order")
    scene.wait(lambda: int(scene.knob("shop/memory.low")) > 0, 120)
    scene.outcome(Outcome.KEPT)
    effect = next(e for e in scene.effects() if e.outcome is Outcome.KEPT)
    assert effect.signal == "shop psi_memory_some_pct", scene.story()
    assert effect.before - effect.after > effect.noise, scene.story()
