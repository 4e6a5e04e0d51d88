# SPDX-License-Identifier: MIT
"""Nothing that a Record can hold is lost on the way, whatever fields it gains."""

import itertools
from enum import Enum
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from vagus.flow import Quality, Record, Use, Verdict, Window, Word, WorkloadWindow
from vagus.record.changes import Change, Changes, Differ, Face
from vagus.record.pack import KEY_EVERY, Packer, Unpacker
from vagus.record.read import Reader
from vagus.record.store import Recorder


def filled(kind: Any, count: itertools.count) -> Any:
    """Make a value of a msgspec type in which no field has its default."""
    info = msgspec.inspect.type_info(kind)
    return _filled(info, count)


def _filled(info: Any, count: Any) -> Any:
    inspect = msgspec.inspect
    match info:
        case inspect.StructType():
            fields = {one.name: _filled(one.type, count) for one in info.fields}
            return info.cls(**fields)
        case inspect.ListType() | inspect.VarTupleType():
            return [_filled(info.item_type, count), _filled(info.item_type, count)]
        case inspect.DictType():
            key = _filled(info.key_type, count)
            return {key: _filled(info.value_type, count)}
        case inspect.UnionType():
            kinds = [one for one in info.types if type(one) is not inspect.NoneType]
            return _filled(kinds[0], count)
        case inspect.EnumType():
            members: list[Enum] = list(info.cls)
            return members[next(count) % len(members)]
        case inspect.StrType():
            return f"text {next(count)}"
        case inspect.BytesType():
            return f"bytes {next(count)}".encode()
        case inspect.IntType():
            return next(count) + 1000
        case inspect.FloatType():
            return next(count) + 0.1
        case inspect.BoolType():
            return True
    raise AssertionError(info)


def test_every_field_of_a_record_comes_back(tmp_path):
    wanted = filled(Record, itertools.count())
    load = next(iter(wanted.window.workloads.values()))
    window = msgspec.structs.replace(wanted.window, workloads={load.name: load})
    wanted = msgspec.structs.replace(wanted, window=window)
    with Recorder(tmp_path / "r.db") as recorder:
        recorder.put(wanted)
    with Reader(tmp_path / "r.db") as reader:
        (found,) = reader.between(0, 2**62)
    for name in Record.__struct_fields__:
        assert getattr(found, name) == getattr(wanted, name), name


def test_a_second_verdict_is_no_second_decision(tmp_path, tick_record):
    first = tick_record(32)
    later = msgspec.structs.replace(
        first,
        wall_ns=first.wall_ns + 10**9,
        window=msgspec.structs.replace(first.window, tick=33),
        verdict=msgspec.structs.replace(first.verdict, refused=[]),
        granted=[],
        failed=[],
    )
    with Recorder(tmp_path / "r.db") as recorder:
        recorder.put(first)
        recorder.put(later)
    with Reader(tmp_path / "r.db") as reader:
        (decision,) = reader.decisions()
        assert decision.verdicts == 2
        assert decision.verdict.refused == []
        assert len(reader.refused(decision.id)) == 2
        assert [*reader.between(0, 2**62)] == [first, later]


def test_who_says_the_same_again_is_not_the_author(tmp_path, tick_record):
    first = tick_record(32)
    again = msgspec.structs.replace(
        first,
        wall_ns=first.wall_ns + 10**9,
        window=msgspec.structs.replace(first.window, tick=33),
        proposal=msgspec.structs.replace(first.proposal, cause="as before"),
    )
    stance = msgspec.structs.replace(first.verdict.allowed[0], strength=3)
    harder = msgspec.structs.replace(
        again,
        wall_ns=first.wall_ns + 2 * 10**9,
        window=msgspec.structs.replace(first.window, tick=34),
        proposal=msgspec.structs.replace(first.proposal, cause="harder"),
        verdict=Verdict([stance, *first.verdict.allowed[1:]], []),
    )
    with Recorder(tmp_path / "r.db") as recorder:
        for one in (first, again, harder):
            recorder.put(one)
    with Reader(tmp_path / "r.db") as reader:
        assert [one.proposal.cause for one in reader.decisions()] == [
            first.proposal.cause,
            "as before",
            "harder",
        ]
        authors = [(one.workload, one.decision) for one in reader.leases()]
        shop = [decision for who, decision in authors if who == stance.workload]
        others = {decision for who, decision in authors if who != stance.workload}
        assert shop == [1, 1, 3]
        assert others == {1}


NAMES = st.sampled_from(["shop", "backup", "build", "db"])
NUMBERS = st.dictionaries(
    st.sampled_from(["cpu_pct", "runq_p99_ns", "io_count"]),
    st.floats(allow_nan=False),
    max_size=3,
)


