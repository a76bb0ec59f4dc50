"""What the demonstration says of a run, and what it checks."""

from __future__ import annotations

from typing import Any

import pytest
from answers import WrongAnswer
from checks import check
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from outcome import RECORDS, SENT, Outcome
from shown import describe, describe_labels

WRONG = WrongAnswer("When?", "in 1641", 3, 7)
EVIDENCE = [{"evidence": [{"start": 3, "end": 7}]}]


def make_row(number: int, **fields: Any) -> dict[str, Any]:
    """Return a record of the trail."""
    return {
        "kind": "inference",
        "span_id": f"{number:016x}",
        "status": "ok",
        "model": f"m{number % 5}",
        "cost": 0.1,
        "output_data": f"answer {number}",
        "trajectory": {"perplexity": 2.0, "energy_mean": 0.1},
        "evaluations": [],
        "passed": True,
        "score_status": "scored",
        "score_reason": None,
        **fields,
    }


def make_event(row: dict[str, Any], *, explanation: str = "") -> LogRecord:
    """Return what is sent about a record."""
    event = LogRecord(
        event_name="gen_ai.evaluation.result",
        trace_id=b"t" * 16,
        span_id=bytes.fromhex(row["span_id"]),
    )
    event.attributes.add(key="gen_ai.evaluation.name").value.string_value = "grounding"
    event.attributes.add(key="gen_ai.evaluation.score.value").value.double_value = 0.25
    if explanation:
        said = event.attributes.add(key="gen_ai.evaluation.explanation")
        said.value.string_value = explanation
    return event


def make_outcome(count: int = 41, **last: Any) -> Outcome:
    """Return a run in which everything is as it should be, but for what is given."""
    failed = {"cost": None, "output_data": None, "trajectory": None, "passed": None}
    skipped = {"status": "error", "score_status": "skipped", "score_reason": "no_answer"}
    wrong = {"output_data": WRONG.answer, "passed": False, "evaluations": EVIDENCE}
    trail = [make_row(0, **failed, **skipped), *(make_row(at) for at in range(1, count - 1))]
    trail.append(make_row(count - 1, **wrong | last))
    scored = [row for row in trail if row["score_status"] == "scored"]
    return Outcome(
        sent=[{"span_id": row["span_id"], "cost": row["cost"]} for row in trail],
        trail=trail,
        events=[make_event(row) for row in scored],
        received=[Span(span_id=bytes.fromhex(row["span_id"])) for row in trail],
        measured={RECORDS: {"scored": float(len(scored)), "skipped": 1.0}},
        exposed=[],
    )


def list_failed(outcome: Outcome) -> list[str]:
    """Return what does not hold."""
    return [text for text, holds in check(outcome, [WRONG]) if not holds]


class TestCheck:
    def test_holds_for_what_should_be_there(self) -> None:
        """Forty calls of several models, one failed, each recorded, told and judged once."""
        assert list_failed(make_outcome()) == []

    def test_a_part_that_is_not_here_is_not_checked(self) -> None:
        """Without a collector or Prometheus there is nothing to ask them."""
        outcome = make_outcome()
        alone = outcome._replace(received=None, measured=None)

        assert len(check(alone, [WRONG])) == len(check(outcome, [WRONG])) - 2

    @pytest.mark.parametrize(
        ("outcome", "failed"),
        [
            (make_outcome(20), "20 calls, at least 40"),
            (make_outcome(status="error"), "2 failed call, exactly 1"),
            (make_outcome(cost=None), "39 of 40 answered calls priced"),
            (make_outcome(trajectory=None), "39 of 40 answers with perplexity and energy"),
            (
                make_outcome(trajectory={"perplexity": 2.0, "energy_mean": None}),
                "39 of 40 answers with perplexity and energy",
            ),
            (
                make_outcome(passed=True),
                "0 of 1 answers that were changed failed, marked at the change",
            ),
            (
                make_outcome(evaluations=[{"evidence": [{"start": 0, "end": 1}]}]),
                "0 of 1 answers that were changed failed, marked at the change",
            ),
        ],
    )
    def test_names_records_that_are_not_right(self, outcome: Outcome, failed: str) -> None:
        """Each condition fails with its figure."""
        assert failed in list_failed(outcome)

    def test_names_models_that_are_missing(self) -> None:
        """Calls of one model are not what the application makes."""
        outcome = make_outcome()
        same = [row | {"model": "m1"} for row in outcome.trail]

        assert list_failed(outcome._replace(trail=same)) == ["1 models, at least 4"]

    def test_names_what_did_not_arrive_once(self) -> None:
        """A copy in the trail, at the backend, in what Prometheus counts; a score that is missing."""
        outcome = make_outcome()
        copied = outcome._replace(
            sent=outcome.sent[:-1],
            events=outcome.events[:-1],
            measured={RECORDS: {"scored": 1.0}},
        )

        assert list_failed(copied) == [
            "journal and trail have the same cost",
            "41 records for 40 spans, one each",
            "events about 39 spans, the 40 that were scored",
            "41 spans at the backend, one each",
            "Prometheus counts what is in the trail",
        ]


