# SPDX-License-Identifier: MIT
"""Settings on their way to the kernel: the last gate."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.counts import CASES

from vagus.flow import Identity, Role, Setting, Window, WorkloadWindow
from vagus.policy import load
from vagus.policy.knobs import KNOBS
from vagus.policy.values import numbers
from vagus.settings import Facts, verify_settings

G = 1 << 30
POLICY = load.loads(
    """\
mode: enforce
workloads:
  shop:
  core: {protect: true}
  spare: {mode: advise}
never_touch: [postgresql.service, /deep.slice/dont.slice]
limits:
  cpu.weight: {min: 10, max: 1000, step: 50%}
  io.weight: {allow: false}
  memory.high: {min: 64M, headroom: 10%}
  io.max: {min: 1M}
  nice: {min: -5}
"""
)
PLACES = {
    "shop": "/shop.slice/shop.service",
    "backup": "/system.slice/backup.service",
    "core": "/core.slice/core.service",
    "beside": "/core.slice/beside.service",
    "spare": "/system.slice/spare.service",
    "db": "/db.slice/postgresql.service",
    "near": "/db.slice/near.service",
    "deep": "/deep.slice/deep.service",
}


def window(memory=G, total=16 * G):
    """Return a window with every workload above."""
    listed = {
        name: WorkloadWindow(
            name=name,
            cgroup=cgroup,
            cgroup_id=1,
            identity=Identity(),
            role=Role("web", "service", "model"),
            numbers={} if memory is None else {"memory_bytes": float(memory)},
            words={},
            uses={},
            pids=[41, 42],
        )
        for name, cgroup in PLACES.items()
    }
    return Window(1, 0, 1, listed, {"memory_total_bytes": float(total)})


def setting(knob, value, workload="shop", path=None, why="yield cpu 1"):
    if path is None:
        path = f"{PLACES.get(workload, '/gone')}/{knob}"
    return Setting(workload, knob, path, value, why)


def refused(one, facts=None, seen=None):
    """Return code and reason of the only refusal."""
    allowed, found = verify_settings([one], POLICY, seen or window(), facts)
    assert allowed == []
    (refusal,) = found
    head, _, reason = refusal.sentence.partition(" refused: ")
    assert head == f"{one.workload}: {one.knob} {one.value!r}"
    return refusal.code, reason


@pytest.mark.parametrize(
    "one",
    [
        setting("cpu.weight", "1000"),
        setting("cpu.weight", "10", path="/shop.slice/cpu.weight"),
        setting("cpu.idle", "1"),
        setting("cpu.max", "5000 100000"),
        setting("cpu.max", "max 100000"),
        setting("io.max", "8:0 rbps=2000000 wbps=1048576 riops=20 wiops=max", "backup"),
        setting("memory.low", "1073741824"),
        setting("memory.high", str(2 * G)),
        setting("memory.high", "max"),
        setting("nice", "-5", path="task:41"),
        setting("policy", "idle", path="task:42"),
        setting(
            "wbt_lat_usec", "2000", path="/devices/virtual/block/a/queue/wbt_lat_usec"
        ),
    ],
    ids=lambda one: f"{one.knob}={one.value}",
)
def test_good_settings_pass(one):
    assert verify_settings([one], POLICY, window()) == ([one], [])


@pytest.mark.parametrize(
    ("one", "code", "reason"),
    [
        (
            setting("cpu.weight", "100", "ghost"),
            "unknown_workload",
            "there is no such workload now",
        ),
        (
            setting("cpu.weight", "100", "db"),
            "never_touch",
            "never_touch has postgresql.service",
        ),
        (
            setting("cpu.weight", "100", "near", "/db.slice/cpu.weight"),
            "never_touch",
            "db is inside, and never touched",
        ),
        (
            setting("cpu.weight", "100", "deep", "/deep.slice/cpu.weight"),
            "never_touch",
            "never_touch has /deep.slice/dont.slice, which is inside",
        ),
        (
            setting("cpu.weight", "50", "beside", "/core.slice/cpu.weight"),
            "protected",
            "core is inside, and protected",
        ),
        (setting("cpu.weight", "50", "spare"), "mode", "its mode is advise"),
        (setting("memory.max", "1"), "knob", "Vagus does not set this knob"),
        (setting("cgroup.procs", "1"), "knob", "Vagus does not set this knob"),
        (setting("io.weight", "50"), "knob", "the policy does not allow this knob"),
        (
            setting("cpu.weight", "50", path="/system.slice/backup.service/cpu.weight"),
            "path",
            "this cgroup is not the workload's",
        ),
        (
            setting("cpu.max", "max 100000", path="/shop.slice/cpu.max"),
            "path",
            "this cgroup is not the workload's",
        ),
        (
            setting("cpu.weight", "50", path="/shop.slice/../x/cpu.weight"),
            "path",
            "this is no path of the knob",
        ),
        (
            setting("cpu.weight", "50", path="/shop.slice//cpu.weight"),
            "path",
            "this is no path of the knob",
        ),
        (
            setting("cpu.weight", "50", path="/shop.slice/shop.service/cpu.max"),
            "path",
            "this is no path of the knob",
        ),
        (
            setting("cpu.weight", "50", path="shop.slice/shop.service/cpu.weight"),
            "path",
            "this is no path of the knob",
        ),
        (
            setting("cpu.weight", "50", path="/cpu.weight"),
            "path",
            "this is no path of the knob",
        ),
        (
            setting("nice", "1", path="task:1"),
            "path",
            "this thread is not the workload's",
        ),
        (
            setting("wbt_lat_usec", "2000", path="/kernel/wbt_lat_usec"),
            "path",
            "this is no block device's queue",
        ),
        (setting("cpu.weight", "heavy"), "value", "this knob takes no such value"),
        (setting("cpu.weight", "50\n"), "value", "this knob takes no such value"),
        (setting("cpu.max", "5000"), "value", "this knob takes no such value"),
        (setting("cpu.max", "5000 1"), "value", "this knob takes no such value"),
        (setting("cpu.weight", "9"), "bounds", "outside of 10 to 1000"),
        (setting("cpu.weight", "1001"), "bounds", "outside of 10 to 1000"),
        (setting("cpu.idle", "2"), "bounds", "outside of 0 to 1"),
        (setting("cpu.max", "1000 100000"), "bounds", "outside of 0.05 to inf"),
        (setting("nice", "-6", path="task:41"), "bounds", "outside of -5 to 19"),
        (
            setting("io.max", "8:0 rbps=2000000 wbps=1000000", "backup"),
            "bounds",
            "outside of 1.04858e+06 to inf",
        ),
        (
            setting("memory.high", str(G)),
            "working_set",
            "1073741824 bytes are in use; not under 1181116005",
        ),
        (
            setting("memory.low", str(12 * G)),
            "total",
            "memory.min and low would cover 12884901888 bytes of 17179869184",
        ),
    ],
    ids=lambda value: getattr(value, "path", None),
)
def test_bad_settings_are_refused(one, code, reason):
    assert refused(one) == (code, reason)


@pytest.mark.parametrize(
    ("kept", "held", "value", "is_allowed"),
    [
        ({"/admin.slice/memory.min": 6.0 * G}, (), 5 * G, True),
        ({"/admin.slice/memory.min": 6.0 * G}, (), 6 * G, False),
        ({"/admin.slice/memory.low": float("inf")}, (), 1, False),
        ({"/x/memory.min": 5.0 * G, "/x/memory.low": 6.0 * G}, (), 5 * G, True),
        ({"/x/memory.min": 5.0 * G, "/y/memory.low": 6.0 * G}, (), 5 * G, False),
        # What is above counts for all that it holds, and what is ours once.
        ({"/shop.slice/memory.min": 6.0 * G}, (), 6 * G, True),
        ({"/x/memory.low": 9.0 * G}, ("/x/memory.low",), 9 * G, True),
    ],
)
def test_what_others_keep_from_reclaim_counts(kept, held, value, is_allowed):
    facts = Facts(held=dict.fromkeys(held, "1"), kept=kept)
    one = setting("memory.low", str(value), why="protect memory 1")
    allowed, _ = verify_settings([one], POLICY, window(), facts)
    assert bool(allowed) is is_allowed


def test_unknown_working_set_is_not_assumed():
    one = setting("memory.high", str(2 * G))
    assert refused(one, seen=window(memory=None)) == (
        "working_set",
        "its working set is not known",
    )
    facts = Facts(working_set={PLACES["shop"]: G / 2})
    assert verify_settings([one], POLICY, window(memory=None), facts)[0] == [one]


def test_working_set_of_the_reflex_goes_before_the_windows():
    """A window counts page cache too; the reflex has read what is really in use."""
    one = setting("memory.high", str(G))
    assert verify_settings([one], POLICY, window(), Facts({PLACES["shop"]: G / 2}))[0]
    assert refused(one, Facts({PLACES["shop"]: float(G)}))[0] == "working_set"


def test_steps_are_from_what_is_held():
    path = f"{PLACES['shop']}/cpu.weight"
    assert refused(setting("cpu.weight", "151"), Facts(held={path: "100\n"})) == (
        "step",
        "from 100 it moves by 50 at most",
    )
    for value in ("150", "50"):
        one = setting("cpu.weight", value)
        assert verify_settings([one], POLICY, window(), Facts(held={path: "100"}))[0]


def test_populated_cgroups_that_are_spared_hold_their_parents():
    one = setting("cpu.weight", "50", "backup", "/system.slice/cpu.weight")
    hidden = "/system.slice/system-postgresql.slice/postgresql@15-main.service"
    assert refused(one, Facts(populated=[hidden])) == (
        "never_touch",
        "never_touch has postgresql.service, which is inside",
    )


def test_weights_leave_something_for_the_unnamed():
    policy = load.loads("mode: enforce\nreserve: {cpu: 10%}")
    mine = [
        setting("cpu.weight", "500", "backup", why="protect cpu 2"),
        setting("cpu.weight", "401", "spare", why="protect cpu 2"),
        setting("cpu.weight", "800", "shop", why="protect cpu 2"),
    ]
    allowed, refused_ = verify_settings(mine, policy, window())
    assert allowed == [mine[0], mine[2]]  # the shop has other siblings
    assert [r.code for r in refused_] == ["total"]
    assert refused_[0].sentence.endswith("siblings would weigh 901, over 900 together")


def test_memory_low_adds_up_over_cgroups_that_do_not_contain_each_other():
    mine = [
        setting("memory.low", str(6 * G), "shop", "/shop.slice/memory.low"),
        setting("memory.low", str(6 * G), "shop"),
        setting("memory.low", str(5 * G), "backup"),
        setting("memory.low", str(6 * G), "core"),
    ]
    allowed, found = verify_settings(mine, POLICY, window())
    assert allowed == mine[:3]
    assert [r.code for r in found] == ["total"]


def test_unknown_memory_covers_nothing():
    assert refused(setting("memory.low", "4096"), seen=window(total=0))[0] == "total"


@pytest.mark.parametrize(
    ("knob", "text", "value"),
    [
        ("io.weight", "default 100", [100.0]),
        ("io.max", "8:0 rbps=5", [5.0]),
        ("io.max", "8:0 riops=5", [float("inf")]),
        ("io.max", "8:0 rbps=0", None),
        ("io.max", "8:0 rbps=1 rbps=2", None),
        ("io.max", "8:0", None),
        ("io.max", "8:0 rbps=1\n8:16 rbps=1", None),
        ("io.max", "", None),
        ("memory.high", "max", [float("inf")]),
        ("memory.high", "1e9", None),
        ("cpu.weight", "max", None),
        ("cpu.weight", "٣", None),
        ("cpu.max", "max", None),
        ("cpu.max", "-5 100000", [-0.00005]),
        ("policy", "fifo", None),
        ("nice", "-20", [-20.0]),
    ],
)
def test_texts_are_read_strictly(knob, text, value):
    assert numbers(knob, text) == value


texts = st.one_of(
    st.text(max_size=8),
    st.integers(-(10**12), 10**12).map(str),
    st.sampled_from(["max", "max 100000", "50000 100000", "8:0 rbps=2000000"]),
    st.sampled_from(["idle", "other", "default 50"]),
)
paths = st.sampled_from(
    [f"{place}/{knob}" for place in PLACES.values() for knob in KNOBS]
) | st.sampled_from(["task:41", "task:1", "/cpu.weight", "/shop.slice/cpu.weight", ""])
hostile = st.builds(
    Setting,
    workload=st.sampled_from([*PLACES, "ghost"]),
    knob=st.sampled_from([*KNOBS, "memory.max", "cgroup.procs", ""]),
    path=paths | st.text(max_size=9),
    value=texts,
    why=st.sampled_from(["protect cpu 1", "yield io 3", ""]),
)


@settings(max_examples=CASES, deadline=None)
@given(st.lists(hostile, max_size=8))
def test_whatever_passes_is_within_every_bound(wanted):
    seen, bounds = window(), POLICY.bounds()
    allowed, found = verify_settings(wanted, POLICY, seen)
    assert len(allowed) + len(found) == len(wanted)
    lows: dict[str, float] = {}
    for one in allowed:
        home = PLACES[one.workload]
        assert one.workload not in ("db", "spare")
        assert "postgresql" not in one.path and one.path != "/db.slice/cpu.weight"
        bound = bounds[one.knob]
        for value in numbers(one.knob, one.value):
            assert bound.min <= value <= bound.max
        if one.knob == "memory.high" and one.value != "max":
            assert int(one.value) >= int(1.1 * G) - 1
        if one.knob == "memory.low":
            lows[one.path] = max(lows.get(one.path, 0.0), float(one.value))
        if one.path.startswith("task:"):
            assert one.path == "task:41"
        else:
            folder = one.path.rpartition("/")[0]
            assert folder and (home == folder or home.startswith(f"{folder}/"))
            assert one.path.endswith(f"/{one.knob}")
    own = [value for path, value in lows.items() if path.count("/") == 3]
    assert sum(own) <= 0.7 * 16 * G
