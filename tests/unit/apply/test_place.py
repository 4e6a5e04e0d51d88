# SPDX-License-Identifier: MIT
"""Where weights work."""

from hypothesis import given
from hypothesis import strategies as st

from vagus.apply.place import inside, owned, places, rival_level

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: "/" + "/".join(names))


def test_rival_level_is_the_child_of_the_first_common_ancestor():
    assert rival_level("/a/b/c", "/a/x/y") == "/a/b"
    assert rival_level("/a/b", "/x") == "/a"
    assert rival_level("/a", "/a/b") is None
    assert rival_level("/a/b", "/a/b") is None


def test_inside_compares_names_not_letters():
    assert inside("/shop/web", "/shop")
    assert not inside("/shopping", "/shop")
    assert inside("/anything", "/")


def test_places_writes_an_ancestor_only_where_nobody_else_lives():
    alone = places(
        "/b.slice/job", ["/b.slice/job"], ["/shop"], ["/b.slice/job", "/shop"]
    )
    assert alone == (["/b.slice", "/b.slice/job"], True)
    crowd = ["/b.slice/job", "/b.slice/ssh", "/shop"]
    assert places("/b.slice/job", ["/b.slice/job"], ["/shop"], crowd) == (
        ["/b.slice/job"],
        False,
    )


@given(PATHS, PATHS, st.frozensets(PATHS))
def test_places_never_reaches_a_stranger(mine: str, rival: str, populated: frozenset):
    chosen, _ = places(mine, [mine], [rival], populated)
    for level in chosen:
        if level != mine:
            assert owned(level, [mine], populated)
            assert not any(
                inside(path, level) and not inside(path, mine) for path in populated
            )
