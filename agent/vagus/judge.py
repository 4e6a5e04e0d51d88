# SPDX-License-Identifier: MIT
"""Judge: a decision is a hypothesis; windows and stances in, effects out; pure.

Stances that begin in the same window for the same objective are one group.  A
group is watched, then withdrawn for a moment and given back:

- worse without it: *kept* (and asked again later, each time after twice as long);
- better without it: *reverted*, and not tried again for a while;
- no difference: *coincident* if the trouble has ended, *reverted* if not.

In any one second anything may happen by chance: worse, but not by far, must be
seen again, by every reading or a third time.

Somebody important who got worse is tested the same way, with his own signal: a
coincidence is not held against a stance, a harm is.  Of other bystanders, whom no
stance is about, it is told: that others get less is what a stance is for.  The judge
only says what to withhold; the loop does it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from statistics import median

import msgspec

from vagus.flow import (
    Effect,
    Outcome,
    Resource,
    Stance,
    Window,
    Word,
    WorkloadWindow,
)
from vagus.noise import Floor
from vagus.trial import (
    CLEARLY,
    HURTING,
    SETTLE,
    SIGNALS,
    Key,
    Name,
    Refuted,
    Telling,
    Trial,
    begun,
    key,
    name,
    objective,
    signal,
    suffers,
    sure,
)
from vagus.wording import Target, effect, quantity, say

NS = 1_000_000_000
# All in windows (1 s by default).
BEFORE = 5
WATCH = 4
PATIENCE = 20  # while the trouble goes on: a backlog takes its time
WITHDRAW = 3  # one to settle, two to measure; ends early when it hurts
REST = 3  # after a withdrawal, before anything else is concluded
RECHECK_MAX = 4 * 3600
HISTORY = 30

QUARANTINE_NS = 60 * NS
QUARANTINE_MAX_NS = 3600 * NS
_NUMBERS = [(resource, number) for resource in SIGNALS for number in SIGNALS[resource]]


class Judge:
    """Remembers windows, trials and verdicts; does no I/O and knows no clock."""

    def __init__(self, telling: Telling = lambda workload: {}) -> None:
        """Start with nothing learned; `telling`: what makes a workload's words."""
        self._telling = telling
        self._floors: dict[Target, Floor] = {}
        self._history: dict[Target, deque[tuple[float, Word]]] = {}
        self._trials: list[Trial] = []
        self._resting: dict[Name, Target] = {}  # coincident, until trouble returns
        self._refuted: dict[Name, Refuted] = {}
        self._places: dict[str, int] = {}  # workload -> cgroup id
        self._tired: frozenset[Key] = frozenset()
        self._now_ns = 0

    def withheld(self, standing: Iterable[Stance]) -> frozenset[Key]:
        """Return which of these stances must not be applied now."""
        tested = {
            name(s)
            for t in self._trials
            if t.phase == "withdraw" and not t.ended
            for s in t.tested
        }
        off = tested | set(self._resting)
        return frozenset(
            key(s) for s in standing if name(s) in off or self.quarantined(s)
        )

    def begin_anew(self, *, same_aims: bool = False) -> None:
        """Forget trials, and what was refuted under other aims."""
        self._trials, self._resting = [], {}
        self._refuted = self._refuted if same_aims else {}

    def refuted(self, stance: Stance) -> tuple[Stance, int]:
        """Return what was refuted of a kind, with its strength, and until when (ns)."""
        refuted = self._refuted[name(stance)]
        strongest = msgspec.structs.replace(stance, strength=refuted.strength)
        return strongest, refuted.until_ns

    def quarantined(self, stance: Stance) -> int:
        """Return until when (ns) a stance is not to be tried, or 0."""
        refuted = self._refuted.get(name(stance))
        if refuted is None or stance.strength > refuted.strength:
            return 0
        return refuted.until_ns if refuted.until_ns > self._now_ns else 0

    def observe(
        self,
        window: Window,
        standing: Sequence[Stance],
        applied: Collection[Key],
        important: Collection[str] = (),
        tired: Collection[Key] = (),
    ) -> list[Effect]:
        """Take one window; return what was concluded from it.

        `standing`: the stances in force; `applied`: those with a live lease;
        `important`: workloads that must not get worse; `tired`: stances that must
        not be withdrawn now, since they could not be given back at once.
        """
        self._now_ns, self._tired = window.end_ns, frozenset(tired)
        self._follow(window)
        self._forget(standing)
        effects = self._begin(window, standing, applied)
        self._remember(window, quiet=not applied)
        self._wake(window)
        for trial in list(self._trials):
            effects += self._advance(trial, window, important, applied)
        return effects

    @property
    def watching(self) -> bool:
        """Say whether something is soon to be withdrawn, for which it must be usual."""
        return any(t.phase == "watch" for t in self._trials)

    def targets(self) -> set[str]:
        """Return the workloads whose fast readings glance() looks at."""
        return {trial.target[0] for trial in self._trials}

    @property
    def asking(self) -> bool:
        """Say whether something is withdrawn now, and fast readings are wanted."""
        return any(t.phase == "withdraw" and not t.ended for t in self._trials)

    def glance(self, fast: Window) -> bool:
        """Look at a 100 ms reading: end a withdrawal that clearly hurts.

        It is compared with its like: of a few waits the longest is often longer than
        of many.  Return True where one was ended: the stance is applied at once.
        """
        ended, span_ns = False, fast.end_ns - fast.start_ns
        for trial in self._trials:
            value = self._value(fast, trial.target)
            if value is not None and not trial.ended:
                noise = self._floor(trial.target).noise(trial.held)
                trial.glance(value, span_ns, noise)
                ended = ended or trial.ended
        return ended

    # ------------------------------------------------------------ beginnings

    def _begin(
        self, window: Window, standing: Sequence[Stance], applied: Collection[Key]
    ) -> list[Effect]:
        """Put stances on trial that were applied since the last window."""
        known = {name(s) for t in self._trials for s in t.stances}
        new = [s for s in standing if key(s) in applied and name(s) not in known]
        groups: dict[Target, list[Stance]] = {}
        for stance in new:
            target = objective(stance, standing, window, self._signal)
            if target is not None:
                groups.setdefault(target, []).append(stance)
        effects = []
        for target, stances in groups.items():
            before, troubled = begun(list(self._history.get(target, ()))[-BEFORE:])
            trial = Trial(stances, target, before, troubled)
            trial.levels = self._levels()
            self._trials.append(trial)
            noise = self._floor(target).noise(before)
            effects += self._conclude(trial, Outcome.PENDING, "applied", noise)
        return effects

    def _signal(self, workload: WorkloadWindow, resource: Resource) -> str:
        return signal(
            workload, resource, self._telling(workload.name).get(resource, "")
        )

    def _levels(self) -> dict[Target, float]:
        return {
            target: median([value for value, _ in list(past)[-BEFORE:]])
            for target, past in self._history.items()
            if past
        }

    # --------------------------------------------------------------- windows

    def _remember(self, window: Window, quiet: bool) -> None:
        for workload in window.workloads.values():
            for resource, number in _NUMBERS:
                value = workload.numbers.get(number)
                if value is None:
                    continue
                target = (workload.name, number)
                word = workload.words.get(resource, Word.UNKNOWN)
                self._history.setdefault(target, deque(maxlen=HISTORY)).append(
                    (value, word)
                )
                if quiet:
                    self._floor(target).learn(value)
                else:
                    self._floor(target).pause()

    def _follow(self, window: Window) -> None:
        """Forget what was seen under a name that now is another cgroup."""
        for who, workload in window.workloads.items():
            before = self._places.get(who, workload.cgroup_id)
            self._places[who] = workload.cgroup_id
            if before == workload.cgroup_id:
                continue
            for known in (self._floors, self._history):
                for target in [t for t in known if t[0] == who]:
                    del known[target]
            self._trials = [t for t in self._trials if not t.concerns(who)]

    def _floor(self, target: Target) -> Floor:
        return self._floors.setdefault(target, Floor(target[1]))

    def _value(self, window: Window, target: Target) -> float | None:
        workload = window.workloads.get(target[0])
        return workload.numbers.get(target[1]) if workload else None

    def _forget(self, standing: Sequence[Stance]) -> None:
        """Drop what the decider no longer wants; that is no verdict."""
        wanted = {name(s): s for s in standing}
        for trial in list(self._trials):
            stances = [wanted[name(s)] for s in trial.stances if name(s) in wanted]
            trial.stances = stances
            trial.tested = [s for s in trial.tested if name(s) in wanted]
            if not stances:
                self._trials.remove(trial)
        self._resting = {n: t for n, t in self._resting.items() if n in wanted}

    def _wake(self, window: Window) -> None:
        """Let coincident stances go again when their objective suffers anew."""
        self._resting = {
            n: target
            for n, target in self._resting.items()
            if not suffers(window, target, n[2])
        }

    # ---------------------------------------------------------------- phases

    def _advance(
        self,
        trial: Trial,
        window: Window,
        important: Collection[str],
        applied: Collection[Key],
    ) -> list[Effect]:
        trial.age += 1
        target = trial.testing or trial.target
        value = self._value(window, target)
        if value is not None and trial.age > SETTLE:
            trial.values.append(value)
        if trial.phase == "withdraw":
            return self._withdrawn(trial, window)
        if not any(key(s) in applied for s in trial.stances):
            # Limits that the reflex let go: nothing is applied, nothing to ask.
            trial.age, trial.values = 0, []
            return []
        resource = trial.stances[0].resource
        trial.troubled = trial.troubled or suffers(window, trial.target, resource)
        harmed = self._harmed(trial, window, important)
        if harmed is not None and trial.phase != "rest":
            self._withdraw(trial, harmed, trial.stances)
        elif trial.phase == "watch":
            self._watched(trial, window)
        elif trial.phase == "rest" and trial.age >= REST:
            self._enter(trial, "kept" if trial.proven else "watch")
        elif trial.phase == "kept" and trial.age >= trial.recheck:
            if suffers(window, trial.target, resource):
                return []  # what has helped before is not taken off in need
            member = trial.stances[trial.turn % len(trial.stances)]
            trial.turn += 1
            self._withdraw(trial, trial.target, [member])
        return []

    def _enter(self, trial: Trial, phase: str) -> None:
        trial.phase, trial.age, trial.values = phase, 0, []
        trial.testing, trial.tested = None, []
        trial.glances, trial.hurting = [], []

    def _watched(self, trial: Trial, window: Window) -> None:
        """Ask the question, where there is one: somebody suffered since.

        Who is about to recover is not set back; who got worse is not left to it.
        """
        recent = [value for value, _ in list(self._history.get(trial.target, ()))[-2:]]
        worst = trial.before + self._floor(trial.target).noise(trial.before)
        suffering = suffers(window, trial.target, trial.stances[0].resource)
        if suffering and median(recent or [0.0]) <= worst and trial.waits < PATIENCE:
            trial.age, trial.values, trial.waits = SETTLE, [], trial.waits + 1
        elif trial.age < SETTLE + WATCH:
            return
        elif trial.troubled:
            party = {s.workload for t in self._trials for s in t.stances}
            aside = self._worse(trial, window, window.workloads.keys() - party)
            trial.aside = [
                f"{say(target, now)} ({quantity(target[1], was)} before)"
                for target, was, now in aside
            ]
            self._withdraw(trial, trial.target, trial.stances)
        else:
            trial.values = trial.values[-WATCH:]

    def _busy(self) -> bool:
        return any(t.phase == "withdraw" for t in self._trials)

    def _withdraw(
        self, trial: Trial, target: Target, stances: Iterable[Stance]
    ) -> None:
        """Begin a withdrawal; one at a time, or none would mean anything."""
        asked = list(stances)
        if self._busy() or not self._tired.isdisjoint(map(key, asked)):
            return
        past = self._history.get(target, ())
        recent = [value for value, _ in list(past)[-WATCH:]]
        if not recent:
            return
        self._enter(trial, "withdraw")
        trial.held = median(recent)
        trial.testing, trial.tested = target, asked

    def _withdrawn(self, trial: Trial, window: Window) -> list[Effect]:
        """Conclude when there is enough, or at once when it clearly hurts."""
        target = trial.testing or trial.target
        noise = self._floor(target).noise(trial.held)
        readings = self._clear(trial, window, noise)
        if trial.age < WITHDRAW and not readings:
            return []
        readings = readings or trial.values
        if not readings:
            if trial.age >= 3 * WITHDRAW:
                return self._fell_silent(trial, window, noise)
            return []
        if target != trial.target:
            return self._ruled_on_harm(trial, target, readings, noise)
        return self._ruled_on_benefit(trial, window, readings, noise)

    def _clear(self, trial: Trial, window: Window, noise: float) -> list[float]:
        """Return the readings, fast ones or windows, that settle it early, if any."""
        if trial.ended:
            return trial.glances
        value = self._value(window, trial.target)
        hurts = value is not None and value > trial.held + CLEARLY * noise
        if trial.testing != trial.target or value is None or not hurts:
            trial.hurting = []
            return []
        # The window in which it settles counts as well: it can only understate.
        trial.hurting.append(value)
        return trial.hurting if len(trial.hurting) >= HURTING else []

    def _fell_silent(self, trial: Trial, window: Window, noise: float) -> list[Effect]:
        """Rule where there was no reading: nobody waits, or nobody can tell."""
        who, number = trial.testing or trial.target
        if not any(number in one.numbers for one in window.workloads.values()):
            self._enter(trial, "rest")  # its source has gone
            return []
        text = f"{who} waits for nothing any more: the trouble ended by itself"
        return self._end(trial, Outcome.COINCIDENT, text, noise)

    def _ruled_on_benefit(
        self, trial: Trial, window: Window, readings: Sequence[float], noise: float
    ) -> list[Effect]:
        without = median(readings)
        worse = without > trial.held + noise
        if worse and sure(trial, readings, noise):
            told = f"{say(trial.target, without)} while it was withdrawn"
            told += ", and so before" if trial.doubts else ""
            told += "".join(f"; meanwhile {one}" for one in trial.aside)
            effects = self._conclude(trial, Outcome.KEPT, told, noise)
            trial.proven, trial.doubts, trial.aside = True, 0, []
            if trial.turn and trial.turn % len(trial.stances) == 0:
                trial.recheck = min(RECHECK_MAX, trial.recheck * 2)
            self._enter(trial, "rest")
            return effects
        if worse:
            trial.doubts += 1
            self._enter(trial, "rest")
            return []
        told = f"{say(trial.target, without)} without it"
        if trial.held > max(readings) + self._floor(trial.target).noise(max(readings)):
            return self._end(trial, Outcome.REVERTED, f"better, {told}", noise, 3)
        if suffers(window, trial.target, trial.tested[0].resource):
            text = f"no difference, {told}, and the trouble goes on"
            return self._end(trial, Outcome.REVERTED, text, noise)
        text = f"no difference, {told}: the trouble ended by itself"
        return self._end(trial, Outcome.COINCIDENT, text, noise)

    def _ruled_on_harm(
        self,
        trial: Trial,
        target: Target,
        readings: Sequence[float],
        noise: float,
    ) -> list[Effect]:
        without = median(readings)
        if trial.held > max(readings) + self._floor(target).noise(max(readings)):
            told = (
                f"it harmed {target[0]}: {say(target, trial.held)} with it, "
                f"{say(target, without)} without"
            )
            return self._end(trial, Outcome.REVERTED, told, noise, 3)
        # Somebody else's doing: take the present as what is normal.
        trial.levels[target] = trial.held
        self._enter(trial, "rest")
        return []

    def _harmed(
        self, trial: Trial, window: Window, important: Collection[str]
    ) -> Target | None:
        """Return somebody important who suffers more than before this trial."""
        if trial.age <= SETTLE:
            return None
        # Where nothing is known of before the withdrawal will tell.
        worse = self._worse(trial, window, important)
        return next((target for target, _, _ in worse), None)

    def _worse(
        self, trial: Trial, window: Window, names: Collection[str]
    ) -> Iterator[tuple[Target, float, float]]:
        """Yield who of these suffers more than before: (signal, before, now)."""
        for who in sorted(set(names) & window.workloads.keys() - {trial.target[0]}):
            for resource in Resource:
                target = (who, self._signal(window.workloads[who], resource))
                if not target[1] or not suffers(window, target, resource):
                    continue
                level = trial.levels.get(target, 0.0)
                now = median([value for value, _ in list(self._history[target])[-2:]])
                if now > level + self._floor(target).noise(level):
                    yield target, level, now

    # -------------------------------------------------------------- verdicts

    def _end(
        self,
        trial: Trial,
        outcome: Outcome,
        told: str,
        noise: float,
        strength: int = 0,
    ) -> list[Effect]:
        """Take what was tested off: quarantine or rest; the others stay on trial."""
        effects = self._conclude(trial, outcome, told, noise)
        for stance in trial.tested:
            if outcome is Outcome.REVERTED:
                self._refute(stance, max(strength, stance.strength))
            else:
                self._resting[name(stance)] = trial.target
        gone = {name(s) for s in trial.tested}
        trial.stances = [s for s in trial.stances if name(s) not in gone]
        self._enter(trial, "rest")
        if not trial.stances:
            self._trials.remove(trial)
        return effects

    def _refute(self, stance: Stance, strength: int) -> None:
        """Quarantine up to this strength, each time for twice as long."""
        before = self._refuted.get(name(stance))
        times = 0
        if before and self._now_ns - before.until_ns < QUARANTINE_MAX_NS:
            times = before.times + 1
        wait = min(QUARANTINE_MAX_NS, QUARANTINE_NS << min(times, 16))
        self._refuted[name(stance)] = Refuted(strength, self._now_ns + wait, times)

    def _conclude(
        self, trial: Trial, outcome: Outcome, told: str, noise: float
    ) -> list[Effect]:
        stances = trial.tested or trial.stances
        after = trial.before if outcome is Outcome.PENDING else trial.held
        levels = (trial.before, after, noise)
        others = len(stances) - 1
        return [
            effect(stance, others, trial.target, levels, outcome, told)
            for stance in stances
        ]
