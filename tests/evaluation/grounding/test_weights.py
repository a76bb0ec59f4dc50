"""How informative terms are: the table, and what a route learns."""

from __future__ import annotations

import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.evaluation.grounding.weights import (
    TABLE,
    Background,
    RouteTable,
    RouteWeights,
    decode_table,
    encode_table,
    load_background,
)

BACKGROUND = Background(1000, {"common": 400, "rare": 2}, "test")


class TestTable:
    def test_ships_small(self) -> None:
        """The table stays a small file, and says in its head where it comes from."""
        assert TABLE.stat().st_size < 200_000

    def test_weighs_by_rarity(self) -> None:
        """A word of every page weighs least, one that was never seen most."""
        weight = load_background().weight

        assert weight("time") < weight("telescop") < weight("xyzzyq")

    @given(st.dictionaries(st.from_regex(r"[a-z]{2,8}", fullmatch=True), st.integers(1, 10**6)))
    def test_round_trip(self, frequencies: dict[str, int]) -> None:
        """What was written is read, to a tenth of a nat or, of rare terms, two; the same counts give the same bytes."""
        data = encode_table("A notice.\nOf two lines.", 10**6, frequencies)
        table = decode_table(data)

        assert data == encode_table("A notice.\nOf two lines.", 10**6, dict(frequencies))
        assert table.sentences == 10**6
        for term, count in frequencies.items():
            exact = math.log((10**6 + 1) / (count + 0.5))
            assert table.weight(term) == pytest.approx(exact, abs=0.2 if count < 16 else 0.1)

    def test_formula(self) -> None:
        """A weight is ln((N + 1) / (df + 0.5))."""
        assert BACKGROUND.weight("rare") == pytest.approx(math.log(1001 / 2.5))
        assert BACKGROUND.weight("unseen") == pytest.approx(math.log(1001 / 0.5))


class TestRouteWeights:
    def test_begins_as_the_background(self) -> None:
        """Before it has seen anything, a route weighs like the table."""
        route = RouteWeights(BACKGROUND)

        for term in ("common", "rare", "unseen"):
            assert route.weight(term) == pytest.approx(BACKGROUND.weight(term), abs=0.01)

    def test_learns_what_is_common_here(self) -> None:
        """A term in every sentence of a route loses weight there."""
        route = RouteWeights(BACKGROUND)
        before = route.weight("rare")
        for i in range(100):
            route.learn(i, lambda: [{"rare", "word"}] * 10)

        assert route.weight("rare") < before / 2

    def test_a_context_counts_once(self) -> None:
        """The same context again changes nothing."""
        route = RouteWeights(BACKGROUND)
        route.learn(1, lambda: [{"term"}])
        revision, weight = route.revision, route.weight("term")
        route.learn(1, lambda: [{"term"}])

        assert (route.revision, route.weight("term")) == (revision, weight)

    def test_the_revision_names_the_state(self) -> None:
        """The same contexts in the same order give the same revision, others another one."""
        one, two, three = (RouteWeights(BACKGROUND) for _ in range(3))
        for route in (one, two):
            route.learn(1, lambda: [{"a", "b"}, {"c"}])
        three.learn(1, lambda: [{"a", "b"}, {"d"}])

        assert one.revision == two.revision != three.revision

    def test_threads(self) -> None:
        """Nothing that threads learn at once is lost."""
        route = RouteWeights(BACKGROUND)

        def learn(begin: int) -> None:
            for i in range(begin, begin + 200):
                route.learn(i, lambda: [{"term"}])

        threads = [threading.Thread(target=learn, args=(k * 1000,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert route.revision.startswith("800-")


class TestRouteTable:
    def test_forgets_the_oldest(self) -> None:
        """Routes are bounded: the one not seen for longest begins anew."""
        table = RouteTable(BACKGROUND, size=2)
        table.get("a").learn(1, lambda: [{"term"}])
        table.get("b")

        assert table.get("a").revision != "0"
        table.get("c")
        table.get("b")
        assert table.get("a").revision == "0"
