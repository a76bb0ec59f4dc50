"""`gen_ai.evaluation.result`: what backends get of an evaluation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider

from cert_otel import config
from cert_otel.evaluation.emission import emit_result, explain
from cert_otel.records import Evaluation, EvaluationRecord, Evidence, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry._logs import LogRecord

START = datetime(2026, 11, 20, 10, tzinfo=UTC)
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ANSWER = "Returns cost $5 after 90 days."
EVIDENCE = (
    Evidence(start=13, end=15, kind="number"),
    Evidence(start=22, end=24, kind="number", finding="contradicted"),
)


class Logs:
    """A provider that keeps what is emitted."""

    def __init__(self) -> None:
        self._exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self.provider = LoggerProvider(shutdown_on_exit=False)
        self.provider.add_log_record_processor(SimpleLogRecordProcessor(self._exporter))

    def read(self) -> list[LogRecord]:
        """Return what was emitted."""
        return [log.log_record for log in self._exporter.get_finished_logs()]


@pytest.fixture
def logs() -> Logs:
    """Return a provider."""
    return Logs()


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(config.CAPTURE_CONTENT, raising=False)
    config.reset()
    yield
    config.reset()


def record(**fields: Any) -> Record:
    """Build the judged call."""
    defaults: dict[str, Any] = {
        "kind": "inference",
        "trace_id": TRACE,
        "span_id": SPAN,
        "response_id": "chatcmpl-1",
        "output_data": ANSWER,
    }
    return Record(timestamp=START, **defaults | fields)


def found(**fields: Any) -> EvaluationRecord:
    """Build what was found about it."""
    defaults: dict[str, Any] = {
        "confidence": 0.25,
        "threshold": 0.7,
        "passed": False,
        "scorer_revision": "r1",
        "evaluations": [
            Evaluation(name="grounding", score=0.5, label="fail", evidence=EVIDENCE),
            Evaluation(name="exact", score=None, reason="no_reference"),
        ],
    }
    return EvaluationRecord(
        timestamp=START, trace_id=TRACE, span_id=SPAN, scorer="cert-evaluate", **defaults | fields
    )


class TestEvents:
    def test_one_for_each_score_and_the_confidence(self, logs: Logs) -> None:
        """With the names of the conventions; what could not be judged has no event."""
        assert emit_result(logs.provider, record(), found()) == 2

        common = {
            "cert.scorer.model": "cert-evaluate",
            "cert.scorer.revision": "r1",
            "gen_ai.response.id": "chatcmpl-1",
        }
        events = logs.read()
        assert {event.event_name for event in events} == {"gen_ai.evaluation.result"}
        assert [dict(event.attributes or {}) for event in events] == [
            common
            | {
                "gen_ai.evaluation.name": "grounding",
                "gen_ai.evaluation.score.value": 0.5,
                "gen_ai.evaluation.score.label": "fail",
            },
            common
            | {
                "gen_ai.evaluation.name": "confidence",
                "gen_ai.evaluation.score.value": 0.25,
                "gen_ai.evaluation.score.label": "fail",
            },
        ]

    def test_belong_to_the_judged_span(self, logs: Logs) -> None:
        """By trace and span id, at the time of the judgement."""
        emit_result(logs.provider, record(), found())

        for event in logs.read():
            assert (event.trace_id, event.span_id) == (int(TRACE, 16), int(SPAN, 16))
            assert event.timestamp == int(START.timestamp()) * 10**9

    @pytest.mark.parametrize("ids", [(None, None), (TRACE, None), ("not hexadecimal", SPAN)])
    def test_without_ids_to_the_current_one(
        self, logs: Logs, ids: tuple[str | None, str | None]
    ) -> None:
        """A text that is evaluated inside a span belongs there."""
        tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
        with tracer.start_as_current_span("request") as span:
            emit_result(logs.provider, record(trace_id=ids[0], span_id=ids[1]), found())

        assert {event.span_id for event in logs.read()} == {span.get_span_context().span_id}

    def test_an_error_has_its_type_and_no_score(self, logs: Logs) -> None:
        """A failure is told apart from a low score."""
        failed = found(
            confidence=None,
            passed=None,
            score_status="error",
            score_reason="judge: TimeoutError",
            evaluations=[Evaluation(name="judge", score=None, reason="error: TimeoutError")],
        )

        assert emit_result(logs.provider, record(response_id=None), failed) == 1
        (event,) = logs.read()
        assert dict(event.attributes or {}) == {
            "cert.scorer.model": "cert-evaluate",
            "cert.scorer.revision": "r1",
            "gen_ai.evaluation.name": "judge",
            "error.type": "TimeoutError",
        }

    def test_nothing_judged_emits_nothing(self, logs: Logs) -> None:
        """An answer without context is counted elsewhere."""
        skipped = found(
            confidence=None,
            passed=None,
            score_status="skipped",
            score_reason="no_context",
            evaluations=[Evaluation(name="grounding", score=None, reason="no_context")],
        )

        assert emit_result(logs.provider, record(), skipped) == 0


class TestExplanation:
    def test_only_where_content_is_captured(
        self, logs: Logs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It quotes the answer."""
        emit_result(logs.provider, record(), found())
        monkeypatch.setenv(config.CAPTURE_CONTENT, "SPAN_ONLY")
        config.reset()
        emit_result(logs.provider, record(), found())
        emit_result(logs.provider, record(), found(), with_content=False)

        key = "gen_ai.evaluation.explanation"
        explanations = [dict(event.attributes or {}).get(key) for event in logs.read()]
        quoted = '"$5" (number) is not in the context; "90" (number) is contradicted by the context'
        assert explanations == [None, None, quoted, None, None, None]

    def test_is_short(self) -> None:
        """Five quotes; the rest is counted."""
        evidence = tuple(Evidence(start=at, end=at + 1, kind="term") for at in range(7))

        text = explain("abcdefg", evidence)

        assert text is not None
        assert text.count('"') == 10
        assert text.endswith("; 2 more")

    def test_of_nothing_is_nothing(self) -> None:
        """A label says it."""
        assert explain("abc", ()) is None
