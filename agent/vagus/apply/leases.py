# SPDX-License-Identifier: MIT
"""Settings -> leases: what is wanted is granted, renewed, and given back.

A value reaches a knob through the kernel module or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

import msgspec

from vagus.abi import BATCH_MAX, LeaseKind
from vagus.apply.aims import slot
from vagus.errors import KernelError
from vagus.flow import Lease, LeaseEnd, Refusal, Setting
from vagus.kmod import Grant, Granted

NS_PER_MS = 1_000_000
# Renewed when this much of the time to live is left: a third is the promise, the
# rest is for a loop that is late.
RENEW_BELOW = 0.6
# After a refusal a knob is tried again after this, doubled each time.
RETRY_NS = 2_000_000_000
RETRY_MAX_NS = 300_000_000_000
# Linux pidfd_open(2): PIDFD_THREAD is O_EXCL (since 6.9), a descriptor for a
# thread and not for its process.
PIDFD_THREAD = os.O_EXCL
SYSFS_KNOBS = ("wbt_lat_usec",)
TASK_KINDS = {"nice": LeaseKind.NICE, "policy": LeaseKind.POLICY}

Slot = tuple[str, str]


class Leaser(Protocol):
    """The part of kmod.Module that a Holder needs."""

    def grant(self, grants: Sequence[Grant]) -> list[Granted]:
        """Set and hold."""

    def renew(self, ids: Iterable[int], ttl_ms: int) -> dict[int, int]:
        """Return 0 or a negative errno by id."""

    def revoke(self, ids: Iterable[int]) -> object:
        """Give back."""

    def ended(self) -> list[LeaseEnd]:
        """Return what ended since the last call; never blocks."""

    def info(self) -> object:
        """Raise KernelError where the module is gone."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when something ended."""


class Avoided(msgspec.Struct, frozen=True):
    """A knob that is left alone for a while, and why."""

    until_ns: int
    code: str
    tries: int


