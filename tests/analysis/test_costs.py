"""What model calls cost: each number, and what is in none of them."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cert_otel.analysis import By, CostAnalyzer, CostSummary
from cert_otel.errors import CertOtelError, ConfigError, InputError
from cert_otel.records import EvaluationRecord, Record, Tokens, encode_line

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[..., Record]
    Journal = Callable[..., Path]


def judge(record: Record, *, passed: bool | None, **fields: object) -> EvaluationRecord:
    values: dict[str, object] = {
        "timestamp": record.timestamp + timedelta(days=1),
        "trace_id": record.trace_id,
        "span_id": record.span_id,
        "scorer": "s",
        "confidence": 0.5,
        "passed": passed,
    }
    return EvaluationRecord(**values | fields)  # type: ignore[arg-type]  # as above


class TestTotal:
    """The sum over priced model calls."""

    def test_adds_what_is_priced(self, call: Call, journal: Journal) -> None:
        """Unpriced calls are counted and in no amount."""
        path = journal("a.jsonl", call(0, cost=0.1), call(1, cost=0.2), call(2, cost=None))

        summary = CostAnalyzer(path).summary()

        assert (summary["total"], summary["currency"]) == (0.3, "USD")
        assert (summary["records"], summary["unpriced"]) == (3, 1)
        assert summary["average_per_call"] == pytest.approx(0.15)

    def test_is_unknown_where_nothing_is_priced(self, call: Call, journal: Journal) -> None:
        """Unknown is `None` everywhere, never 0."""
        analyzer = CostAnalyzer(journal("a.jsonl", call(0, cost=None, currency=None)))

        summary = analyzer.summary()

        assert analyzer.total_cost() is None
        assert analyzer.cost_by_model() == {"gpt-4o": None}
        assert analyzer.cost_trend() == {"2026-11-20": None}
        assert analyzer.cost_per_successful_task() is None
        assert (summary["total"], summary["currency"], summary["totals"]) == (None, None, [])
        assert summary["average_per_call"] is None
        assert summary["top_model"] is None
        (row,) = summary["by_model"]
        assert (row["cost"], row["share"], row["average_per_call"]) == (None, None, None)

    def test_is_zero_where_calls_are_free(self, call: Call, journal: Journal) -> None:
        """A price of 0 is a price."""
        summary = CostAnalyzer(journal("a.jsonl", call(0, cost=0.0))).summary()

        assert (summary["total"], summary["unpriced"]) == (0.0, 0)
        assert summary["by_model"][0]["share"] is None

    def test_counts_model_calls_only(self, call: Call, journal: Journal) -> None:
        """What functions, chains, agents, tools and retrievals bear is in the calls below them."""
        others = [call(number, kind=kind) for number, kind in enumerate(("function", "agent"), 1)]
        summary = CostAnalyzer(journal("a.jsonl", call(0), *others)).summary()

        assert (summary["total"], summary["records"], summary["tasks"]) == (0.25, 1, 1)

    def test_shows_embeddings_apart(self, call: Call, journal: Journal) -> None:
        """They cost money too, and are in no other number."""
        path = journal(
            "a.jsonl",
            call(0),
            call(1, kind="embedding", cost=2e-08, status="error"),
            call(2, kind="embedding", cost=None, currency=None),
        )

        summary = CostAnalyzer(path).summary()

        assert (summary["total"], summary["records"], summary["unpriced"]) == (0.25, 1, 0)
        assert summary["errors"] == {"records": 0, "by_type": []}
        assert summary["embeddings"] == {
            "records": 2,
            "total": 2e-08,
            "currency": "USD",
            "unpriced": 1,
        }

    @given(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=8))
    @settings(deadline=None, max_examples=25)
    def test_is_exact(self, costs: list[float]) -> None:
        """The total is the float nearest to the sum of the amounts, in whatever order."""
        totals = {read_total(order) for order in (costs, costs[::-1])}

        assert totals == {float(sum(Decimal(repr(cost)) for cost in costs))}


def read_total(costs: list[float]) -> float | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.jsonl")
        records = [
            Record(
                kind="inference",
                timestamp=datetime(2026, 11, 20, tzinfo=UTC),
                trace_id="1" * 32,
                span_id=f"{number:016x}",
                response_id=f"r{number}",
                cost=cost,
                currency="USD",
            )
            for number, cost in enumerate(costs)
        ]
        path.write_bytes(b"".join(map(encode_line, records)))
        return CostAnalyzer(path).total_cost()


class TestCurrencies:
    """Amounts in different currencies are never added."""

    def test_has_a_total_for_each(self, call: Call, journal: Journal) -> None:
        """There is no total over all, and rows are in one currency."""
        path = journal(
            "a.jsonl",
            call(0, cost=1.0),
            call(1, cost=3.0, currency="EUR"),
            call(2, cost=None, currency=None),
            call(3, cost=5.0, currency=None, model="mine"),
        )

        summary = CostAnalyzer(path).summary()

        assert (summary["total"], summary["currency"]) == (None, None)
        assert summary["totals"] == [
            {"currency": "EUR", "total": 3.0, "records": 1},
            {"currency": "USD", "total": 1.0, "records": 1},
            {"currency": None, "total": 5.0, "records": 1},
        ]
        assert [
            (row["model"], row["currency"], row["cost"], row["share"])
            for row in summary["by_model"]
        ] == [
            ("mine", None, 5.0, 1.0),
            ("gpt-4o", "EUR", 3.0, 1.0),
            ("gpt-4o", "USD", 1.0, 1.0),
            ("gpt-4o", None, None, None),
        ]
        for name in ("average_per_call", "per_successful_task", "top_model"):
            assert summary[name] is None

    def test_plain_numbers_are_refused(self, call: Call, journal: Journal) -> None:
        """A number without its currency would say something wrong."""
        analyzer = CostAnalyzer(journal("a.jsonl", call(0), call(1, currency="EUR")))

        for method in ("total_cost", "cost_by_model", "cost_trend", "cost_per_successful_task"):
            with pytest.raises(CertOtelError, match="EUR, USD"):
                getattr(analyzer, method)()

    def test_embeddings_may_have_another(self, call: Call, journal: Journal) -> None:
        """Their currency is their own."""
        path = journal("a.jsonl", call(0), call(1, kind="embedding", currency="EUR"))

        summary = CostAnalyzer(path).summary()

        assert (summary["total"], summary["currency"]) == (0.25, "USD")
        assert summary["embeddings"]["currency"] == "EUR"

    def test_embeddings_in_several(self, call: Call, journal: Journal) -> None:
        """They have no total then either."""
        others = [call(n, kind="embedding", currency=c) for n, c in ((1, "EUR"), (2, None))]

        embeddings = CostAnalyzer(journal("a.jsonl", call(0), *others)).summary()["embeddings"]

        assert (embeddings["records"], embeddings["total"]) == (2, None)


class TestFolding:
    """A call that was seen more than once counts once."""

    def test_one_span_in_two_files(self, call: Call, journal: Journal) -> None:
        """The latest scored line counts, and the others are counted as folded."""
        scored = call(0, cost=0.5, score_status="scored")
        paths = [journal("a.jsonl", scored, call(1)), journal("b.jsonl", call(0, cost=9.0))]

        summary = CostAnalyzer(paths).summary()

        assert (summary["total"], summary["records"], summary["folded"]) == (0.75, 2, 1)

    def test_nested_spans_of_one_call(self, call: Call, journal: Journal) -> None:
        """The innermost with usage counts; of a failed outer one only the cause is told."""
        outer = call(0, response_id="r", tokens=None, cost=None, status="error")
        inner = call(
            0,
            span_id="f" * 16,
            parent_span_id=outer.span_id,
            response_id="r",
            timestamp=outer.timestamp + timedelta(milliseconds=10),
            latency_ms=100.0,
        )

        summary = CostAnalyzer(journal("a.jsonl", inner, outer)).summary()

        assert (summary["total"], summary["records"], summary["folded"]) == (0.25, 1, 1)
        assert (summary["successful_tasks"], summary["errors"]["records"]) == (1, 0)

    def test_a_mark_of_the_writer(self, call: Call, journal: Journal) -> None:
        """What is written with `duplicate_of` does not count."""
        path = journal("a.jsonl", call(0), call(1, duplicate_of="f" * 16))

        summary = CostAnalyzer(path).summary()

        assert (summary["records"], summary["folded"]) == (1, 1)


class TestTasks:
    """A task is a trace; it is successful when nothing in it failed."""

    def test_needs_every_call(self, call: Call, journal: Journal) -> None:
        """One failed call fails the task, and its cost is borne by the others."""
        path = journal(
            "a.jsonl",
            call(0),
            call(1, trace_id=f"{1:032x}"),
            call(2, passed=True),
            call(3, status="error", cost=None, error_type="RateLimitError"),
            call(4, trace_id=f"{4:032x}"),
            call(5, passed=False),
            call(6, status="unset"),
        )

        analyzer = CostAnalyzer(path)
        summary = analyzer.summary()

        assert (summary["tasks"], summary["successful_tasks"]) == (5, 2)
        assert summary["per_successful_task"] == 1.5 / 2
        assert analyzer.cost_per_successful_task() == 0.75

    def test_without_a_trace(self, call: Call, journal: Journal) -> None:
        """Each record without a trace is a task of its own."""
        path = journal("a.jsonl", call(0, trace_id=None), call(1, trace_id=None))

        summary = CostAnalyzer(path).summary(by="task")

        assert (summary["tasks"], summary["successful_tasks"]) == (2, 2)
        assert [row["task"] for row in summary["by_task"]] == [None, None]

    @pytest.mark.parametrize(
        ("own", "results", "successful"),
        [
            (None, [False], 0),
            (True, [False], 0),
            (False, [True], 1),
            (False, [None], 1),
            (True, [False, True], 1),
            (None, [True, False], 0),
        ],
    )
    def test_heeds_later_results(
        self,
        own: bool | None,
        results: list[bool | None],
        successful: int,
        call: Call,
        journal: Journal,
    ) -> None:
        """The newest verdict counts, whether in the journal or in the file beside it."""
        record = call(0, passed=own)
        verdicts = [
            judge(record, passed=passed, timestamp=record.timestamp + timedelta(days=day))
            for day, passed in enumerate(results)
        ]
        inline = journal("inline.jsonl", record, *reversed(verdicts))
        beside = journal("beside.jsonl", record)
        journal("beside.jsonl.scores.jsonl", *verdicts)

        for path in (inline, beside):
            assert CostAnalyzer(path).summary()["successful_tasks"] == successful

    def test_none_is_successful(self, call: Call, journal: Journal) -> None:
        """Then there is no cost of one."""
        path = journal("a.jsonl", call(0, status="error"))

        assert CostAnalyzer(path).cost_per_successful_task() is None


class TestRows:
    """Breakdowns."""

    def test_by_model(self, call: Call, journal: Journal) -> None:
        """A row a model and platform, the most expensive first, with tokens and shares."""
        path = journal(
            "a.jsonl",
            call(0, cost=0.25),
            call(1, cost=None, currency=None, tokens=Tokens(prompt=3, cache_read=2)),
            call(2, model="gpt-4o-mini", cost=0.75),
            call(3, platform="azure.ai.openai", cost=None, tokens=None),
        )

        analyzer = CostAnalyzer(path)
        rows = analyzer.summary()["by_model"]

        assert [
            (row["platform"], row["model"], row["records"], row["cost"], row["share"])
            for row in rows
        ] == [
            ("openai", "gpt-4o-mini", 1, 0.75, 0.75),
            ("openai", "gpt-4o", 2, 0.25, 0.25),
            ("azure.ai.openai", "gpt-4o", 1, None, None),
        ]
        assert (rows[1]["unpriced"], rows[1]["average_per_call"]) == (1, 0.25)
        assert rows[1]["tokens"] == {
            "prompt": 15,
            "completion": 5,
            "cache_read": 2,
            "cache_write": None,
            "reasoning": None,
        }
        assert set(rows[2]["tokens"].values()) == {None}
        assert analyzer.summary()["top_model"] == {
            "model": "gpt-4o-mini",
            "platform": "openai",
            "cost": 0.75,
            "share": 0.75,
        }
        assert analyzer.cost_by_model() == {"gpt-4o-mini": 0.75, "gpt-4o": 0.25}

    def test_a_model_without_a_name(self, call: Call, journal: Journal) -> None:
        """In a plain dict it is called unknown."""
        path = journal("a.jsonl", call(0, model=None))

        assert CostAnalyzer(path).cost_by_model() == {"unknown": 0.25}

    def test_a_model_on_several_platforms(self, call: Call, journal: Journal) -> None:
        """In a plain dict it is one model, in the order of what it costs in all."""
        path = journal(
            "a.jsonl",
            call(0, cost=4.0, model="b"),
            call(1, cost=3.0, model="a"),
            call(2, cost=2.0, model="a", platform="azure.ai.openai"),
            call(3, cost=None, model="c"),
        )

        assert list(CostAnalyzer(path).cost_by_model().items()) == [
            ("a", 5.0),
            ("b", 4.0),
            ("c", None),
        ]

    def test_by_what_there_is_not(self, call: Call, journal: Journal) -> None:
        """An unknown breakdown is an error that names those there are."""
        with pytest.raises(ConfigError, match="model, service, day, task"):
            CostAnalyzer(journal("a.jsonl", call(0))).summary("colour")  # type: ignore[arg-type]

    def test_by_service(self, call: Call, journal: Journal) -> None:
        """A row a service."""
        path = journal("a.jsonl", call(0, service=None), call(1, service="b", cost=1.0))

        rows = CostAnalyzer(path).summary("service")["by_service"]

        assert [(row["service"], row["cost"]) for row in rows] == [("b", 1.0), (None, 0.25)]

    def test_by_day(self, call: Call, journal: Journal) -> None:
        """A row a day (UTC) that has calls, in order."""
        path = journal("a.jsonl", call(14), call(13), call(0, cost=1.0), call(100))

        analyzer = CostAnalyzer(path)

        assert [row["date"] for row in analyzer.summary("day")["by_day"]] == [
            "2026-11-20",
            "2026-11-21",
            "2026-11-24",
        ]
        assert analyzer.cost_trend() == {
            "2026-11-20": 1.25,
            "2026-11-21": 0.25,
            "2026-11-24": 0.25,
        }

    def test_by_task(self, call: Call, journal: Journal) -> None:
        """A row a trace, with its start and whether it was successful."""
        path = journal(
            "a.jsonl", call(1), call(0, trace_id=f"{2:032x}"), call(2, cost=None, status="error")
        )

        rows = CostAnalyzer(path).summary("task")["by_task"]

        assert [
            (row["task"], row["started"], row["successful"], row["records"], row["cost"])
            for row in rows
        ] == [
            (f"{2:032x}", "2026-11-20T10:00:00.000000Z", True, 2, 0.5),
            (f"{3:032x}", "2026-11-20T12:00:00.000000Z", False, 1, None),
        ]

    @given(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.none() | st.floats(0, 10), st.integers(0, 60)),
            min_size=1,
            max_size=10,
        )
    )
    @settings(deadline=None, max_examples=25)
    def test_add_up(self, calls: list[tuple[str, float | None, int]]) -> None:
        """Every breakdown has all calls, all costs and all of 100 %."""
        start = datetime(2026, 11, 20, tzinfo=UTC)
        records = [
            Record(
                kind="inference",
                timestamp=start + timedelta(hours=hours),
                trace_id=f"{hours:032x}",
                span_id=f"{number + 1:016x}",
                model=model,
                service=model,
                cost=cost,
                currency="USD",
            )
            for number, (model, cost, hours) in enumerate(calls)
        ]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "a.jsonl")
            path.write_bytes(b"".join(map(encode_line, records)))
            analyzer = CostAnalyzer(path)
            for by in get_args(By):
                summary: dict[str, Any] = {**analyzer.summary(by)}
                rows = summary[f"by_{by}"]
                priced = [row["cost"] for row in rows if row["cost"] is not None]
                shares = [row["share"] for row in rows if row["share"] is not None]

                assert sum(row["records"] for row in rows) == summary["records"] == len(calls)
                assert sum(row["unpriced"] for row in rows) == summary["unpriced"]
                assert sum(priced) == pytest.approx(summary["total"] or 0)
                assert not summary["total"] or sum(shares) == pytest.approx(1)


class TestPeriod:
    """Only what began in the period counts."""

    def test_ends_before_until(self, call: Call, journal: Journal) -> None:
        """The start is in it, the end is not; what is folded counts where it lies."""
        path = journal("a.jsonl", *[call(hour) for hour in range(5)], call(0), call(2))

        summary = CostAnalyzer(path, period="2h", until="2026-11-20T13:00:00Z").summary()

        assert (summary["records"], summary["folded"], summary["total"]) == (2, 1, 0.5)
        assert summary["period"] == {
            "since": "2026-11-20T11:00:00Z",
            "until": "2026-11-20T13:00:00Z",
        }

    def test_counts_back_from_now(self, call: Call, journal: Journal) -> None:
        """Without an end it is now."""
        now = datetime.now(UTC)
        path = journal(
            "a.jsonl",
            call(0, timestamp=now - timedelta(hours=1)),
            call(1, timestamp=now - timedelta(days=2)),
        )

        assert CostAnalyzer(path, period="1d").summary()["records"] == 1
        assert CostAnalyzer(path, period="3d").summary()["records"] == 2

    def test_heeds_offsets(self, call: Call, journal: Journal) -> None:
        """A record's time is what it says, wherever it was written."""
        line = encode_line(call(0)).replace(b"2026-11-20T10:00:00Z", b"2026-11-20T12:00:00+02:00")
        path = journal("a.jsonl", line)

        assert CostAnalyzer(path).summary()["files"][0]["earliest"] == "2026-11-20T10:00:00Z"

    def test_may_hold_nothing(self, call: Call, journal: Journal) -> None:
        """Then counts are 0 and amounts unknown."""
        summary = CostAnalyzer(journal("a.jsonl", call(0)), until="2020-01-01").summary("day")

        assert (summary["records"], summary["total"], summary["by_day"]) == (0, None, [])
        assert summary["period"] == {"since": None, "until": "2020-01-01T00:00:00Z"}

    def test_is_checked_first(self) -> None:
        """A malformed period is an error before any file is read."""
        with pytest.raises(ConfigError, match="--period"):
            CostAnalyzer("missing.jsonl", period="soon")


