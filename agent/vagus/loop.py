# SPDX-License-Identifier: MIT
"""The loop: sense, window, decide, verify, apply, judge, record; once a tick.

Between ticks the reflex looks every 100 ms, or when something wakes it, at the
mapped table and PSI alone, and only while somebody has a stance.  One thread;
nothing here waits except Waker.wait.
"""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Sequence
from datetime import datetime

from vagus.apply.ground import Ground
from vagus.apply.reflex import Acted, Gate
from vagus.apply.trouble import concerned
from vagus.course import Course, aims
from vagus.errors import VagusError
from vagus.flow import (
    Act,
    CpuHandle,
    Effect,
    LeaseEnd,
    Mode,
    Outcome,
    Record,
    Refusal,
    Setting,
    Stance,
    Window,
)
from vagus.parts import Parts
from vagus.policy.knobs import LEAVE_ALONE_NS
from vagus.policy.model import Policy, from_next_start
from vagus.policy.trust import own_bounds
from vagus.reaction import Reactions
from vagus.senses import WAKING, Senses
from vagus.settings import Facts, verify_settings
from vagus.urgency import BEARABLE, Urgency, all_have
from vagus.wake import Waker
from vagus.wishes import advice_taken

NS = 1_000_000_000
# How often a module that is missing is looked for.
ATTACH_NS = 5 * NS
# Two woken reflexes are at least this far apart, however often something wakes us.
# Each one that had nothing to write doubles it, up to the pace it has without waking:
# who waits long although everything is done would only be told so more often.  The
# first wake-up after a calm is answered at once.
APART_NS = 20_000_000
IN_VAIN = 5  # looks that called for nothing, before they come further apart
# A reflex rests this many times as long as it worked: a twentieth of a CPU in the end,
# which matters where CPUs are slow (at a tenth the emulated guest gave it 16 %).
REFLEX_REST = 20
# While nobody suffers, and a wake-up would tell if somebody began to, it looks less
# often: a machine at rest should not pay for who watches it.  Warm is no suffering:
# who is protected at work is that all the time, and the law leaves it as it is.
CALM_NS = 300_000_000
# What wakes us is answered without that rest until so much CPU time is spent; ten
# seconds of calm earn it again.  So trouble that begins is answered at once, for a
# second or two even where one reflex takes 12 ms (the emulated guest).
SPARE_NS = 500_000_000
# While something is withdrawn, which is seldom: there every 100 ms hurt somebody.
ASKING_REST = 4
log = logging.getLogger("vagus")