class Holder:
    """Holds settings as leases; the only place from which a knob is set."""

    def __init__(
        self,
        module: Leaser,
        cgroups: Path,
        sysfs: Path,
        ttl_ms: int,
        leave_alone_ns: int,
        clock: Callable[[], int],
    ) -> None:
        """Take a module and the mount points; `leave_alone_ns`: after a loss."""
        self._module, self._clock = module, clock
        self._cgroups, self._sysfs = cgroups, sysfs
        self.ttl_ms, self.leave_alone_ns = ttl_ms, leave_alone_ns
        self._held: dict[Slot, Lease] = {}
        self._renewed_ns: dict[int, int] = {}
        self._slots: dict[int, Slot] = {}  # until the end of the lease is told
        self._avoid: dict[Slot, Avoided] = {}
        self.counters = dict.fromkeys(
            ("granted", "renewed", "restored", "lost", "gone", "failed", "refused"), 0
        )

    @property
    def held(self) -> Mapping[Slot, Lease]:
        """Return the live leases by slot."""
        return self._held

    @property
    def avoided(self) -> Mapping[Slot, Avoided]:
        """Return the knobs left alone now."""
        now = self._clock()
        return {k: a for k, a in self._avoid.items() if a.until_ns > now}

    def deadlines_ns(self) -> dict[int, int]:
        """Return until when the kernel holds each lease, if nobody renews it."""
        ttl_ns = self.ttl_ms * NS_PER_MS
        return {id_: at + ttl_ns for id_, at in self._renewed_ns.items()}

    def fileno(self) -> int:
        """Return a descriptor that is readable when ended() has something."""
        return self._module.fileno()

    def hold(self, settings: Sequence[Setting]) -> tuple[list[Lease], list[Refusal]]:
        """Hold exactly these, in this order; give the rest back, newest first.

        Raise KernelError where the module is gone or does not answer.
        """
        wanted = {slot(s.knob, s.path): s for s in settings}
        granted: list[Lease] = []
        refused: list[Refusal] = []
        new = [s for key, s in wanted.items() if self._is_new(key, s)]
        for start in range(0, len(new), BATCH_MAX):
            self._grant(new[start : start + BATCH_MAX], granted, refused)
        self._relabel(wanted)
        gone = [lease for key, lease in self._held.items() if key not in wanted]
        self._revoke(gone)
        return granted, refused

    def look(self) -> None:
        """Raise KernelError where the module is gone, which else a lease tells."""
        if not self._held:
            self._module.info()

    def _relabel(self, wanted: Mapping[Slot, Setting]) -> None:
        """Note for whom and why a value is held now, where it stays as it is."""
        for key, lease in self._held.items():
            setting = wanted.get(key)
            if setting and setting != lease.setting and not self._differs(key, setting):
                self._held[key] = msgspec.structs.replace(lease, setting=setting)

    def _is_new(self, key: Slot, setting: Setting) -> bool:
        avoided = self._avoid.get(key)
        if avoided and avoided.until_ns > self._clock():
            return False
        return self._differs(key, setting)

    def _differs(self, key: Slot, setting: Setting) -> bool:
        lease = self._held.get(key)
        same = lease and (lease.setting.path, lease.setting.value)
        return same != (setting.path, setting.value)

    def _grant(
        self, batch: list[Setting], granted: list[Lease], refused: list[Refusal]
    ) -> None:
        """Ask for one batch; a file or thread that is not there is a refusal."""
        with contextlib.ExitStack() as opened:
            asked = []
            for setting in batch:
                try:
                    asked.append((setting, self._request(setting, opened)))
                except OSError as error:
                    words = error.strerror or str(error)
                    refused.append(self._refuse(setting, -(error.errno or 5), words))
            if not asked:
                return
            answers = self._module.grant([request for _, request in asked])
        for (setting, _), answer in zip(asked, answers, strict=True):
            if answer.error:
                words = answer.message or os.strerror(-answer.error)
                refused.append(self._refuse(setting, answer.error, words))
            else:
                granted.append(self._keep(setting, answer))

    def _request(self, setting: Setting, opened: contextlib.ExitStack) -> Grant:
        """Open what the lease is for; the module keeps a file of its own."""
        kind = TASK_KINDS.get(setting.knob)
        if kind is not None:
            tid = int(setting.path.removeprefix("task:"))
            pidfd = os.pidfd_open(tid, PIDFD_THREAD)
            opened.callback(os.close, pidfd)
            return Grant(
                fd=None,
                value=setting.value,
                ttl_ms=self.ttl_ms,
                kind=kind,
                pidfd=pidfd,
                tid=tid,
            )
        root = self._sysfs if setting.knob in SYSFS_KNOBS else self._cgroups
        fd = os.open(root / setting.path.lstrip("/"), os.O_RDWR | os.O_CLOEXEC)
        opened.callback(os.close, fd)
        return Grant(fd=fd, value=setting.value, ttl_ms=self.ttl_ms)

    def _keep(self, setting: Setting, answer: Granted) -> Lease:
        key = slot(setting.knob, setting.path)
        before = self._held.get(key)
        lease = Lease(
            answer.id, setting, answer.old, answer.value, self.ttl_ms, self._clock()
        )
        # The newest is last, so that giving back newest first is reading backwards.
        self._held.pop(key, None)
        self._held[key] = lease
        self._renewed_ns[lease.id] = lease.granted_ns
        self._slots[lease.id] = key
        self._avoid.pop(key, None)
        self.counters["granted"] += 1
        if before is not None and before.id != lease.id:
            self._module.revoke([before.id])
            self._renewed_ns.pop(before.id, None)
        return lease

    def _refuse(self, setting: Setting, error: int, words: str) -> Refusal:
        """Remember a refusal, so that it is not asked for ten times a second."""
        key = slot(setting.knob, setting.path)
        if error == -errno.ESTALE:
            return self._lose(setting)
        tries = self._avoid[key].tries + 1 if key in self._avoid else 1
        wait_ns = min(RETRY_MAX_NS, RETRY_NS << min(tries - 1, 20))
        code = errno_code(error)
        self._avoid[key] = Avoided(self._clock() + wait_ns, code, tries)
        self.counters["refused"] += 1
        sentence = (
            f"{setting.path}: {setting.value!r} was refused: {words}; "
            f"tried again in {wait_ns / 1e9:.0f} s"
        )
        return Refusal(code, sentence, setting.workload)

    def _lose(self, setting: Setting) -> Refusal:
        """Leave a knob alone that somebody else has set; they win."""
        key = slot(setting.knob, setting.path)
        self._held.pop(key, None)
        self._avoid[key] = Avoided(self._clock() + self.leave_alone_ns, "lost", 0)
        minutes = self.leave_alone_ns / 60e9
        sentence = (
            f"{setting.path}: somebody else has set it; "
            f"left alone for {minutes:.0f} minutes"
        )
        return Refusal("lost", sentence, setting.workload)

    def _revoke(self, leases: Sequence[Lease]) -> None:
        if leases:
            self._module.revoke([lease.id for lease in reversed(leases)])
        for lease in leases:
            self._forget(lease)

    def _forget(self, lease: Lease) -> None:
        key = slot(lease.setting.knob, lease.setting.path)
        if self._held.get(key) is lease:
            del self._held[key]
        self._renewed_ns.pop(lease.id, None)

    def release(self) -> None:
        """Give everything back, newest first."""
        self._revoke(list(self._held.values()))

    def drop(self) -> None:
        """Forget every lease without a word to a module that is gone."""
        self._held.clear()
        self._renewed_ns.clear()
        self._slots.clear()

    def renew(self, *, force: bool = False) -> list[Refusal]:
        """Renew every lease of which less than RENEW_BELOW is left."""
        now = self._clock()
        oldest = min(self._renewed_ns.values(), default=now)
        left_ns = self.ttl_ms * NS_PER_MS - (now - oldest)
        if not self._held or (
            left_ns > RENEW_BELOW * self.ttl_ms * NS_PER_MS and not force
        ):
            return []
        by_id = {lease.id: lease for lease in self._held.values()}
        answers = self._module.renew(list(by_id), self.ttl_ms)
        refused = []
        for id_, lease in by_id.items():
            error = answers.get(id_, -errno.ENOENT)
            if error == 0:
                self._renewed_ns[id_] = now
                self.counters["renewed"] += 1
            elif error == -errno.ESTALE:
                self._forget(lease)
                refused.append(self._lose(lease.setting))
            elif error != -errno.EAGAIN:
                # It ended meanwhile; how is told by multicast.
                self._forget(lease)
                words = f"{lease.setting.path}: the lease had ended before its renewal"
                refused.append(Refusal("ended", words, lease.setting.workload))
        return refused

    def ended(self) -> list[LeaseEnd]:
        """Return how leases ended since the last call; a lost knob is left alone."""
        mine = []
        for end in self._module.ended():
            key = self._slots.pop(end.id, None)
            if key is None:  # another owner's
                continue
            mine.append(end)
            self.counters[end.end] += 1
            lease = self._held.get(key)
            if lease is not None and lease.id == end.id:
                self._forget(lease)
            if end.end in ("lost", "failed"):
                until = self._clock() + self.leave_alone_ns
                self._avoid[key] = Avoided(until, end.end, 0)
        return mine

    def __enter__(self) -> Holder:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give everything back; a module that is gone has done so itself."""
        with contextlib.suppress(KernelError):
            self.release()


def errno_code(error: int) -> str:
    """Return a stable code for a negative errno."""
    names = {
        errno.EBUSY: "busy",
        errno.ENOENT: "no_knob",
        errno.ENODEV: "gone",
        errno.ESRCH: "gone",
        errno.EPERM: "not_leasable",
        errno.EACCES: "not_leasable",
        errno.EINVAL: "invalid",
        errno.EOPNOTSUPP: "unsupported",
    }
    return names.get(-error, "refused")
