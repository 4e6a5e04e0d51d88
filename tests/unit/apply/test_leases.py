# SPDX-License-Identifier: MIT
"""What the holder asks of the module; that the module does it is tests/vm's."""

import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from vagus.abi import BATCH_MAX, LeaseKind
from vagus.apply.leases import Holder
from vagus.flow import LeaseEnd, Setting
from vagus.kmod import Grant, Granted

S = 1_000_000_000
TTL_MS = 5_000


class Kernel:
    """Stands where vagus.ko cannot be: notes what it is asked."""

    def __init__(self) -> None:
        self.now = 0
        self.granted: list[Grant] = []
        self.calls: list[tuple[str, list[int]]] = []
        self.batches: list[int] = []
        self.errors: dict[str, int] = {}  # value -> errno
        self.renew_errors: dict[int, int] = {}
        self.ends: list[LeaseEnd] = []
        self.open_at_grant: list[str] = []

    def grant(self, grants: Sequence[Grant]) -> list[Granted]:
        self.batches.append(len(grants))
        answers = []
        for grant in grants:
            self.granted.append(grant)
            if grant.fd is not None:
                self.open_at_grant.append(os.readlink(f"/proc/self/fd/{grant.fd}"))
            error = -self.errors.get(grant.value, 0)
            id_ = 0 if error else len(self.granted)
            answers.append(Granted(id_, "100", grant.value, error, "", 0, ""))
        return answers

    def renew(self, ids: Iterable[int], ttl_ms: int) -> dict[int, int]:
        self.calls.append(("renew", list(ids)))
        return {i: -self.renew_errors.get(i, 0) for i in self.calls[-1][1]}

    def revoke(self, ids: Iterable[int]) -> object:
        self.calls.append(("revoke", list(ids)))
        return {}

    def ended(self) -> list[LeaseEnd]:
        ends, self.ends = self.ends, []
        return ends

    def info(self) -> object:
        return {}

    def fileno(self) -> int:
        return -1

    def end(self, id_: int, how: str, cause: str = "revoked") -> None:
        self.ends.append(LeaseEnd(id_, "/x", "100", "100", how, cause, 0, 0))


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def holder(kernel: Kernel, tmp_path: Path) -> Holder:
    for name in "abcdef":
        (tmp_path / name).mkdir()
        (tmp_path / name / "cpu.weight").write_text("100")
        (tmp_path / name / "cpu.idle").write_text("0")
    return Holder(kernel, tmp_path, tmp_path, TTL_MS, 600 * S, lambda: kernel.now)


def weight(name: str, value: int) -> Setting:
    path = f"/{name}/cpu.weight"
    return Setting(name, "cpu.weight", path, str(value), "yield cpu 2")


