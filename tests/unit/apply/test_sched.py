# SPDX-License-Identifier: MIT
"""What of the sched_ext handle needs no kernel: who may not be scheduled, and why."""

import struct
from pathlib import Path

from vagus.abi import SchedClass
from vagus.apply.sched import SchedExt, _entry, limited
from vagus.flow import Act, Resource, Stance


def test_limited_names_only_who_has_a_quota(tmp_path: Path) -> None:
    for name, text in {"a": "max 100000\n", "b/c": "50000 100000\n"}.items():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "cpu.max").write_text(text)
    assert limited(tmp_path) == ["/b/c"]


def test_stance_is_packed_as_the_header_says() -> None:
    packed = _entry(Stance("shop", Act.PROTECT, strength=2), 7)
    assert struct.unpack("=QII", packed) == (7, SchedClass.PROTECT, 2)
    assert struct.unpack("=QII", _entry(None, 7)) == (7, SchedClass.NORMAL, 0)


def test_kernel_without_sched_ext_is_asked_once(tmp_path: Path) -> None:
    wanted = [Stance("shop", Act.PROTECT)]
    with SchedExt(tmp_path / "no.bpf.o", sysfs=tmp_path / "none") as sched:
        assert sched.hold(wanted, {"shop": 1}, 1000) == []
        told = sched.state()
    assert (told.handle, told.retry_ns) == ("cgroup", 0)
    assert "CONFIG_SCHED_CLASS_EXT" in told.reason


def test_other_resources_do_not_load_the_scheduler(tmp_path: Path) -> None:
    wanted = [Stance("shop", Act.PROTECT, Resource.IO)]
    with SchedExt(tmp_path / "no.bpf.o", sysfs=tmp_path) as sched:
        assert sched.hold(wanted, {"shop": 1}, 1000) == []
        assert sched.state().reason == "nothing to hold yet"


def test_quota_is_named_when_full_mode_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/cpu.max").write_text("50000 100000\n")
    now = 5
    with SchedExt(
        tmp_path / "no.bpf.o",
        mode="full",
        cgroups=tmp_path,
        sysfs=tmp_path,
        clock=lambda: now,
    ) as sched:
        assert sched.hold([Stance("a", Act.YIELD)], {"a": 1}, 1000) == []
        told = sched.state()
    assert "cpu.max is set in /a" in told.reason
    assert told.retry_ns > now
