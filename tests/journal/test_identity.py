"""Which lines are one call, by the rules of docs/record.md."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.journal import (
    fold,
    join_evaluations,
    mark_duplicates,
    resolve,
    spread_context,
)
from cert_otel.records import (
    ContextItem,
    Evaluation,
    EvaluationRecord,
    Record,
    Tokens,
    Trajectory,
)
from cert_otel.semconv import SCOPE_NAME

START = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
USED = Tokens(prompt=10, completion=5)
PASSAGE = [ContextItem(text="Within 30 days.")]


def call(
    span: str | None, at_ms: float = 0, lasting_ms: float | None = 10, **fields: Any
) -> Record:
    defaults: dict[str, Any] = {
        "kind": "inference",
        "trace_id": "t",
        "model": "gpt-4o",
        "tokens": USED,
    }
    return Record(
        timestamp=START + timedelta(milliseconds=at_ms),
        span_id=span,
        latency_ms=lasting_ms,
        **{**defaults, **fields},
    )


def function(span: str, at_ms: float = 0, lasting_ms: float | None = 100, **fields: Any) -> Record:
    return call(span, at_ms, lasting_ms, **{"kind": "function", "tokens": None, **fields})


def judge(span: str = "a", minutes: int = 0, **fields: Any) -> EvaluationRecord:
    defaults: dict[str, Any] = {"trace_id": "t", "scorer": "s"}
    return EvaluationRecord(
        timestamp=START + timedelta(minutes=minutes), span_id=span, **{**defaults, **fields}
    )


def duplicates(*records: Record) -> dict[str | None, str | None]:
    """Return the records that do not count, and which one does."""
    return {
        record.span_id: record.duplicate_of
        for record in mark_duplicates(records)
        if record.duplicate_of
    }


class TestFold:
    def test_equal_ids_are_one_record(self) -> None:
        """Lines with one trace id and span id are one record."""
        assert fold([call("a"), call("a"), call("b"), call("a", trace_id="u")]) == [
            call("a"),
            call("b"),
            call("a", trace_id="u"),
        ]

    @pytest.mark.parametrize(
        ("loser", "winner"),
        [
            ({}, {"score_status": "skipped"}),
            ({"score_status": "error"}, {"score_status": "scored"}),
            ({"score_status": "skipped", "at_ms": 9}, {"score_status": "scored"}),
            ({"score_status": "scored"}, {"score_status": "scored", "at_ms": 1}),
            ({}, {"at_ms": 1}),
            ({"score_status": "skipped"}, {"score_status": "deferred", "at_ms": 1}),
        ],
    )
    def test_the_latest_scored_one_wins(
        self, loser: dict[str, Any], winner: dict[str, Any]
    ) -> None:
        """Scored stands before judged otherwise, that before not judged, then the later."""
        worse, better = call("a", **loser), call("a", **winner)

        assert fold([worse, better]) == fold([better, worse]) == [better]

    def test_a_tie_is_broken_by_the_line(self) -> None:
        """Of two lines that differ in nothing that ranks, the greater one in bytes wins."""
        one, other = call("a", platform="azure"), call("a", platform="openai")

        assert fold([one, other]) == fold([other, one]) == [other]

    @pytest.mark.parametrize("missing", [{"trace_id": None}, {"trace_id": ""}])
    def test_without_ids_only_equals_fold(self, missing: dict[str, Any]) -> None:
        """A record without ids is its own: the same line again folds, another call does not."""
        one, other = call("a", **missing), call("a", platform="openai", **missing)

        assert fold([one, other, one]) == fold([other, one]) == fold([one, other])
        assert len(fold([one, other, one])) == 2

    def test_nothing(self) -> None:
        """No line is no record."""
        assert fold([]) == []


class TestDuplicates:
    def test_one_response_id(self) -> None:
        """Of nested calls with one response id, the innermost with usage counts."""
        outer = call("a", response_id="r", model="router")
        middle = call("b", 1, 8, parent_span_id="a", response_id="r", model="proxy")
        inner = call("c", 2, 6, parent_span_id="b", response_id="r")

        assert duplicates(outer, middle, inner) == {"a": "c", "b": "c"}

    def test_usage_counts_before_depth(self) -> None:
        """An inner call without usage is the duplicate of the outer one that has it."""
        outer = call("a", response_id="r")
        inner = call("b", 1, 8, parent_span_id="a", response_id="r", tokens=None)

        assert duplicates(outer, inner) == {"b": "a"}

    def test_nobody_has_usage(self) -> None:
        """Without usage anywhere, the innermost counts."""
        outer = call("a", response_id="r", tokens=Tokens(reasoning=1))
        inner = call("b", 1, 8, parent_span_id="a", response_id="r", tokens=None)

        assert duplicates(outer, inner) == {"a": "b"}

    def test_started_at_once(self) -> None:
        """Of two that started in the same microsecond, the shorter is the inner one."""
        outer = call("z", response_id="r")
        inner = call("b", 0, 8, parent_span_id="z", response_id="r")

        assert duplicates(outer, inner) == {"z": "b"}

    def test_unlike_response_ids(self) -> None:
        """Nested calls with two response ids are two calls, whatever else they share."""
        outer = call("a", response_id="r1")
        inner = call("b", 1, 8, parent_span_id="a", response_id="r2")

        assert duplicates(outer, inner) == {}

    @pytest.mark.parametrize("outer_id", [None, "r"])
    def test_without_a_response_id(self, outer_id: str | None) -> None:
        """Where one has no response id, the same model and lying within in time decide."""
        outer = call("a", response_id=outer_id)
        inner = call("b", 1, 8, parent_span_id="a")

        assert duplicates(outer, inner) == {"a": "b"}

    def test_the_model_that_was_asked(self) -> None:
        """Two models are the same when any name of one is a name of the other."""
        outer = call("a", model="gpt-4o", request_model="gpt-4o")
        inner = call(
            "b", 1, 8, parent_span_id="a", model="gpt-4o-2024-08-06", request_model="gpt-4o"
        )

        assert duplicates(outer, inner) == {"a": "b"}

    @pytest.mark.parametrize(
        "changes",
        [
            {"model": "gpt-4o-mini"},
            {"model": None},
            {"lasting_ms": 11.1},
            {"lasting_ms": None},
            {"at_ms": -1},
            {"kind": "embedding"},
            {"parent_span_id": None},
            {"parent_span_id": "elsewhere"},
            {"trace_id": "u"},
        ],
    )
    def test_what_makes_them_two(self, changes: dict[str, Any]) -> None:
        """Another model, another time, another kind or no link between them: two calls."""
        inner: dict[str, Any] = {"at_ms": 1, "lasting_ms": 8, "parent_span_id": "a", **changes}

        assert duplicates(call("a"), call("b", **inner)) == {}

    def test_an_end_that_comes_late(self) -> None:
        """A stream that is finished up to a millisecond after its outer span lies within it."""
        assert duplicates(call("a", 0, 10), call("b", 1, 10, parent_span_id="a")) == {"a": "b"}
        assert duplicates(call("a", 0, 10), call("b", 1, 10.1, parent_span_id="a")) == {}

    def test_through_other_records(self) -> None:
        """A chain between them does not make two calls of one."""
        chain = function("b", 1, 9, parent_span_id="a", kind="chain")
        inner = call("c", 2, 6, parent_span_id="b")

        assert duplicates(call("a"), chain, inner) == {"a": "c"}

    def test_two_calls_in_one(self) -> None:
        """An outer record of two inner calls is a duplicate; both inner ones count."""
        first = call("b", 1, 2, parent_span_id="a")
        second = call("c", 5, 2, parent_span_id="a")

        assert duplicates(call("a"), first, second) == {"a": "c"}

    def test_a_row_of_relations(self) -> None:
        """A record stands for the one that counts, even if only one between knows both."""
        outer = call("a", model="router")
        middle = call("b", 1, 8, parent_span_id="a", model="gpt-4o", request_model="router")
        inner = call("c", 2, 6, parent_span_id="b")

        assert duplicates(outer, middle, inner) == {"a": "c", "b": "c"}

    def test_an_attempt_and_its_repetition(self) -> None:
        """Of two inner calls, the outer one's stand-in is the one with usage."""
        outer = call("a", tokens=None)
        first = call("b", 1, 2, parent_span_id="a")
        second = call("c", 5, 2, parent_span_id="a", tokens=None)

        assert duplicates(outer, first, second) == {"a": "b"}

    def test_parallel_calls(self) -> None:
        """Siblings are not nested, whatever their times and even with one response id."""
        first = call("b", 0, 10, parent_span_id="a", response_id="r")
        second = call("c", 2, 5, parent_span_id="a", response_id="r")

        assert duplicates(function("a"), first, second) == {}
        assert duplicates(first, second) == {}

    def test_two_instrumentors_of_one_reply(self) -> None:
        """What two instrumentors recorded of one reply is one call, in whatever trace."""
        theirs = {"metadata": {SCOPE_NAME: "opentelemetry.instrumentation.openai.v1"}}
        outer = call("a", 0, 10, trace_id="t", response_id="r", **theirs)
        inner = call("b", 2, 5, trace_id="u", response_id="r")

        assert duplicates(outer, inner) == {"a": "b"}
        assert duplicates(outer, call("b", 2, 5, trace_id="u", response_id="s")) == {}
        assert duplicates(outer, call("b", 20, 5, trace_id="u", response_id="r")) == {}
        assert duplicates(call("a", 0, 10, trace_id="t", response_id="r"), inner) == {}

    def test_a_span_without_a_record_between(self) -> None:
        """With one response id, a broken chain is bridged by time, if nothing speaks against it."""
        outer = call("a", parent_span_id="gone", response_id="r")
        inner = call("b", 1, 8, parent_span_id="between", response_id="r")

        assert duplicates(outer, inner) == {"a": "b"}

    @pytest.mark.parametrize(
        "changes",
        [
            {"at_ms": -1},
            {"at_ms": 5},
            {"at_ms": 10.2, "lasting_ms": 0.3},
            {"parent_span_id": None},
            {"parent_span_id": "gone"},
            {"response_id": "other"},
            {"response_id": None},
            {"kind": "embedding"},
        ],
    )
    def test_what_speaks_against_it(self, changes: dict[str, Any]) -> None:
        """Another time, a complete chain, the same break, another id or kind: two calls."""
        outer = call("a", parent_span_id="gone", response_id="r")
        inner: dict[str, Any] = {
            "at_ms": 1,
            "lasting_ms": 8,
            "parent_span_id": "between",
            "response_id": "r",
            **changes,
        }

        assert duplicates(outer, call("b", **inner)) == {}

    def test_embeddings_too(self) -> None:
        """Embeddings carry tokens and cost, so they are counted once as well."""
        outer = call("a", kind="embedding")
        inner = call("b", 1, 8, kind="embedding", parent_span_id="a")

        assert duplicates(outer, inner) == {"a": "b"}

    def test_functions_never(self) -> None:
        """Records without tokens or cost are no duplicates of anything."""
        outer = function("a", response_id="r")
        inner = function("b", 1, 8, parent_span_id="a", response_id="r")

        assert duplicates(outer, inner) == {}

    def test_a_mark_that_is_there_stays(self) -> None:
        """What its writer knew to be a duplicate stays one and beats no other."""
        outer = call("a")
        inner = call("b", 1, 8, parent_span_id="a", duplicate_of="x")

        assert duplicates(outer, inner) == {"b": "x"}

        unused = call("b", 1, 8, parent_span_id="a", tokens=None)

        assert duplicates(call("a", duplicate_of="x"), unused) == {"a": "x"}

    def test_a_loop_of_parents(self) -> None:
        """Links that lead in a circle end somewhere, and one of the records still counts."""
        one = call("a", parent_span_id="b", response_id="r")
        other = call("b", 1, 8, parent_span_id="a", response_id="r")
        self_made = call("c", parent_span_id="c", response_id="r")

        assert duplicates(one, other, self_made) == {"a": "b"}


