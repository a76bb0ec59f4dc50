"""`Evaluator`: answers of texts, of records and of files, each judged once or counted."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from cert_otel.errors import ConfigError, InputError
from cert_otel.evaluation import Evaluator
from cert_otel.evaluation.confidence import Confidence
from cert_otel.evaluation.evaluator import Answer
from cert_otel.records import ContextItem, Record, encode_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cert_otel.evaluation.sample import Judgement, Sample

START = datetime(2026, 11, 20, 10, tzinfo=UTC)
CONTEXT = "Returns are free for 30 days ."


class Mean:
    """The mean of what was judged."""

    revision = "mean-1"

    def assess(self, _sample: Sample, judgements: Sequence[Judgement]) -> Confidence | None:
        """Return it, give or take a tenth."""
        scores = [one.score for one in judgements if one.score is not None]
        if not scores:
            return None
        mean = sum(scores) / len(scores)
        return Confidence(value=mean, low=max(mean - 0.1, 0), high=min(mean + 0.1, 1))

    def combine(self, sample: Sample, judgements: Sequence[Judgement]) -> float | None:
        """Return the mean alone."""
        assessed = self.assess(sample, judgements)
        return assessed.value if assessed else None


def call(number: int = 0, **fields: Any) -> Record:
    """Build the n-th call, which says what the context says."""
    defaults: dict[str, Any] = {
        "kind": "inference",
        "timestamp": START + timedelta(minutes=number),
        "trace_id": f"{number + 1:032x}",
        "span_id": f"{number + 1:016x}",
        "input_data": "For how long?",
        "output_data": "free for 30 days",
        "context": [ContextItem(text=CONTEXT)],
    }
    return Record(**defaults | fields)


@pytest.fixture
def make(somebodys: Callable[..., None]) -> Callable[..., Evaluator]:
    """Make evaluators with those of another package, which look for words."""
    somebodys(words="Words", breaks="Breaks", short="Short")

    def build(*names: str, **options: Any) -> Evaluator:
        return Evaluator(evaluators=names or ("words",), combiner=Mean(), **options)

    return build


class TestEvaluate:
    """One answer."""

    def test_borne_out(self, make: Callable[..., Evaluator]) -> None:
        """A confidence at the threshold passes, and everything that says how is there."""
        result = make(threshold=1.0).evaluate(CONTEXT, "free for 30 days", "For how long?")

        assert (result["confidence"], result["passed"], result["label"]) == (1.0, True, "pass")
        assert result["threshold"] == 1.0
        assert (result["evidence"], result["reason"]) == ([], None)
        assert (result["context_sources"], result["context_passages"]) == (["explicit"], 1)
        assert datetime.fromisoformat(result["timestamp"]).tzinfo is UTC
        assert (result["semantic_score"], result["grounding_score"]) == (None, None)

    def test_not_borne_out(self, make: Callable[..., Evaluator]) -> None:
        """What is missing is marked in the answer."""
        result = make().evaluate(CONTEXT, "free for 90 days")

        assert (result["confidence"], result["passed"], result["label"]) == (0.75, True, "pass")
        assert (result["confidence_low"], result["confidence_high"]) == (0.65, 0.85)
        (evidence,) = result["evidence"]
        assert "free for 90 days"[evidence["start"] : evidence["end"]] == "90"
        (evaluation,) = result["evaluations"]
        assert (evaluation["name"], evaluation["score"]) == ("words", 0.75)
        assert (evaluation["calibration"], evaluation["latency_ms"]) == ("mean-1", 0.5)

    def test_is_plain_json(self, make: Callable[..., Evaluator]) -> None:
        """Nothing but JSON types."""
        result = make().evaluate([CONTEXT, {"text": "more", "id": "2"}], "free for 90 days")

        assert json.loads(json.dumps(result)) == result
        assert result["context_passages"] == 2

    @pytest.mark.parametrize("context", [None, "", [], [{"text": ""}]])
    def test_no_context_is_unknown(self, make: Callable[..., Evaluator], context: Any) -> None:
        """Neither 0 nor 1, neither passed nor failed."""
        result = make().evaluate(context, "free for 30 days")

        assert (result["confidence"], result["passed"], result["threshold"]) == (None, None, None)
        assert (result["label"], result["reason"]) == ("unknown", "no_context")
        assert (result["status"], result["context_passages"]) == ("skipped", 0)

    def test_an_empty_answer_is_unknown(self, make: Callable[..., Evaluator]) -> None:
        """There is nothing to check, and no evaluator is asked."""
        result = make().evaluate(CONTEXT, "")

        assert (result["confidence"], result["reason"]) == (None, "empty_answer")
        assert (result["evaluations"], result["context_passages"]) == ([], None)


class TestSettings:
    def test_presets_have_thresholds(self, make: Callable[..., Evaluator]) -> None:
        """Four presets; a threshold of one's own goes before."""
        names = ("general", "financial", "healthcare", "legal")

        assert [make(preset=name).threshold for name in names] == [0.70, 0.80, 0.85, 0.80]
        assert make(preset="legal", threshold=0.0).threshold == 0.0

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"preset": "medical"}, "general, financial, healthcare, legal"),
            ({"threshold": 1.5}, r"threshold: 1.5 is not in \[0, 1\]"),
            ({"threshold": float("nan")}, r"threshold: nan is not in \[0, 1\]"),
            ({"evaluators": ["wordz"]}, "'wordz' is unknown"),
            ({"combiner": "best"}, "'best' is unknown; there are calibrated and cert"),
        ],
    )
    def test_what_cannot_be(
        self, options: dict[str, Any], message: str, somebodys: Callable[..., None]
    ) -> None:
        """Said at once, with what can."""
        somebodys(words="Words")

        def build(chosen: dict[str, Any]) -> None:
            defaults: dict[str, Any] = {"evaluators": ["words"], "combiner": Mean()}
            Evaluator(**defaults | chosen)

        with pytest.raises(ConfigError, match=message):
            build(options)

    def test_what_is_not_calibrated_is_averaged(self, somebodys: Callable[..., None]) -> None:
        """Evaluators without a calibration, asked alone, give their plain mean, and no interval."""
        somebodys(words="Words", breaks="Breaks")

        evaluator = Evaluator(evaluators=["words", "breaks"])
        result = evaluator.evaluate(CONTEXT, "free for 90 days")

        assert evaluator.revision == "mean; words 1; breaks 1; threshold 0.7"
        assert (result["confidence"], result["confidence_low"]) == (0.75, None)

    @pytest.mark.parametrize("threshold", [0.05, 0.6, 0.95])
    @pytest.mark.parametrize(
        "answer", ["Returns are free for 30 days.", "Free for 90 days", "free"]
    )
    @pytest.mark.parametrize("preset", ["general", "financial"])
    def test_grounding_alone_is_no_contradiction(
        self, answer: str, threshold: float, preset: str
    ) -> None:
        """Its label is what it alone would give: asked alone, the result's own, vetoes included."""
        result = Evaluator(preset, threshold=threshold).evaluate(CONTEXT, answer)

        assert result["evaluations"][0]["label"] == result["label"]

    def test_the_revision_names_all_of_it(self, make: Callable[..., Evaluator]) -> None:
        """Code, models and threshold: whoever changes one gets other results."""
        evaluator = make("words", "breaks", threshold=0.5)

        assert evaluator.scorer == "cert-evaluate:words+breaks"
        assert evaluator.revision == "mean-1; words 1; breaks 1; threshold 0.5"


