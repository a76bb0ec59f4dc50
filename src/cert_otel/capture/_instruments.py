"""The metrics of a call: those of the GenAI conventions by profile, and two of ours."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Final

from opentelemetry.metrics import Observation

from cert_otel import config, semconv
from cert_otel.capture._late import Backlog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, Histogram, Meter

    from cert_otel.records import Usage

_SECONDS: Final = [0.01 * 2**power for power in range(14)]
"""0.01 s to 81.92 s: the boundaries that the conventions advise."""
_TOKENS: Final = [4**power for power in range(14)]
_PERPLEXITY: Final = [
    1.0,
    1.1,
    1.25,
    1.5,
    2.0,
    3.0,
    5.0,
    8.0,
    13.0,
    20.0,
    35.0,
    50.0,
    100.0,
    1000.0,
]
_MAX_SETS: Final = 2_000
"""Attribute sets of one sum, the SDK's own limit; what is beyond goes into one set."""
_OVERFLOW: Final = (("otel.metric.overflow", True),)


class Total:
    """A sum that is asked for when metrics are collected.

    To add to it takes a twentieth of what a counter of the SDK takes, which cleans and hashes the
    attributes of each measurement.
    """

    def __init__(
        self, meter: Meter, name: str, backlog: Backlog, *, unit: str, description: str
    ) -> None:
        self._backlog = backlog
        self._lock = Lock()
        self._sums: dict[tuple[tuple[str, str | int], ...], float] = {}
        meter.create_observable_counter(name, [self._observe], unit=unit, description=description)

    def add(self, amount: float, attributes: Mapping[str, str | int]) -> None:
        """Add to the sum of these attributes."""
        key = tuple(attributes.items())
        with self._lock:
            if key not in self._sums and len(self._sums) >= _MAX_SETS:
                key = _OVERFLOW
            self._sums[key] = self._sums.get(key, 0) + amount

    def _observe(self, _: CallbackOptions) -> list[Observation]:
        # Sums are asked for before histograms are read, so that none of these misses a call.
        self._backlog.record_all()
        with self._lock:
            sums = list(self._sums.items())
        return [Observation(amount, dict(key)) for key, amount in sums]


class Instruments:
    """All instruments of one meter; what the profile leaves out is not created."""

    def __init__(self, meter: Meter) -> None:
        profile = semconv.PROFILES[config.get_config().semconv]
        self._meter = meter
        self.backlog = Backlog()
        self._durations = self._histograms(profile, semconv.METRIC_OPERATION_DURATION, semconv.METRIC_INFERENCE_DURATION, "Duration of a GenAI call")  # fmt: skip
        self._first_chunk = self._histograms(profile, semconv.METRIC_TIME_TO_FIRST_CHUNK, semconv.METRIC_INFERENCE_TIME_TO_FIRST_CHUNK, "Time from the request to the first chunk")  # fmt: skip
        self._per_chunk = self._histograms(profile, semconv.METRIC_TIME_PER_OUTPUT_CHUNK, semconv.METRIC_INFERENCE_TIME_PER_OUTPUT_CHUNK, "Mean time between the chunks of one stream")  # fmt: skip
        self._token_usage = (
            self._token_histogram(semconv.METRIC_TOKEN_USAGE) if profile.old_metrics else None
        )
        self._usage: tuple[tuple[str, Total], ...] = ()
        self._input: Histogram | None = None
        self._output: Histogram | None = None
        if profile.new_metrics:
            self._input = self._token_histogram(semconv.METRIC_INFERENCE_INPUT_TOKENS)
            self._output = self._token_histogram(semconv.METRIC_INFERENCE_OUTPUT_TOKENS)
            self._usage = tuple(
                (field, Total(meter, name, self.backlog, unit="{token}", description="Tokens used"))
                for field, name in _USAGE_COUNTERS
            )
        self._cost = Total(
            meter,
            semconv.METRIC_COST,
            self.backlog,
            unit="USD",
            description="Cost of GenAI calls",
        )
        self._unpriced = Total(
            meter,
            semconv.METRIC_UNPRICED,
            self.backlog,
            unit="{call}",
            description="Calls with usage but without a price",
        )
        self._perplexity = meter.create_histogram(
            semconv.METRIC_PERPLEXITY,
            unit="1",
            description="exp(-mean logprob) of completions, from the provider's logprobs",
            explicit_bucket_boundaries_advisory=_PERPLEXITY,
        )

    def _histograms(
        self, profile: semconv.Profile, old: str, new: str, text: str
    ) -> tuple[Histogram, ...]:
        names = ((old, profile.old_metrics), (new, profile.new_metrics))
        return tuple(
            self._meter.create_histogram(
                name, unit="s", description=text, explicit_bucket_boundaries_advisory=_SECONDS
            )
            for name, wanted in names
            if wanted
        )

    def _token_histogram(self, name: str) -> Histogram:
        return self._meter.create_histogram(
            name,
            unit="{token}",
            description="Tokens of one call",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )

    # Of what is looked into, histograms keep examples: the span of the context that they are given.
    # An example costs as much as the measurement, so there are none of counts of tokens.

    def record_duration(
        self, seconds: float, attributes: Mapping[str, str | int], context: Context
    ) -> None:
        """Record how long a call took, whatever its end."""
        for histogram in self._durations:
            histogram.record(seconds, attributes, context)

    def record_chunks(
        self,
        first_s: float | None,
        mean_s: float | None,
        attributes: Mapping[str, str | int],
        context: Context,
    ) -> None:
        """Record a stream's pace: one point a stream, not one a chunk."""
        if first_s is not None:
            for histogram in self._first_chunk:
                histogram.record(first_s, attributes, context)
        if mean_s is not None:
            for histogram in self._per_chunk:
                histogram.record(mean_s, attributes, context)

    def record_usage(self, usage: Usage, attributes: dict[str, str | int]) -> None:
        """Record tokens; what was not reported is not recorded."""
        if self._token_usage is not None:
            for kind, count in (("input", usage.input_tokens), ("output", usage.output_tokens)):
                if count is not None:
                    labels = {**attributes, semconv.TOKEN_TYPE: kind}
                    self._token_usage.record(count, labels)
        if self._input is not None and usage.input_tokens is not None:
            self._input.record(usage.input_tokens, attributes)
        if self._output is not None and usage.output_tokens is not None:
            self._output.record(usage.output_tokens, attributes)
        for field, counter in self._usage:
            count = getattr(usage, field)
            if count is not None:
                counter.add(count, {**attributes, semconv.TOKEN_MODALITY: "unknown"})

    def record_cost(self, amount_usd: float, attributes: Mapping[str, str | int]) -> None:
        """Add what a call cost."""
        self._cost.add(amount_usd, attributes)

    def record_unpriced(self, attributes: Mapping[str, str | int]) -> None:
        """Count a call that has usage and no price."""
        self._unpriced.add(1, attributes)

    def record_perplexity(
        self, perplexity: float, attributes: Mapping[str, str | int], context: Context
    ) -> None:
        """Record the perplexity of one completion."""
        self._perplexity.record(perplexity, attributes, context)


_USAGE_COUNTERS: Final = (
    ("input_tokens", semconv.METRIC_USAGE_INPUT_TOKENS),
    ("output_tokens", semconv.METRIC_USAGE_OUTPUT_TOKENS),
    ("cache_read_tokens", semconv.METRIC_USAGE_CACHE_READ_TOKENS),
    ("cache_write_tokens", semconv.METRIC_USAGE_CACHE_WRITE_TOKENS),
    ("reasoning_tokens", semconv.METRIC_USAGE_REASONING_TOKENS),
)