class TestContext:
    def test_the_last_call_of_the_subtree(self) -> None:
        """A context that a function ends with reaches the last model call below it."""
        spread = spread_context(
            [
                function("f", context=PASSAGE),
                call("a", 1, parent_span_id="f"),
                function("g", 20, 50, parent_span_id="f"),
                call("b", 30, parent_span_id="g"),
                call("c", 200),
            ]
        )

        assert {record.span_id: record.context for record in spread if record.context} == {
            "f": PASSAGE,
            "b": PASSAGE,
        }

    def test_calls_that_started_at_once(self) -> None:
        """Of two calls that started in the same microsecond, the shorter is the last."""
        spread = spread_context(
            [
                function("f", context=PASSAGE),
                call("a", 1, 5, parent_span_id="f"),
                call("z", 1, 9, parent_span_id="f"),
            ]
        )

        assert [record.context for record in spread] == [PASSAGE, PASSAGE, None]

    def test_its_own_context_stays(self) -> None:
        """A call with a context of its own keeps it, and no earlier one is given the other."""
        own = [ContextItem(text="own")]
        spread = spread_context(
            [
                function("f", context=PASSAGE),
                call("a", 1, parent_span_id="f"),
                call("b", 30, parent_span_id="f", context=own),
            ]
        )

        assert [record.context for record in spread] == [PASSAGE, None, own]

    def test_the_nearest_function(self) -> None:
        """Of nested functions with a context, the inner one's is taken."""
        near = [ContextItem(text="near")]
        spread = spread_context(
            [
                function("f", context=PASSAGE),
                function("a", 0, 90, parent_span_id="f", context=near, kind="agent"),
                call("z", 30, parent_span_id="a"),
            ]
        )

        assert {record.span_id: record.context for record in spread} == {
            "f": PASSAGE,
            "a": near,
            "z": near,
        }

    def test_duplicates_are_passed_over(self) -> None:
        """The call that counts is the one that is evaluated, so it gets the context."""
        spread = spread_context(
            mark_duplicates(
                [
                    function("f", context=PASSAGE),
                    call("b", 10, 20, parent_span_id="f"),
                    call("c", 12, 5, parent_span_id="b", tokens=None),
                ]
            )
        )

        assert [record.context for record in spread] == [PASSAGE, PASSAGE, None]

    def test_a_span_without_a_record_between(self) -> None:
        """A broken chain is bridged by time, if only one function can be meant."""
        below = call("a", 10, parent_span_id="between")
        one = function("f", context=PASSAGE)
        other = function("g", 5, 50, context=[ContextItem(text="other")])

        assert spread_context([one, below])[1].context == PASSAGE
        assert spread_context([one, other, below])[2].context is None

    def test_links_tell_more_than_time(self) -> None:
        """A call below a function is that function's, whatever else ran at the time."""
        spread = spread_context(
            [
                function("f", context=PASSAGE, parent_span_id="request"),
                function("g", 5, 50, context=[ContextItem(text="other")]),
                call("a", 10, parent_span_id="f"),
            ]
        )

        assert spread[2].context == PASSAGE

    @pytest.mark.parametrize("kind", ["tool", "retrieval", "inference", "embedding"])
    def test_only_functions_chains_and_agents(self, kind: str) -> None:
        """What a tool or a retrieval returned is found by whoever evaluates."""
        spread = spread_context(
            [function("f", context=PASSAGE, kind=kind), call("a", 1, parent_span_id="f")]
        )

        assert spread[1].context is None