def test_holder_grants_in_order_and_closes_what_it_opened(holder, kernel, tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    granted, refused = holder.hold([weight("b", 20), weight("a", 500)])
    assert [lease.setting.workload for lease in granted] == ["b", "a"]
    assert kernel.open_at_grant == [
        f"{tmp_path}/b/cpu.weight",
        f"{tmp_path}/a/cpu.weight",
    ]
    assert all(grant.ttl_ms == TTL_MS for grant in kernel.granted)
    assert refused == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_holder_asks_nothing_for_what_it_has(holder, kernel):
    holder.hold([weight("a", 500)])
    holder.hold([weight("a", 500)])
    assert len(kernel.granted) == 1
    assert kernel.calls == []


def test_holder_gives_back_newest_first(holder, kernel):
    holder.hold([weight("a", 20)])
    holder.hold([weight("a", 20), weight("b", 20), weight("c", 20)])
    holder.hold([])
    assert kernel.calls == [("revoke", [3, 2, 1])]
    assert not holder.held


def test_holder_replaces_within_the_slot_that_weight_and_idle_share(holder, kernel):
    holder.hold([weight("a", 20)])
    idle = Setting("a", "cpu.idle", "/a/cpu.idle", "1", "yield cpu 3")
    holder.hold([idle])
    assert [lease.setting for lease in holder.held.values()] == [idle]


def test_holder_splits_into_batches(holder, kernel):
    settings = [weight("a", 20)] * 1
    holder.hold(settings)
    many = [Setting("a", "nice", f"task:{os.getpid()}", "5", "yield cpu 1")]
    holder.hold(many)
    assert max(kernel.batches) <= BATCH_MAX


def test_holder_leases_a_thread_by_its_own_pidfd(holder, kernel):
    tid = os.getpid()
    holder.hold([Setting("a", "policy", f"task:{tid}", "batch", "yield cpu 1")])
    (grant,) = kernel.granted
    assert (grant.kind, grant.tid, grant.fd) == (LeaseKind.POLICY, tid, None)


def test_holder_thread_that_is_gone_is_a_refusal(holder, kernel):
    gone = Setting("a", "nice", "task:4194303", "5", "yield cpu 1")
    granted, refused = holder.hold([gone])
    assert not granted
    assert [refusal.code for refusal in refused] == ["gone"]


def test_holder_missing_file_is_a_refusal_and_not_asked_again_at_once(holder, kernel):
    nowhere = weight("nowhere", 20)
    for _ in range(5):
        _, refused = holder.hold([nowhere])
        kernel.now += S // 10
    assert refused == []
    kernel.now += 3 * S
    _, refused = holder.hold([nowhere])
    assert [refusal.code for refusal in refused] == ["no_knob"]
    assert "tried again in 4 s" in refused[0].sentence


def test_holder_refused_value_does_not_stop_the_others(holder, kernel):
    kernel.errors["7"] = errno.EINVAL
    granted, refused = holder.hold([weight("a", 7), weight("b", 20)])
    assert [lease.setting.workload for lease in granted] == ["b"]
    assert [refusal.code for refusal in refused] == ["invalid"]


def test_holder_renews_before_a_third_is_left(holder, kernel):
    holder.hold([weight("a", 20)])
    renewed = []
    for _ in range(100):
        kernel.now += S // 10
        holder.hold([weight("a", 20)])
        holder.renew()
        renewed += [kernel.now] * len(kernel.calls)
        kernel.calls.clear()
        (deadline,) = holder.deadlines_ns().values()
        assert deadline == max([0, *renewed]) + TTL_MS * 1_000_000
    gaps = [b - a for a, b in zip([0, *renewed], renewed, strict=False)]
    assert max(gaps) <= TTL_MS * 1_000_000 * 2 / 3
    assert len(renewed) <= 6


def test_holder_leaves_a_lost_knob_alone_for_its_time(holder, kernel):
    holder.hold([weight("a", 20)])
    kernel.end(1, "lost", "changed")
    assert [end.end for end in holder.ended()] == ["lost"]
    assert not holder.held
    holder.hold([weight("a", 20)])
    kernel.now += 599 * S
    holder.hold([weight("a", 20)])
    assert len(kernel.granted) == 1
    kernel.now += 2 * S
    holder.hold([weight("a", 20)])
    assert len(kernel.granted) == 2


def test_holder_knob_found_changed_at_a_renewal_or_a_new_value_is_lost(holder, kernel):
    holder.hold([weight("a", 20), weight("b", 20)])
    kernel.renew_errors[1] = errno.ESTALE
    refused = holder.renew(force=True)
    assert [refusal.code for refusal in refused] == ["lost"]
    kernel.errors["30"] = errno.ESTALE
    _, refused = holder.hold([weight("b", 30)])
    assert [refusal.code for refusal in refused] == ["lost"]
    assert not holder.held
    holder.hold([weight("a", 20), weight("b", 30)])
    assert len(kernel.granted) == 3


def test_holder_knob_lost_while_given_back_is_left_alone_too(holder, kernel):
    holder.hold([weight("a", 20)])
    holder.hold([])
    kernel.end(1, "lost")
    holder.ended()
    holder.hold([weight("a", 20)])
    assert len(kernel.granted) == 1


def test_holder_does_not_count_what_others_lost(holder, kernel):
    holder.hold([weight("a", 20)])
    kernel.end(77, "restored")
    assert holder.ended() == []
    assert holder.counters["restored"] == 0


def test_holder_that_fell_asleep_takes_its_leases_again(holder, kernel):
    holder.hold([weight("a", 20)])
    kernel.end(1, "restored", "deadline")
    holder.ended()
    granted, _ = holder.hold([weight("a", 20)])
    assert len(granted) == 1


def test_holder_gives_everything_back_at_the_end(holder, kernel):
    with holder:
        holder.hold([weight("a", 20), weight("b", 20)])
    assert kernel.calls == [("revoke", [2, 1])]


def test_holder_notes_a_new_name_without_a_write(holder, kernel):
    holder.hold([weight("a", 20)])
    renamed = Setting("other", "cpu.weight", "/a/cpu.weight", "20", "yield cpu 1")
    holder.hold([renamed])
    assert len(kernel.granted) == 1
    assert [lease.setting for lease in holder.held.values()] == [renamed]