@st.composite
def loads(draw):
    name = draw(NAMES)
    base = filled(WorkloadWindow, itertools.count())
    return msgspec.structs.replace(
        base,
        name=name,
        cgroup_id=draw(st.integers(1, 3)),
        numbers=draw(NUMBERS),
        words={"cpu": draw(st.sampled_from(Word))},
        uses={"io": draw(st.sampled_from(Use))},
        programs=draw(st.lists(st.sampled_from(["a", "b"]), max_size=2)),
        pids=draw(st.lists(st.integers(1, 3), max_size=2)),
    )


@st.composite
def windows(draw):
    found = draw(st.lists(loads(), max_size=4, unique_by=lambda load: load.name))
    return Window(1, 2, 3, {load.name: load for load in found}, {}, Quality())


class Faces:
    """The table of faces, in memory."""

    def __init__(self) -> None:
        self._rows: list[bytes] = []

    def number(self, data: bytes) -> int:
        if data not in self._rows:
            self._rows.append(data)
        return self._rows.index(data)

    def face(self, number: int) -> WorkloadWindow:
        return msgspec.msgpack.decode(self._rows[number], type=WorkloadWindow)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(windows(), st.booleans()), min_size=1, max_size=12),
    st.integers(0, KEY_EVERY),
)
def test_any_run_of_windows_comes_back(many, offset):
    """Those that are not asked for are passed over, and no less learnt from."""
    faces = Faces()
    packer, unpacker = Packer(faces.number), Unpacker(faces.face)
    empty = Window(0, 0, 0, {}, {}, Quality())
    for window, is_asked in [(empty, True)] * offset + many:
        data, is_key = packer.pack(window, None, "p", {})
        if not is_asked:
            unpacker.learn(data, is_key)
            continue
        found, _ = unpacker.unpack(data, is_key)
        assert found == window
        assert list(found.workloads) == list(window.workloads)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(windows(), min_size=1, max_size=12),
    st.integers(0, KEY_EVERY),
    st.integers(0, 11),
)
def test_changes_put_together_are_the_windows(many, offset, start):
    faces = Faces()
    packer, differ = Packer(faces.number), Differ(faces.face)
    empty = Window(0, 0, 0, {}, {}, Quality())
    rows = [
        packer.pack(window, None, f"p{at // 3}", {"seen": at // 2, "lost": 0})[0]
        for at, window in enumerate([empty] * offset + many)
    ]
    start = min(start + offset, len(rows) - 1)
    for row in rows[:start]:
        differ.learn(row)
    known: dict[str, dict[str, Any]] = {}
    policy, counters = "", {}
    for at, row in enumerate(rows[start:], start):
        told = differ.take(row, at, {})
        wanted = ([empty] * offset + many)[at]
        for name in told.window.left:
            del known[name]
        for name, change in told.window.workloads.items():
            merge(known.setdefault(name, {"numbers": {}}), change)
        assert known == {name: fields(load) for name, load in wanted.workloads.items()}
        counters |= told.counters
        policy = told.policy or policy
        assert (counters, policy) == ({"seen": at // 2, "lost": 0}, f"p{at // 3}")


def merge(known: dict[str, Any], change: Change) -> None:
    """Put a change to what is known of a workload, as a reader of the dump would."""
    if change.is_whole:
        known["numbers"] = {}
    known["numbers"] |= change.numbers
    for field in ("face", "words", "uses", "programs", "pids"):
        value = getattr(change, field)
        if value is not None:
            # Only a workload that changed in a key row is told of whole again.
            is_again = change.is_whole and change.face is not None
            assert is_again or known.get(field) != value, "said twice"
            known[field] = value


def fields(load: WorkloadWindow) -> dict[str, Any]:
    face = {name: getattr(load, name) for name in Face.__struct_fields__}
    moving = ("numbers", "words", "uses", "programs", "pids")
    return {"face": Face(**face)} | {name: getattr(load, name) for name in moving}


def test_a_key_row_holds_apart_what_did_not_change(tick_record):
    """So that a reader may begin there, and a dump need not say it again."""
    faces, window = Faces(), tick_record(1).window
    packer, differ = Packer(faces.number), Differ(faces.face)
    many = [packer.pack(window, None, "p", {"seen": 1}) for _ in range(KEY_EVERY + 1)]
    assert [at for at, (_, is_key) in enumerate(many) if is_key] == [0, KEY_EVERY]
    assert Unpacker(faces.face).unpack(many[-1][0], True)[0] == window
    told = [differ.take(data, 0, {}) for data, _ in many]
    assert told[0].window.workloads.keys() == window.workloads.keys()
    assert not any(one.window.workloads or one.counters for one in told[1:])


def test_changes_have_the_fields_of_a_record():
    assert Changes.__struct_fields__ == Record.__struct_fields__


def test_what_does_not_change_costs_little(tick_record):
    packer = Packer(lambda _: 1)
    record = tick_record(1)
    same = (record.cost, "0123456789abcdef", record.counters, record.cpu)
    first, _ = packer.pack(record.window, *same)
    second, is_key = packer.pack(record.window, *same)
    assert not is_key
    assert len(second) <= 95 < len(first)
