# SPDX-License-Identifier: MIT
"""Is there trouble on a resource?  Hits to enter, hits to leave, patience.

Weights cost nothing while nobody competes, so they are held as long as their
stance stands.  Limits (io.max, cpu.max, memory.high, wbt) cost throughput, so
they are held only during trouble.

Trouble that ends because of the limit comes back when the limit goes: each return
triples the calm that is asked for before letting go again (ten minutes at most),
so the cycle dies out instead of ringing.  Trouble that goes on although something
is done makes stances count one strength more, until it is over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from vagus.flow import Act, Resource, Stance, Window, Word

RANKS = tuple(Word)[:-1]  # from best to worst, without unknown
# A full window counts as two of the 100 ms readings: one bad second is enough.
ENTER_HITS = 2
LEAVE_WINDOWS = 5
LEAVE_WINDOWS_MAX = 600
LEAVE_FACTOR = 3
# So many bad windows although something is done: a backlog needs a few to drain.
HARDER_WINDOWS = 4
# A return within this many windows after letting go was our own doing.
RETURN_WINDOWS = 120


class Watch(msgspec.Struct, frozen=True):
    """What is remembered of one resource's trouble."""

    on: bool = False
    hits: int = 0
    calm: int = 0
    patience: int = LEAVE_WINDOWS
    since_left: int = RETURN_WINDOWS
    bad: int = 0  # windows of trouble, since it is on

    @property
    def harder(self) -> bool:
        """Say whether what is done is not enough."""
        return self.bad >= HARDER_WINDOWS


def beneficiaries(
    stances: Iterable[Stance], resource: Resource, names: Iterable[str]
) -> set[str]:
    """Return whom stances on a resource are for: the protected, else all others."""
    about = [s for s in stances if s.resource is resource]
    protected = {s.workload for s in about if s.act is Act.PROTECT}
    yielding = {s.workload for s in about if s.act is Act.YIELD}
    return protected or set(names) - yielding


def concerned(stances: Collection[Stance]) -> frozenset[str] | None:
    """Return whose words these stances rest on; None where it is everybody's."""
    found: set[str] = set()
    for resource in {s.resource for s in stances if s.act is not Act.LEAVE}:
        protected = beneficiaries(stances, resource, ())
        if not protected:
            return None
        found |= protected
    return frozenset(found) or None


def worst(window: Window, names: Iterable[str], resource: Resource) -> Word:
    """Return the worst word of these workloads on a resource; unknown if none."""
    seen = [
        workload.words.get(resource, Word.UNKNOWN)
        for name in names
        if (workload := window.workloads.get(name))
    ]
    known = [word for word in seen if word is not Word.UNKNOWN]
    return max(known, key=RANKS.index, default=Word.UNKNOWN)


def watched(watch: Watch, word: Word, full: bool) -> Watch:
    """Return the watch after one more reading; `full`: a window, not 100 ms."""
    if word in (Word.BAD, Word.CRITICAL):
        weight = 2 if full or word is Word.CRITICAL else 1
        return _hot(watch, watch.hits + weight, full)
    if not full:
        return msgspec.structs.replace(watch, hits=0)
    if word is Word.OK:
        return _calm(msgspec.structs.replace(watch, hits=0))
    # Warm and unknown are neither: the band in which nothing changes.
    return msgspec.structs.replace(watch, hits=0)


def _hot(watch: Watch, hits: int, full: bool) -> Watch:
    if watch.on or hits < ENTER_HITS:
        bad = watch.bad + (watch.on and full)
        return msgspec.structs.replace(watch, hits=hits, calm=0, bad=bad)
    patience = LEAVE_WINDOWS
    if watch.since_left < RETURN_WINDOWS:
        patience = min(LEAVE_WINDOWS_MAX, watch.patience * LEAVE_FACTOR)
    return Watch(on=True, patience=patience)


def _calm(watch: Watch) -> Watch:
    if not watch.on:
        since = min(RETURN_WINDOWS, watch.since_left + 1)
        return msgspec.structs.replace(watch, since_left=since)
    if watch.calm + 1 < watch.patience:
        return msgspec.structs.replace(watch, calm=watch.calm + 1)
    return Watch(patience=watch.patience, since_left=0)