class TestBatch:
    """Recorded answers at once."""

    def test_one_result_for_each_in_order(self, make: Callable[..., Evaluator]) -> None:
        """Skipped ones between them have theirs."""
        records = [call(0), call(1, output_data=None), call(2, output_data="free for 90 days")]

        found = make().judge([Answer(one) for one in records])

        assert [one.span_id for one in found] == [one.span_id for one in records]
        assert [one.confidence for one in found] == [1.0, None, 0.75]
        assert [one.score_status for one in found] == ["scored", "skipped", "scored"]
        assert {one.scorer for one in found} == {"cert-evaluate:words"}

    def test_an_answer_that_breaks_an_evaluator_is_one_error(
        self, make: Callable[..., Evaluator]
    ) -> None:
        """The others are judged; the type is named, never the message, and no confidence formed."""
        records = [call(0), call(1, output_data="break legs"), call(2)]
        evaluator = make("words", "breaks")

        found = evaluator.judge([Answer(one) for one in records])

        assert [one.confidence for one in found] == [1.0, None, 1.0]
        assert (found[1].score_status, found[1].score_reason) == ("error", "breaks: RuntimeError")
        assert [one.score for one in found[1].evaluations] == [0.0, None]
        assert b"secret" not in encode_line(found[1])

    def test_one_that_forgets_answers_is_not_believed(self, make: Callable[..., Evaluator]) -> None:
        """Judgements that cannot be told apart are errors, not somebody else's scores."""
        with pytest.raises(ConfigError, match="short"):
            make("short")

    def test_nothing_to_do(self, make: Callable[..., Evaluator]) -> None:
        """An empty batch has no results."""
        assert make().judge([]) == []


