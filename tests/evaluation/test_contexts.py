"""What an answer is judged against, and how it is brought together with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.evaluation.contexts import (
    MOST_SOURCES,
    ContextJoin,
    find_answers,
    find_sources,
    forget_texts,
    get_key,
    list_sources,
    make_sample,
)
from cert_otel.records import ContextItem, Record

START = datetime(2026, 11, 20, 10, tzinfo=UTC)
NAMED = [ContextItem(text="Returns are free for 30 days.")]
FOUND = [ContextItem(text="Lane 7 is closed.", id="doc-1", source="retrieval")]


def call(span: str = "a", second: int = 10, **fields: Any) -> Record:
    """Build a record that began at `second` of the trace."""
    defaults: dict[str, Any] = {
        "kind": "inference",
        "trace_id": "t",
        "input_data": "Is lane 7 open?",
        "output_data": "No.",
        "latency_ms": 100.0,
    }
    timestamp = START + timedelta(seconds=second)
    return Record(timestamp=timestamp, span_id=span, **defaults | fields)


def give(record: Record, *others: Record) -> tuple[ContextItem, ...]:
    """Return the context of a record among others, as a host finds it."""
    records = [record, *others]
    by_key = {get_key(one): one for one in records}
    keys = find_sources([forget_texts(one) for one in records]).get(get_key(record) or ("", ""), ())
    return make_sample(record, [by_key[key] for key in keys]).context


def tool_message(response: Any, name: str = "response") -> dict[str, Any]:
    """Make the message in which a model is given the result of a tool."""
    return {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", name: response}]}


class TestContext:
    """Which passages count."""

    def test_named_by_the_application(self) -> None:
        """What `set_context` named stands alone, whatever was retrieved."""
        context = give(call(context=NAMED), call("r", 1, kind="retrieval", context=FOUND))

        assert list_sources(context) == ["explicit"]
        assert [item.text for item in context] == ["Returns are free for 30 days."]

    def test_named_by_the_function_around(self) -> None:
        """What `@trace` returned reaches the call below it."""
        function = call("f", 0, kind="function", context=NAMED, latency_ms=60_000.0)

        context = give(call(parent_span_id="f"), function)

        assert [(item.text, item.source) for item in context] == [
            ("Returns are free for 30 days.", "explicit")
        ]

    def test_retrieved_in_the_same_trace(self) -> None:
        """Before the call; not afterwards, and not in another trace."""
        context = give(
            call(),
            call("r", 1, kind="retrieval", context=FOUND),
            call("s", 20, kind="retrieval", context=[ContextItem(text="later")]),
            call("r", 1, kind="retrieval", context=[ContextItem(text="other")], trace_id="u"),
        )

        assert context == (FOUND[0],)

    def test_the_nearest_of_many(self) -> None:
        """Of more than count, those beside the call go first, then the latest of the trace."""
        own = call("own", 1, kind="retrieval", context=FOUND, parent_span_id="step")
        step = call("step", 0, kind="chain")
        others = [
            call(f"r{i}", 2, kind="retrieval", context=[ContextItem(text=f"page {i:02}")])
            for i in range(MOST_SOURCES)
        ]
        latest = call("s", 3, kind="retrieval", context=[ContextItem(text="latest")])

        context = give(call(parent_span_id="step"), step, own, latest, *others)

        assert len(context) == MOST_SOURCES
        assert {FOUND[0].text, "latest"} <= {item.text for item in context}
        assert context[0] == FOUND[0]

    def test_no_more_than_so_many_by_call(self) -> None:
        """However long a trace is, what calls are judged by grows with their number alone."""
        records = [
            call(f"{kind}{i}", i, kind=kind, context=FOUND if kind == "retrieval" else None)
            for i in range(3 * MOST_SOURCES)
            for kind in ("retrieval", "inference")
        ]

        sources = find_sources(records)

        assert max(map(len, sources.values())) == MOST_SOURCES
        assert len(sources) == 3 * MOST_SOURCES

    def test_spans_in_a_ring(self) -> None:
        """Parents that lead back to a span end the climb."""
        found = call("r", 1, kind="retrieval", context=FOUND, parent_span_id="f")
        ring = [
            call(one, 0, kind="chain", parent_span_id=other)
            for one, other in (("f", "g"), ("g", "f"))
        ]

        assert give(call(parent_span_id="g"), found, *ring) == (FOUND[0],)

    @pytest.mark.parametrize(
        ("response", "text"),
        [("12 degrees", "12 degrees"), ({"degrees": 12}, '{"degrees":12}'), (12, "12")],
    )
    @pytest.mark.parametrize("name", ["response", "result"])
    def test_given_by_a_tool(self, response: Any, text: str, name: str) -> None:
        """Results of tools in the messages, texts or structures, under both of their names."""
        context = give(call(input_messages=[tool_message(response, name)]))

        assert context == (ContextItem(text=text, source="tool"),)

    def test_returned_by_a_tool(self) -> None:
        """The tool's own record stands in where the messages have no result."""
        tool = call("x", 5, kind="tool", output_data="12 degrees")

        assert give(call(), tool) == (ContextItem(text="12 degrees", source="tool"),)
        assert give(call(input_messages=[tool_message("13 degrees")]), tool) == (
            ContextItem(text="13 degrees", source="tool"),
        )

    def test_retrieved_and_returned(self) -> None:
        """An answer may rest on both, retrieved passages first."""
        context = give(
            call(input_messages=[tool_message("12 degrees")]),
            call("r", 1, kind="retrieval", context=FOUND),
        )

        assert list_sources(context) == ["retrieval", "tool"]

    def test_repeated_passages_count_once(self) -> None:
        """A page that two searches found is one passage."""
        retrievals = [call(span, 1, kind="retrieval", context=FOUND) for span in "rs"]

        assert give(call(), *retrievals) == (FOUND[0],)

    @pytest.mark.parametrize(
        "messages", [None, [{"role": "user"}], [{"parts": 7}], [{"parts": [7]}]]
    )
    def test_none(self, messages: Any) -> None:
        """Nothing named, retrieved or returned is no context; odd messages are none either."""
        assert give(call(input_messages=messages)) == ()

    def test_says_what_the_application_named(self) -> None:
        """A source of the application's own stays."""
        context = give(call(context=[ContextItem(text="x", source="handbook")]))

        assert list_sources(context) == ["handbook"]


