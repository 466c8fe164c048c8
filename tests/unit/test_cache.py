"""The cache: what holds how long, and who makes room."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtpd.recipients.cache import Cache, Kept


def cache(size: int = 3, ttl_s: float = 10.0) -> Cache[str, str | None]:
    return Cache(size, ttl_s, 0.0, lambda: 0.0)


def test_a_value_holds_for_its_time() -> None:
    kept = cache()
    kept.put("a", "1", 100.0)
    assert kept.fresh("a", 100.0) == Kept("1", 100.0, 110.0)
    assert kept.fresh("a", 109.9) == Kept("1", 100.0, 110.0)
    assert kept.fresh("a", 110.0) is None
    assert kept.fresh("b", 100.0) is None


def test_none_is_a_value() -> None:
    kept = cache()
    kept.put("a", None, 0.0)
    assert kept.fresh("a", 1.0) == Kept(None, 0.0, 10.0)


def test_an_expired_value_can_be_asked_for_by_those_who_say_so() -> None:
    kept = cache()
    kept.put("a", "1", 0.0)
    assert kept.stale("a", 39.9, 30.0) == Kept("1", 0.0, 10.0)
    assert kept.stale("a", 40.0, 30.0) is None
    assert kept.stale("a", 10.0, 0.0) is None
    assert kept.stale("b", 0.0, 30.0) is None


def test_a_new_value_replaces_the_old_one() -> None:
    kept = cache()
    kept.put("a", "1", 0.0)
    kept.put("a", "2", 5.0)
    assert kept.fresh("a", 14.0) == Kept("2", 5.0, 15.0)
    assert len(kept) == 1


def test_what_was_used_longest_ago_makes_room() -> None:
    kept = cache()
    for key in "abc":
        kept.put(key, key, 0.0)
    kept.fresh("a", 1.0)
    kept.put("b", "again", 1.0)
    kept.put("d", "d", 1.0)
    assert [key for key in "abcd" if kept.fresh(key, 2.0)] == ["a", "b", "d"]


def test_discard() -> None:
    kept = cache()
    kept.put("a", "1", 0.0)
    kept.discard("a")
    kept.discard("b")
    assert kept.stale("a", 0.0, 30.0) is None


@pytest.mark.parametrize(("size", "ttl_s"), [(0, 10.0), (3, 0.0)])
def test_one_that_keeps_nothing(size: int, ttl_s: float) -> None:
    kept = cache(size, ttl_s)
    kept.put("a", "1", 0.0)
    assert kept.stale("a", 0.0, 30.0) is None
    assert len(kept) == 0


@given(dice=st.floats(0, 1, exclude_max=True), jitter=st.floats(0, 0.9))
def test_jitter_shortens_and_never_lengthens(dice: float, jitter: float) -> None:
    kept: Cache[str, str] = Cache(1, 100.0, jitter, lambda: dice)
    kept.put("a", "1", 0.0)
    end = Kept("1", 0.0, 100 * (1 - jitter * dice))
    assert kept.fresh("a", 0.0) == end
    assert 9.9 <= end.until <= 100


@given(
    size=st.integers(1, 4),
    steps=st.lists(st.tuples(st.sampled_from("pgd"), st.integers(0, 6), st.integers(0, 4))),
)
def test_it_is_a_bounded_map_in_the_order_of_use(
    size: int, steps: list[tuple[str, int, int]]
) -> None:
    """Beside a slow model: a list of pairs, searched from its start."""
    kept: Cache[int, int] = Cache(size, 5.0, 0.0, lambda: 0.0)
    model: OrderedDict[int, int] = OrderedDict()
    now = 0
    for step, key, pause in steps:
        now += pause
        if step == "p":
            kept.put(key, now, now)
            model.pop(key, None)
            model[key] = now
            while len(model) > size:
                del model[next(iter(model))]
        elif step == "d":
            kept.discard(key)
            model.pop(key, None)
        else:
            found = kept.fresh(key, now)
            is_fresh = key in model and now < model[key] + 5
            assert (found is not None) == is_fresh
            if found and is_fresh:
                assert found.value == model[key]
                model[key] = model.pop(key)
        assert len(kept) == len(model)