class TestSummary:
    """`summary` as a whole."""

    @pytest.mark.parametrize("by", get_args(By))
    def test_has_the_keys_that_are_promised(self, by: By, call: Call, journal: Journal) -> None:
        """Each key of the annotation, no other, and JSON can write it."""
        summary = CostAnalyzer(journal("a.jsonl", call(0), b"bad\n")).summary(by)

        optional = {"by_service", "by_day", "by_task"}
        assert set(summary) == set(CostSummary.__annotations__) - optional | {f"by_{by}"}
        assert json.loads(json.dumps(summary, allow_nan=False)) == summary

    def test_tells_errors_apart(self, call: Call, journal: Journal) -> None:
        """Failed calls are counted by type, the most frequent first."""
        types = ["RateLimitError", "APITimeoutError", "RateLimitError", None]
        calls = [call(n, status="error", error_type=one) for n, one in enumerate(types)]

        assert CostAnalyzer(journal("a.jsonl", *calls)).summary()["errors"] == {
            "records": 4,
            "by_type": [
                {"error_type": "RateLimitError", "records": 2},
                {"error_type": "APITimeoutError", "records": 1},
                {"error_type": None, "records": 1},
            ],
        }

    def test_names_what_could_not_be_read(self, call: Call, journal: Journal) -> None:
        """Files with what they held, lines with what is wrong."""
        path = journal("a.jsonl", call(0), b"bad\n")

        summary = CostAnalyzer([path]).summary()

        assert summary["unreadable"]["count"] == 1
        assert summary["unreadable"]["lines"][0] == {
            "path": str(path),
            "line": 2,
            "problem": "not JSON: JSON is malformed: invalid character (byte 0)",
        }
        assert summary["files"] == [
            {
                "path": str(path),
                "formats": {"record": 1},
                "records": 1,
                "unreadable": 1,
                "earliest": "2026-11-20T10:00:00Z",
                "latest": "2026-11-20T10:00:00Z",
            }
        ]

    def test_speaks_of_one_moment(self, call: Call, journal: Journal) -> None:
        """What is appended later is not seen."""
        path = journal("a.jsonl", call(0))
        analyzer = CostAnalyzer(str(path))
        path.write_bytes(encode_line(call(0)) + encode_line(call(1)))

        assert analyzer.total_cost() == 0.25

    def test_takes_tokens_and_latency_from_where_cert_had_them(
        self, call: Call, journal: Journal
    ) -> None:
        """`metadata.tokens` stands in for tokens that are null."""
        path = journal(
            "a.jsonl",
            call(0, tokens=None, metadata={"tokens": {"input_tokens": 7, "completion_tokens": 3}}),
            call(1, metadata={"tokens": {"prompt": 100}}),
            call(2, tokens=None, metadata={"tokens": "many", "latency_ms": "long"}),
        )

        tokens = CostAnalyzer(path).summary()["tokens"]

        assert (tokens["prompt"], tokens["completion"]) == (19, 8)

    def test_needs_something_to_read(self, tmp_path: Path) -> None:
        """A missing file is an error."""
        with pytest.raises(InputError, match="no such file"):
            CostAnalyzer(tmp_path / "missing.jsonl")