class TestAnswers:
    """Which records are evaluated."""

    def test_model_calls_once(self) -> None:
        """Duplicates, embeddings, tools and retrievals have no answer of their own."""
        records = [
            call("a"),
            call("b", duplicate_of="a"),
            call("c", kind="embedding"),
            call("d", kind="tool"),
            call("e", kind="retrieval", context=FOUND),
        ]

        assert [one.span_id for one in find_answers(records)] == ["a"]

    def test_functions_without_a_model_call(self) -> None:
        """A function with a context is all there is where no call below it was seen."""
        lone = call("f", 0, kind="function", context=NAMED)
        without = call("g", 1, kind="function")
        around = call("h", 2, kind="function", context=NAMED, trace_id="u")
        below = call("i", 3, trace_id="u", parent_span_id="h", context=FOUND)

        assert find_answers([lone, without, around, below]) == [lone, below]

    def test_functions_without_ids(self) -> None:
        """CERT's former logs have neither trace nor span."""
        former = call("", 0, kind="function", context=NAMED, trace_id=None)

        assert find_answers([former]) == [former]


class TestForgetTexts:
    def test_keeps_what_finds_sources(self) -> None:
        """No text is left, and the same sources are found."""
        records = [
            call(),
            call("r", 1, kind="retrieval", context=FOUND),
            call("x", 2, kind="tool", output_data="12 degrees"),
            call("y", 3, kind="tool", output_data=None),
        ]
        slim = [forget_texts(one) for one in records]

        assert find_sources(slim) == find_sources(records) == {("t", "a"): (("t", "r"), ("t", "x"))}
        assert not any(word in repr(slim) for word in ("lane", "Lane", "No.", "degrees"))


_SPANS = "abcdef"


class TestJoin:
    """One pass over a file, in whatever order its lines stand."""

    @given(
        st.permutations(_SPANS),
        st.dictionaries(
            st.sampled_from(_SPANS), st.lists(st.sampled_from(_SPANS), unique=True), max_size=6
        ),
        st.sets(st.sampled_from(_SPANS)),
    )
    def test_each_answer_once_with_all_its_sources(
        self, order: list[str], needs: dict[str, list[str]], missing: set[str]
    ) -> None:
        """Complete where everything came; at the end with what there is."""
        wanted = [("t", span) for span in "abc"]
        sources = {("t", span): tuple(("t", one) for one in own) for span, own in needs.items()}
        join = ContextJoin(wanted, sources)
        joined = [pair for span in order if span not in missing for pair in join.add(call(span))]
        joined += join.get_rest()

        found = {record.span_id: [one.span_id for one in own] for record, own in joined}
        assert len(joined) == len(found)
        assert found == {
            span: [one for one in needs.get(span, []) if one not in missing]
            for span in "abc"
            if span not in missing
        }

    def test_what_is_complete_is_not_held_back(self) -> None:
        """An answer comes as soon as the last of its sources is there."""
        join = ContextJoin([("t", "a")], {("t", "a"): (("t", "f"),)})

        assert list(join.add(call("a"))) == []
        assert [own for _, own in join.add(call("f"))] == [[call("f")]]
        assert list(join.get_rest()) == []

    def test_passes_over_what_nobody_asked_for(self) -> None:
        """Records without ids, of others, and a second time."""
        join = ContextJoin([("t", "a")])

        assert list(join.add(call("z"))) == list(join.add(call(trace_id=None))) == []
        assert len(list(join.add(call("a")))) == 1
        assert list(join.add(call("a"))) == []
