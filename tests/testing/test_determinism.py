"""Ids and clocks that count."""

from __future__ import annotations

from cert_otel.testing import FixedClock, IncrementingClock, IncrementingIds


class TestIncrementingIds:
    def test_traces_and_spans_are_counted_apart(self) -> None:
        """Both start at 1 and go up by one."""
        ids = IncrementingIds()

        assert [ids.generate_span_id() for _ in range(3)] == [1, 2, 3]
        assert [ids.generate_trace_id() for _ in range(2)] == [1, 2]

    def test_is_not_taken_for_random(self) -> None:
        """Samplers must not rely on counted trace ids."""
        assert not IncrementingIds().is_trace_id_random()


class TestFixedClock:
    def test_stands_until_it_is_moved(self) -> None:
        """Time passes when the test says so."""
        clock = FixedClock()
        start = clock()
        assert clock() == start

        clock.advance(0.25)

        assert clock() - start == 250_000_000


class TestIncrementingClock:
    def test_moves_at_each_look(self) -> None:
        """Every call is one step later."""
        clock = IncrementingClock(step_s=2)

        assert clock() - clock() == -2_000_000_000