class TestTraces:
    """Records, judged together."""

    def test_counts_what_became_of_each(self, make: Callable[..., Evaluator]) -> None:
        """Rates are of what could be judged, with their interval; the rest is counted by reason."""
        traces = [
            *(call(number) for number in range(3)),
            call(3, output_data="no idea"),
            call(4, context=None),
            call(5, context=None),
            call(6, output_data=None),
            call(7, output_data="break a leg"),
            call(8, kind="embedding"),
        ]

        summary = make("words", "breaks").evaluate_traces(traces)

        assert (summary["total_traces"], summary["evaluated"], summary["passed"]) == (8, 4, 3)
        assert (summary["skipped"], summary["errors"]) == (3, 1)
        assert summary["skip_reasons"] == {"no_context": 2, "no_answer": 1}
        assert summary["error_types"] == {"breaks: RuntimeError": 1}
        assert (summary["pass_rate"], summary["mean_confidence"]) == (0.75, 0.75)
        # Wilson for 3 of 4, by hand.
        assert summary["pass_rate_low"] == pytest.approx(0.3006, abs=1e-4)
        assert summary["pass_rate_high"] == pytest.approx(0.9544, abs=1e-4)
        assert [one["span_id"] for one in summary["results"]] == [
            f"{number + 1:016x}" for number in range(8)
        ]
        assert summary["results"][0]["timestamp"] == "2026-11-20T10:00:00Z"

    def test_nothing_judged_has_no_rate(self, make: Callable[..., Evaluator]) -> None:
        """A rate of nothing is unknown."""
        summary = make().evaluate_traces([call(context=None)])

        assert (summary["evaluated"], summary["skipped"]) == (0, 1)
        for key in ("pass_rate", "pass_rate_low", "pass_rate_high", "mean_confidence"):
            assert summary[key] is None

    def test_finds_the_context_in_the_trace(self, make: Callable[..., Evaluator]) -> None:
        """Retrieval spans of the same trace stand in for a context of its own."""
        trace = [
            call(1, context=None, trace_id="t", span_id="a"),
            call(0, kind="retrieval", trace_id="t", span_id="r", output_data=None),
        ]

        (result,) = make().evaluate_traces(trace)["results"]

        assert (result["confidence"], result["context_sources"]) == (1.0, ["retrieval"])

    def test_takes_what_a_line_holds(self, make: Callable[..., Evaluator]) -> None:
        """Our records as JSON, and what CERT logged, which has no ids."""
        ours = json.loads(encode_line(call()))
        former = {
            "timestamp": "2025-11-20T10:00:00",
            "function": "answer",
            "answer": "free for 90 days",
            "context": CONTEXT,
        }

        summary = make().evaluate_traces([former, ours])

        assert [one["confidence"] for one in summary["results"]] == [0.75, 1.0]
        assert [one["trace_id"] is None for one in summary["results"]] == [True, False]

    def test_no_record_is_an_error(self, make: Callable[..., Evaluator]) -> None:
        """What is no trace is not passed over in silence."""
        with pytest.raises(ValueError, match="kind"):
            make().evaluate_traces([{"text": "hello"}])


class TestFile:
    """A journal."""

    def test_judges_its_answers_and_writes_nothing(
        self, make: Callable[..., Evaluator], tmp_path: Path
    ) -> None:
        """As the records themselves."""
        path = tmp_path / "production.jsonl"
        records = [call(0), call(1, output_data="no idea"), call(1, output_data="no idea")]
        path.write_bytes(b"".join(map(encode_line, records)))

        summary = make().evaluate_log_file(path)

        assert (summary["total_traces"], summary["pass_rate"]) == (2, 0.5)
        assert [entry.name for entry in tmp_path.glob("*.jsonl")] == ["production.jsonl"]

    def test_a_missing_file(self, make: Callable[..., Evaluator], tmp_path: Path) -> None:
        """Named."""
        with pytest.raises(InputError, match=r"none\.jsonl: no such file"):
            make().evaluate_log_file(tmp_path / "none.jsonl")


class TestTelemetry:
    def test_emits_each_evaluation(self, make: Callable[..., Evaluator]) -> None:
        """Into the provider that the host gives; without one, nothing is emitted."""
        exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        provider = LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))

        make(logger_provider=provider).evaluate(CONTEXT, "free for 90 days")

        events = [log.log_record for log in exporter.get_finished_logs()]
        assert {event.event_name for event in events} == {"gen_ai.evaluation.result"}
        assert [dict(event.attributes or {})["gen_ai.evaluation.name"] for event in events] == [
            "words",
            "confidence",
        ]
