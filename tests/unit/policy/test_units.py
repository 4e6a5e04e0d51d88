# SPDX-License-Identifier: MIT
"""Quantities as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vagus.policy import units


@pytest.mark.parametrize(
    ("text", "value_ns"),
    [
        ("2ms", 2_000_000),
        ("10s", 10_000_000_000),
        ("1.5h", 5_400_000_000_000),
        ("250us", 250_000),
        ("250µs", 250_000),
        ("3 min", 180_000_000_000),
        ("3m", 180_000_000_000),
        ("7d", 604_800_000_000_000),
        (0, 0),
        ("0", 0),
    ],
)
def test_duration_reads(text, value_ns):
    assert units.duration_ns(text) == value_ns


@pytest.mark.parametrize(
    ("text", "value"),
    [("64M", 64 << 20), ("64MiB", 64 << 20), ("2G", 2 << 30), ("1.5K", 1536), (7, 7)],
)
def test_size_reads(text, value):
    assert units.size_bytes(text) == value


@pytest.mark.parametrize(
    ("parse", "raw", "sentence"),
    [
        (units.duration_ns, 2, "2 needs a unit: 2ms or so"),
        (units.duration_ns, "2", "'2' needs a unit: 2ms or so"),
        (
            units.duration_ns,
            "2 parsecs",
            "expected a duration such as 2ms, 10s or 1h, not '2 parsecs'",
        ),
        (
            units.duration_ns,
            "2y",
            "'y' is no unit of time; known are ns, us, ms, s, m, min, h, d",
        ),
        (
            units.duration_ns,
            "-1s",
            "expected a duration such as 2ms, 10s or 1h, not '-1s'",
        ),
        (
            units.duration_ns,
            True,
            "expected a duration such as 2ms, 10s or 1h, not true",
        ),
        (
            units.duration_ns,
            None,
            "expected a duration such as 2ms, 10s or 1h, not nothing",
        ),
        (
            units.duration_ns,
            [],
            "expected a duration such as 2ms, 10s or 1h, not a list",
        ),
        (units.duration_ns, "999999999999d", "'999999999999d' is too large"),
        (units.size_bytes, "64Q", "'Q' is no unit of size; known are K, M, G, T"),
        (
            units.size_bytes,
            "lots",
            "expected a size such as 64M or 2G, not 'lots'",
        ),
        (units.percent, 10, "10 is no percentage; write 10%"),
        (units.percent, "10ms", "'10ms' is no percentage; write 10%"),
        (units.cpus, "2ms", "'2ms' is no share of CPUs; write 50% or 2"),
        (units.whole, "12", "expected a whole number, not '12'"),
        (units.whole, 1.5, "expected a whole number, not 1.5"),
    ],
)
def test_wrong_quantity_says_what_is_expected(parse, raw, sentence):
    with pytest.raises(ValueError) as caught:
        parse(raw)
    assert str(caught.value) == sentence


ANYTHING = st.one_of(
    st.text(),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.from_regex(r"[0-9]{1,20}(\.[0-9]{1,12})? ?[a-zA-Z%]{0,4}", fullmatch=True),
)


@given(ANYTHING)
def test_any_input_gives_a_bounded_value_or_a_sentence(raw):
    for parse in (units.duration_ns, units.size_bytes, units.percent, units.cpus):
        try:
            value = parse(raw)
        except ValueError as error:
            assert str(error).isprintable()
        else:
            assert 0 <= value <= max(units.LARGEST, 10**18)


@given(st.integers(0, 2**53))
def test_written_quantities_read_back(value):
    text = units.duration_text(value)
    assert units.duration_ns(text) == pytest.approx(value, rel=1e-5)
    assert units.size_bytes(units.size_text(value)) == pytest.approx(value, rel=1e-5)
