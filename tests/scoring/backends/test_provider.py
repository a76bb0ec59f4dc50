"""The provider's own logprobs."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel import semconv
from cert_otel.records import Record
from cert_otel.scoring.backends.provider import ProviderBackend, read_logprobs
from cert_otel.scoring.backends.scored import ProviderLogprobs, Request, Scored
from cert_otel.scoring.prompts import Sample

SAMPLE = Sample(prompt="2+2?", completion="It is 4.")


def score(logprobs: ProviderLogprobs | None) -> Scored:
    return ProviderBackend().score([Request(sample=SAMPLE, logprobs=logprobs)])[0]


def record(**fields: Any) -> Record:
    timestamp = datetime(2026, 11, 20, tzinfo=UTC)
    return Record(kind="inference", timestamp=timestamp, model="gpt-4o", **fields)


class TestFigures:
    @given(st.lists(st.floats(-20, 0), min_size=1, max_size=50))
    def test_of_tokens(self, logprobs: list[float]) -> None:
        """From logprobs of tokens come perplexity, peaks and surprises, and no entropy."""
        scored = score(ProviderLogprobs(mean=sum(logprobs) / len(logprobs), tokens=tuple(logprobs)))

        assert scored.score is not None
        assert scored.score.perplexity == pytest.approx(
            math.exp(-sum(logprobs) / len(logprobs)), rel=1e-4
        )
        assert scored.score.nll_max == pytest.approx(-min(logprobs), rel=1e-5)
        assert scored.score.entropy_mean is None
        assert scored.score.gap_mean is None

    def test_of_sums(self) -> None:
        """Where there are only sums there are only perplexity, maximum and count."""
        scored = score(ProviderLogprobs(mean=-0.5, min=-3.0, token_count=7, model="gpt-4o"))

        assert scored.score is not None
        assert scored.score.perplexity == pytest.approx(math.exp(0.5))
        assert (scored.score.nll_max, scored.score.tokens) == (3.0, 7)
        assert scored.score.surprise_rate is None
        assert (scored.backend, scored.scorer) == ("provider", "gpt-4o")

    @pytest.mark.parametrize("mean", [math.nan, -math.inf, 0.1])
    def test_of_what_is_no_logprob(self, mean: float) -> None:
        """What cannot be the mean of logprobs is an error."""
        assert score(ProviderLogprobs(mean=mean)).reason == "not_finite"

    def test_of_nothing(self) -> None:
        """Without logprobs it is left to other backends."""
        assert score(None).reason == "no_logprobs"
        assert not score(None).is_final


class TestReadLogprobs:
    def test_of_a_record(self) -> None:
        """Perplexity is a field of the record, and the rest attributes that have none."""
        read = read_logprobs(
            record(
                perplexity=math.e,
                metadata={semconv.LOGPROB_MIN: -4.0, semconv.LOGPROB_TOKEN_COUNT: 9},
            )
        )

        assert read == ProviderLogprobs(mean=-1.0, min=-4.0, token_count=9, model="gpt-4o")

    def test_of_a_record_without(self) -> None:
        """No perplexity, no logprobs."""
        assert read_logprobs(record()) is None
