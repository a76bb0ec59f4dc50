"""Cutting impossible counts: what comes out is possible, and possible counts stay."""

from __future__ import annotations

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from cert_otel.pricing._usage import is_consistent, make_consistent
from cert_otel.records import Usage

FIELDS: Final = tuple(name for name in Usage.__struct_fields__ if name.endswith("_tokens"))
usages = st.builds(
    Usage, **dict.fromkeys(FIELDS, st.none() | st.integers(min_value=-3, max_value=12))
)


class TestMakeConsistent:
    """The nearest counts that can be true."""

    @given(usages)
    def test_possible(self, usage: Usage) -> None:
        """Whatever was reported, what comes out can be true."""
        assert is_consistent(make_consistent(usage))

    @given(usages)
    def test_no_more_than_reported(self, usage: Usage) -> None:
        """A part only ever shrinks, to no less than nothing; what was not reported stays so."""
        cut = make_consistent(usage)
        for name in FIELDS:
            before, after = getattr(usage, name), getattr(cut, name)
            if before is not None:
                assert after is not None
                assert 0 <= after <= max(before, 0)
            elif name not in {"input_tokens", "output_tokens", "cache_write_tokens"}:
                assert after is None

    @given(usages)
    def test_possible_counts_stay(self, usage: Usage) -> None:
        """What can be true is left as it is."""
        if is_consistent(usage):
            cut = make_consistent(usage)

            assert [getattr(cut, name) or 0 for name in FIELDS] == [
                getattr(usage, name) or 0 for name in FIELDS
            ]