class TestEvaluations:
    def test_the_newest_of_a_scorer(self) -> None:
        """Of one scorer the newest result counts, in whatever order they come."""
        old, new = judge(confidence=0.2, threshold=0.5, passed=False), judge(minutes=1)
        new = msgspec.structs.replace(new, confidence=0.9, threshold=0.7, passed=True)

        (record,) = join_evaluations([call("a")], [new, old])

        assert (record.confidence, record.threshold, record.passed) == (0.9, 0.7, True)
        assert (record.score_status, record.scorer) == ("scored", "s")

    def test_a_result_counts_before_a_failure(self) -> None:
        """A later attempt that failed does not take back what was measured."""
        scored = judge(confidence=0.9)
        failed = judge(minutes=1, score_status="error", score_reason="timeout")

        (record,) = join_evaluations([call("a")], [scored, failed])

        assert (record.confidence, record.score_status, record.score_reason) == (
            0.9,
            "scored",
            None,
        )

    def test_only_a_failure(self) -> None:
        """Where nothing was measured the record says why, unless it was scored itself."""
        failed = judge(score_status="error", score_reason="timeout")
        scored = call("b", 1, score_status="scored", scorer="inline")

        first, second = join_evaluations(
            [call("a"), scored], [failed, msgspec.structs.replace(failed, span_id="b")]
        )

        assert (first.score_status, first.score_reason, first.scorer) == ("error", "timeout", "s")
        assert second == scored

    def test_several_scorers(self) -> None:
        """Results of several scorers lie over each other; the trajectory names its scorer."""
        trajectory = Trajectory(perplexity=2.0)
        (record,) = join_evaluations(
            [call("a", evaluations=[Evaluation(name="exact", score=1.0)])],
            [
                judge(
                    minutes=2,
                    scorer="judge",
                    confidence=0.8,
                    evaluations=[
                        Evaluation(name="grounding", score=0.5),
                        Evaluation(name="exact", score=0.0),
                    ],
                ),
                judge(
                    scorer="model",
                    scorer_revision="r1",
                    trajectory=trajectory,
                    evaluations=[Evaluation(name="grounding", score=0.1)],
                ),
            ],
        )

        assert record.trajectory == trajectory
        assert (record.scorer, record.scorer_revision) == ("model", "r1")
        assert record.confidence == 0.8
        assert record.evaluations == [
            Evaluation(name="exact", score=0.0),
            Evaluation(name="grounding", score=0.5),
        ]

    @pytest.mark.parametrize("scored_first", [True, False])
    def test_a_judgement_and_a_trajectory_stand_beside_each_other(self, scored_first: bool) -> None:
        """What `cert evaluate` found and what `cert score` measured erase nothing of each other."""
        judged = judge(
            minutes=2 if scored_first else 0,
            scorer="cert-evaluate:grounding",
            confidence=0.4,
            threshold=0.7,
            passed=False,
            evaluations=[Evaluation(name="grounding", score=0.4)],
        )
        measured = judge(minutes=1, scorer="model", trajectory=Trajectory(perplexity=2.0))

        (record,) = join_evaluations([call("a")], [judged, measured])

        assert (record.confidence, record.threshold, record.passed) == (0.4, 0.7, False)
        assert record.trajectory == Trajectory(perplexity=2.0)
        assert record.evaluations == judged.evaluations
        assert (record.score_status, record.scorer) == ("scored", "model")

    @pytest.mark.parametrize("skipped_first", [True, False])
    def test_a_skip_of_one_erases_nothing_of_the_other(self, skipped_first: bool) -> None:
        """An answer without a context has its perplexity all the same."""
        skipped = judge(
            minutes=0 if skipped_first else 2,
            scorer="cert-evaluate:grounding",
            score_status="skipped",
            score_reason="no_context",
        )
        measured = judge(minutes=1, scorer="model", trajectory=Trajectory(perplexity=2.0))

        (record,) = join_evaluations([call("a")], [skipped, measured])

        assert (record.score_status, record.score_reason) == ("scored", None)
        assert record.trajectory == Trajectory(perplexity=2.0)
        assert record.confidence is None

    def test_evaluations_of_other_names_stay(self) -> None:
        """Each name has its newest score; what could not be judged later takes none back."""
        first = judge(
            scorer="cert-evaluate:grounding",
            confidence=0.9,
            threshold=0.7,
            passed=True,
            evaluations=[Evaluation(name="grounding", score=0.9)],
        )
        second = judge(
            minutes=1,
            scorer="cert-evaluate:grounding+nli",
            confidence=0.2,
            threshold=0.7,
            passed=False,
            evaluations=[
                Evaluation(name="grounding", score=None, reason="nothing_to_check"),
                Evaluation(name="nli", score=0.2),
            ],
        )

        (record,) = join_evaluations([call("a")], [second, first])

        assert record.evaluations == [*first.evaluations, second.evaluations[1]]
        assert (record.confidence, record.passed) == (0.2, False)

    def test_only_its_own_span(self) -> None:
        """A result is joined by trace id and span id, both."""
        records = [call("a", trace_id=None), call("a"), call("b", 1)]

        assert join_evaluations(records, [judge(trace_id="u"), judge("c")]) == records