class Loop:
    """One agent at work; run() until it is stopped, or tick() by hand."""

    def __init__(self, parts: Parts) -> None:
        """Take the parts; they are closed by whoever made them."""
        self.parts = parts
        self.course = Course(parts.policy)
        self.senses = Senses(parts)
        self._reactions = Reactions()
        self.planned: list[Setting] = []
        self.window: Window | None = None
        self.stopping = False
        self._tick = 0
        self._acted: list[Acted] = []
        self._ended: list[LeaseEnd] = []
        self._attach_ns = self._woken_ns = self._next_reflex = 0
        self._in_vain = 0  # woken looks in a row that called for nothing
        self._urgency = Urgency(lambda is_urgent: self.parts.urge(is_urgent))
        self._rung: set[str] = set()  # which sensors woke us since the last look
        self._is_moving = False  # whether the last look wrote something
        self._due_ns = 0  # when the reflex looks although nothing wakes it
        self._begun_ns, self._rested_ns = parts.clock(), 0
        self._spare_ns = SPARE_NS
        self.missing = ""
        self._cpu = parts.reflex.cpu
        self._counters = dict.fromkeys(
            ("loop.ticks", "loop.reflexes", "loop.wakes", "loop.late"), 0
        )

    # ----------------------------------------------------------------- running

    def run(self, waker: Waker) -> None:
        """Run until SIGTERM or SIGINT; SIGHUP reads the policy again."""
        next_tick = self._next_reflex = self.parts.clock()
        while not self.stopping:
            now = self.parts.clock()
            if now >= next_tick:
                waiting = self._reactions.waiting and self.course.standing
                if waiting and now >= self._rested_ns:
                    self.reflex()  # what woke us need not wait for a whole tick
                self.tick()
                self._watch(waker)
                next_tick = self._next(next_tick, self.parts.tick_ns)
            elif self.course.standing and now >= self._next_reflex:
                self.reflex()
            due = (
                min(next_tick, self._next_reflex) if self.course.standing else next_tick
            )
            ready = waker.wait((due - self.parts.clock()) / NS)
            self._signals(waker)
            self._woken(ready)
        self.let_go()

    def let_go(self) -> None:
        """Give everything back, and put that on record."""
        self.course.forget()
        self.parts.reflex.release()
        if self.window is not None:
            self._record(self.window, [])

    def _next(self, due: int, step: int) -> int:
        """Return the next due time; what was missed is left out and counted."""
        missed = max(0, (self.parts.clock() - due) // step)
        self._counters["loop.late"] += missed
        return due + (missed + 1) * step

    def _watch(self, waker: Waker) -> None:
        """Watch every descriptor; those that moved are taken anew."""
        for sensor in self.parts.sensors:
            if sensor.name in WAKING:
                waker.watch(f"sensor {sensor.name}", sensor.fileno(), edge=True)
        waker.watch("decider", self.parts.decider.fileno())
        waker.watch("finder", self.parts.finder.fileno(), edge=True)
        waker.watch("leases", self.parts.reflex.fileno())
        if self.parts.port is not None:
            waker.watch("port", self.parts.port.fileno())

    def _signals(self, waker: Waker) -> None:
        for sig in waker.signals():
            if sig is signal.SIGHUP:
                self.reload()
            else:
                log.info("%s: giving everything back", sig.name)
                self.stopping = True

    def _woken(self, ready: set[str]) -> None:
        """Serve what is ready; a sensor's wake-up is a reflex at once."""
        now = self.parts.clock()
        self._counters["loop.wakes"] += bool(ready)
        if "port" in ready and self.parts.port is not None:
            self.parts.port.service()
        if "leases" in ready:
            self._drain_ends()
        window = self.window
        if "decider" in ready and window is not None and self._answered(window):
            self._hold(window)
        if rung := {name for name in ready if name.startswith("sensor")}:
            self._rung |= rung
            if "sensor psi" in rung and not self.course.standing:
                self._urgency.need(True)
            self._reactions.woken(now)
            # What is not drained yet does not wake again: nothing is lost by this.
            soonest = max(self._woken_ns + self._apart(), self._rested_ns)
            if self.parts.judge.asking:  # readings are compared: not of shorter times
                soonest = max(soonest, self._begun_ns + self.parts.reflex_ns)
            self._next_reflex = min(self._next_reflex, soonest)

    # ------------------------------------------------------------- the six calls

    def tick(self) -> Record:
        """Do everything once; return what is on record."""
        begun_ns, used_ns = self.parts.clock(), self.parts.used()
        self._counters["loop.ticks"] += 1
        self._tick += 1
        self._attach()
        self._refresh()
        policy = self.course.policy
        window = self.window = self.senses.window(self._tick, policy)
        self._consider(window)
        effects = self._judge(window)
        acted = self._hold(window)
        self._reactions.looked(self.parts.clock(), bool(acted.granted))
        self._urgency.ticked()
        took_ns = self.parts.used() - used_ns
        waited_ns = self.parts.clock() - begun_ns - took_ns
        self._need(window, self._about(), acted, waited_ns)
        return self._record(window, effects)

    def _consider(self, window: Window) -> None:
        """Decide and verify; a decider that breaks is replaced, the loop goes on."""
        try:
            self.course.consider(self.parts.decider, window, self.parts.clock())
        except Exception as error:
            self._broken(error)

    def _answered(self, window: Window) -> bool:
        """Take an answer between ticks; True where there was one."""
        decider, now = self.parts.decider, self.parts.clock()
        try:
            return self.course.answered(decider, window, now)
        except Exception as error:
            self._broken(error)
            return False

    def _broken(self, error: Exception) -> None:
        """Let the spare decider answer until the policy is read again."""
        name = self.parts.decider.name
        log.error("the decider %s broke; rules decide instead", name, exc_info=error)
        self.course.instead = f"{name} broke: {type(error).__name__}: {error}"
        self.senses.note("decider-broke", self.course.instead)
        with contextlib.suppress(Exception):
            self.parts.decider.close()
        self.parts.decider = self.parts.spare(self.course.policy)

    def _judge(self, window: Window) -> list[Effect]:
        """Judge what has been held; what is refuted is not tried again for now."""
        judge = self.parts.judge
        standing = self.course.standing
        important = self.senses.important(self.course.policy)
        important |= {s.workload for s in standing if s.act is Act.PROTECT}
        reflex = self.parts.reflex
        effects = judge.observe(
            window, standing, reflex.applied(), important, reflex.tired()
        )
        for effect in effects:
            self.parts.reward(effect)
            if effect.outcome is Outcome.REVERTED:
                self.course.refuse(*judge.refuted(effect.stance))
        return effects

    def _hold(self, window: Window, fast: Window | None = None) -> Acted:
        """Hold what stands; with `fast`, only tighten."""
        reflex, standing = self.parts.reflex, self.course.standing
        if fast is None:
            reflex.choose(self.course.policy)
            reflex.survey(standing, self.senses.found)
        acted = reflex.act(
            standing,
            window,
            self.course.bounds,
            self._gate(window, reflex.ground, self.course.policy),
            fast=fast,
            withdrawn=self.parts.judge.withheld(standing) | self.course.withdrawn,
            own=own_bounds(self.course.policy, window),
        )
        self.planned = acted.wanted
        self._acted.append(acted)
        self._is_moving = bool(acted.granted)
        if acted.granted:
            self._in_vain = 0
        return acted

    def plan(self) -> list[Setting]:
        """Return the settings that are held, and those that advice would lead to."""
        course, window, verdict = self.course, self.window, self.course.verdict
        if verdict is None or window is None:
            return self.planned
        is_held = verdict.mode is Mode.ENFORCE
        advice = verdict.advised if is_held else verdict.allowed
        names = {stance.workload for stance in advice}
        if not names:
            return self.planned
        stances, found = [*verdict.allowed, *verdict.advised], self.senses.found
        bounds = course.bounds, own_bounds(course.policy, window)
        wanted, ground = self.parts.reflex.dry(stances, found, window, *bounds)
        wanted, _ = self._gate(window, ground, advice_taken(course.policy))(wanted)
        held = [one for one in self.planned if one.workload not in names]
        return held + [one for one in wanted if one.workload in names]

    def _gate(self, window: Window, ground: Ground, policy: Policy) -> Gate:
        """Return the last check of settings, by what was seen."""
        held = {
            lease.setting.path: lease.value for lease in self.parts.reflex.held.values()
        }
        seen = ground.populated, ground.memory_bytes, ground.kept
        facts = Facts(ground.working_set, held, *seen)

        def gate(settings: list[Setting]) -> tuple[list[Setting], list[Refusal]]:
            return verify_settings(settings, policy, window, facts)

        return gate

    def reflex(self) -> None:
        """Look at the fast sources alone; tighten what must be, at once."""
        if self.window is None:
            return
        begun_ns, used_ns = self.parts.clock(), self.parts.used()
        woken = self._reactions.waiting
        about = self._about()
        rung, self._rung = self._rung, set()
        heard = self.senses.heard(about)
        idle = not (heard or self._is_moving) and begun_ns < self._due_ns
        if rung == {"sensor ring"} and idle:
            # Those wait who are to wait.  Time will tell the rest.
            self._reactions.looked(begun_ns, False)
            self._woken_ns, self._next_reflex = begun_ns, self._due_ns
            self._in_vain += 1
            return
        self._counters["loop.reflexes"] += 1
        fast = self.senses.fast(self._tick, about)
        self.parts.judge.glance(fast)
        acted = self._hold(self.window, fast)
        now = self.parts.clock()
        self._reactions.looked(now, bool(acted.granted))
        # On a slow or crowded machine the agent must not be the neighbour itself.
        # Its CPU time counts: who had to wait for a CPU should not wait longer still.
        rest = ASKING_REST if self.parts.judge.asking else REFLEX_REST
        took_ns = self.parts.used() - used_ns
        self._need(fast, about, acted, now - begun_ns - took_ns)
        earned_ns = (begun_ns - self._begun_ns) // rest
        self._spare_ns = min(SPARE_NS, self._spare_ns + earned_ns) - took_ns
        self._begun_ns = begun_ns
        rested_ns = begun_ns + took_ns * rest
        self._next_reflex = max(begun_ns + self._pace(fast), rested_ns)
        self._due_ns = self._next_reflex
        self._rested_ns = rested_ns if self._spare_ns < 0 else 0
        if not woken:
            if begun_ns - self._woken_ns >= self.parts.reflex_ns:
                self._in_vain = 0
            return
        self._woken_ns = begun_ns
        self._in_vain = 0 if acted.granted else self._in_vain + 1

    def _apart(self) -> int:
        """Return how far apart two looks that somebody woke us for begin, ns."""
        doubled = min(8, max(0, self._in_vain - IN_VAIN))
        return min(APART_NS << doubled, self.parts.reflex_ns)

    def _about(self) -> frozenset[str] | None:
        """Return on whose readings the law and the judge rest; None: on everybody's."""
        about = concerned(self.course.standing)
        return None if about is None else about | self.parts.judge.targets()

    def _need(
        self,
        window: Window,
        about: frozenset[str] | None,
        acted: Acted,
        waited_ns: int,
    ) -> None:
        """Ask for more of the CPU where it is urgent, by a window or a reading."""
        suffers = not all_have(BEARABLE, window, about)
        is_on = bool(acted.granted) or self.parts.judge.asking
        self._urgency.need(suffers or is_on, waited_ns)

    def _pace(self, fast: Window) -> int:
        """Return after which time the reflex looks again, ns, unless it is woken."""
        wakes = [s.fileno() >= 0 for s in self.parts.sensors if s.name in WAKING]
        judge = self.parts.judge
        calm = all_have(BEARABLE, fast) and not (judge.watching or judge.asking)
        if calm and wakes and all(wakes):
            return max(self.parts.reflex_ns, CALM_NS)
        return self.parts.reflex_ns

    def _record(self, window: Window, effects: list[Effect]) -> Record:
        """Put everything on record and show it to who watches."""
        self._drain_ends()
        cpu = self._handle()
        proposal, verdict, basis = self.course.take_fresh()
        record = Record(
            wall_ns=self.parts.wall(),
            window=window,
            proposal=proposal,
            verdict=verdict,
            basis=basis,
            granted=[lease for acted in self._acted for lease in acted.granted],
            steps=[acted.step for acted in self._acted if acted.step],
            ended=self._ended,
            failed=[refusal for acted in self._acted for refusal in acted.refused],
            effects=effects,
            events=self.senses.take_events(),
            cost=self.parts.cost.read(),
            policy=self.course.policy.text_hash,
            counters=self.counters(),
            cpu=cpu,
        )
        self._acted, self._ended = [], []
        self.parts.put(record)
        self.parts.publish(record)
        return record

    # ----------------------------------------------------------------- helpers

    def _drain_ends(self) -> None:
        ends = self.parts.reflex.ended()
        self._ended += ends
        if any(end.cause == "off" for end in ends):
            self.stand_down("`vagus off`")
        if self.parts.reflex.told_off():
            self.stand_down("the scheduler was ended by hand")

    def _handle(self) -> CpuHandle:
        """Return by what CPU stances are held; another than before is an event."""
        cpu, before = self.parts.reflex.cpu, self._cpu
        self._cpu = cpu
        if (cpu.handle, cpu.reason) != (before.handle, before.reason):
            log.info("CPU stances by %s: %s", cpu.handle, cpu.reason)
            self.senses.note("scheduler", f"{cpu.handle}: {cpu.reason}")
        return cpu

    def _attach(self) -> None:
        """Look for a module that is missing, now and then."""
        now = self.parts.clock()
        if not self.parts.reflex.missing or now < self._attach_ns:
            return
        self._attach_ns = now + ATTACH_NS
        why = self.parts.attach()
        if why and why != self.missing:
            log.warning("nothing can be set: %s", why)
        self.missing = why
        if not why:
            self.senses.begin_anew()

    def reload(self) -> str:
        """Read the policy again; an invalid one changes nothing. Return a sentence."""
        try:
            policy = self.parts.reload()
            decider = self.parts.rewire(policy)
        except VagusError as error:
            log.error("the policy in force stays: %s", error)
            self.senses.note("policy-refused", str(error))
            return f"the policy in force stays: {error}"
        if decider is not self.parts.decider:
            self.parts.decider.close()
            self.parts.decider = decider
        self.course.base, self.course.instead = policy, ""
        self._refresh()
        told = f"policy {policy.text_hash} is in force"
        if later := from_next_start(self.parts.policy, policy):
            told += f"; from the next start on: {', '.join(later)}"
        self.senses.note("policy", told)
        return told

    def _refresh(self) -> None:
        """Bring the policy in force up to date with the hour and the wishes."""
        local = datetime.fromtimestamp(self.parts.wall() / NS)
        before = self.course.policy
        if not self.course.refresh(self.parts.clock(), local):
            return
        policy = self.course.policy
        self.parts.finder.set_policy(policy)
        for windower in (self.parts.windower, self.parts.fast):
            windower.set_policy(policy)
        self.parts.reflex.retime(policy.budget.lease_ms, LEAVE_ALONE_NS)
        self.parts.reflex.begin_anew()
        self.parts.judge.begin_anew(same_aims=aims(policy) == aims(before))

    def undo(self, number: str, stances: Sequence[Stance], until_ns: int) -> None:
        """Give a decision's stances back now; they are not tried before a time."""
        self.course.undo(number, stances, until_ns)
        self.parts.reflex.begin_anew()  # the operator's word is no oscillation
        if self.window is not None:
            self._hold(self.window)

    def stand_down(self, why: str) -> None:
        """Give everything back and only advise from now on."""
        log.warning("%s: from now on the mode is advise", why)
        self.senses.note("stand-down", why)
        self.course.stand_down()
        self.parts.reflex.release()

    def counters(self) -> dict[str, int]:
        """Return what every source, the decider and the leases count."""
        counted = self._counters | self.senses.counters()
        counted |= self._reactions.counters()
        counted |= {
            "loop.events_dropped": self.senses.dropped,
            "decider.proposals": self.course.proposals,
            "decider.fallbacks": self.course.fallbacks,
        }
        leases = self.parts.reflex.counters
        counted |= {f"leases.{name}": count for name, count in leases.items()}
        scheduler = self.parts.reflex.scheduler
        counted |= {f"scheduler.{name}": count for name, count in scheduler.items()}
        model = self.parts.model()
        counted |= {f"model.{name}": count for name, count in model.items()}
        return counted