class TestDescribe:
    def test_tells_where_the_spans_are(self) -> None:
        """At the backend, in the trail by outcome, in events with their ids."""
        lines = "\n".join(describe(make_outcome(), [WRONG]))

        assert "the 41 spans that it sent" in lines
        assert "41 spans received\n" in lines
        assert "41 records: 40 scored, 1 skipped (no_answer 1), 0 errors" in lines
        assert "40 events at the backend, about 40 spans; one of them:\n" in lines
        assert f"span_id                        {40:016x}" in lines
        assert "gen_ai.evaluation.score.value  0.25" in lines

    def test_tells_of_copies(self) -> None:
        """A backend that got a span twice has one span, and a copy."""
        outcome = make_outcome()
        twice = outcome._replace(received=[*(outcome.received or ()), Span(span_id=bytes(8))])

        assert "41 spans received, copies: 1" in "\n".join(describe(twice, [WRONG]))

    def test_shows_an_event_that_explains_itself(self) -> None:
        """Rather than one about the right answer."""
        outcome = make_outcome()
        explained = make_event(outcome.trail[3], explanation='"1641" (date) is wrong')
        lines = "\n".join(describe(outcome._replace(events=[*outcome.events, explained]), [WRONG]))

        assert 'gen_ai.evaluation.explanation  "1641" (date) is wrong' in lines

    def test_shows_no_event_where_there_is_none(self) -> None:
        """A run without scores is told all the same."""
        lines = "\n".join(describe(make_outcome()._replace(events=[]), [WRONG]))

        assert "0 events at the backend" in lines
        assert "gen_ai.evaluation" not in lines

    def test_shows_what_prometheus_answers(self) -> None:
        """Each query with its values by label."""
        measured = {RECORDS: {"scored": 40.0}, SENT: {"otlp_grpc/cert": 41.0}}
        lines = list(describe(make_outcome()._replace(measured=measured), [WRONG]))

        assert f"Prometheus  {SENT}" in lines
        assert [line.split() for line in lines[-1:]] == [["otlp_grpc/cert", "41"]]

    def test_without_prometheus_it_says_how_to_have_it(self) -> None:
        """And shows what the service itself says."""
        exposed = ["# HELP x", 'cert_records_total{status="scored"} 40.0', "other 1.0"]
        outcome = make_outcome()._replace(measured=None, exposed=exposed)
        lines = list(describe(outcome, [WRONG]))

        assert "apt-get install prometheus" in lines[-2]
        assert lines[-1].strip() == exposed[1]

    def test_compares_with_people(self) -> None:
        """How many passed of those that people found right, and of those that they did not."""
        trail = [
            make_row(1, output_data="a", passed=True),
            make_row(2, output_data="a", passed=False),
            make_row(3, output_data="b", passed=False),
            make_row(4, output_data="b", passed=None),
            make_row(5, output_data="nobody said", passed=True),
        ]
        lines = list(describe_labels(trail, {"a": "right", "b": "wrong"}))

        assert [line.split() for line in lines[1:]] == [
            ["right", "1", "of", "2", "passed"],
            ["wrong", "0", "of", "1", "passed"],
        ]