_IDS = st.sampled_from(["a", "b", "c", "d", "e"])
_RECORDS = st.builds(
    call,
    _IDS | st.none(),
    st.integers(0, 20),
    st.none() | st.integers(0, 20).map(float),
    kind=st.sampled_from(["inference", "inference", "embedding", "function", "chain"]),
    trace_id=st.sampled_from(["t", "t", "u", None]),
    parent_span_id=st.none() | _IDS | st.sampled_from(["x", "y"]),
    response_id=st.sampled_from([None, "r", "s"]),
    model=st.sampled_from([None, "m", "n"]),
    tokens=st.sampled_from([None, USED]),
    context=st.sampled_from([None, PASSAGE]),
    score_status=st.sampled_from([None, "scored", "skipped"]),
)
_EVALUATIONS = st.builds(
    judge,
    _IDS,
    st.integers(0, 3),
    trace_id=st.sampled_from(["t", "u"]),
    scorer=st.sampled_from(["s", "z"]),
    confidence=st.sampled_from([None, 0.5, 0.9]),
    trajectory=st.sampled_from([None, Trajectory(steps=2)]),
    score_status=st.sampled_from(["scored", "error"]),
    evaluations=st.lists(
        st.builds(
            Evaluation, name=st.sampled_from(["g", "h"]), score=st.sampled_from([0.0, 1.0, None])
        ),
        max_size=2,
    ),
)


class TestAllRules:
    @given(st.data(), st.lists(_RECORDS, max_size=10), st.lists(_EVALUATIONS, max_size=6))
    def test_the_order_of_lines_does_not_matter(
        self, data: st.DataObject, records: list[Record], evaluations: list[EvaluationRecord]
    ) -> None:
        """Lines in another order give the same records."""
        mixed = data.draw(st.permutations(records))
        mixed_evaluations = data.draw(st.permutations(evaluations))

        assert resolve(mixed, mixed_evaluations) == resolve(records, evaluations)

    @given(st.lists(_RECORDS, max_size=10), st.lists(_EVALUATIONS, max_size=6))
    def test_reading_twice_changes_nothing(
        self, records: list[Record], evaluations: list[EvaluationRecord]
    ) -> None:
        """The same lines twice give the same records."""
        once = resolve(records, evaluations)

        assert resolve(records * 2, evaluations * 2) == once

    @given(st.lists(_RECORDS, max_size=10), st.lists(_EVALUATIONS, max_size=6))
    def test_it_is_idempotent(
        self, records: list[Record], evaluations: list[EvaluationRecord]
    ) -> None:
        """What went through the rules goes through them unchanged."""
        once = resolve(records, evaluations)

        assert resolve(once, evaluations) == once
        assert fold(once) == once

    @given(st.lists(_RECORDS, max_size=10))
    def test_no_call_gets_lost(self, records: list[Record]) -> None:
        """Each duplicate stands for a record of its trace and kind that counts itself."""
        marked = {(r.trace_id, r.span_id): r for r in mark_duplicates(fold(records))}

        for record in marked.values():
            if record.duplicate_of is not None:
                counting = marked[record.trace_id, record.duplicate_of]
                assert counting.duplicate_of is None
                assert counting.kind == record.kind
                assert counting.tokens is not None or record.tokens is None

    @given(st.lists(st.sampled_from([None, USED]), min_size=1, max_size=6))
    def test_a_nest_is_one_call(self, usages: list[Tokens | None]) -> None:
        """However deep spans of one response are nested, exactly one of them counts."""
        nest = [
            call(
                str(depth),
                depth,
                50 - 2 * depth,
                parent_span_id=str(depth - 1) if depth else None,
                response_id="r",
                tokens=tokens,
            )
            for depth, tokens in enumerate(usages)
        ]

        (counting,) = [r for r in mark_duplicates(nest) if r.duplicate_of is None]
        deepest = max(range(len(usages)), key=lambda depth: (usages[depth] is not None, depth))
        assert counting.span_id == str(deepest)
