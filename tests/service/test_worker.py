"""The worker: each accepted span ends in exactly one record, whatever happens on the way."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry
from tests.service.spans import (
    fill,
    make_call,
    make_json_payload,
    make_payload,
    make_retrieval,
)

from cert_otel.errors import InputError
from cert_otel.journal import decode_line, read_journal
from cert_otel.records import Evaluation, EvaluationRecord, Record, Trajectory
from cert_otel.service import failpoints
from cert_otel.service.inbox import Inbox
from cert_otel.service.judging import EvaluationJudge, GuardedJudge, NullJudge, SequenceJudge
from cert_otel.service.limits import Limits
from cert_otel.service.metrics import Metrics
from cert_otel.service.pipeline import KILLER, Worker
from cert_otel.service.policy import Policy
from cert_otel.service.seen import Place, Seen
from cert_otel.service.sink import Sink
from cert_otel.service.trail import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cert_otel.service.inbox import Payload
    from cert_otel.service.judging import Case, Judge


class Praise:
    """A judge that finds every answer good."""

    name = "praise"
    revision = "1"

    def judge(self, cases: Sequence[Case]) -> list[list[EvaluationRecord]]:
        """Return one result for each case."""
        return [[self._judge_one(case.record)] for case in cases]

    def _judge_one(self, record: Record) -> EvaluationRecord:
        return EvaluationRecord(
            timestamp=datetime(2026, 11, 20, 11, tzinfo=UTC),
            trace_id=record.trace_id or "",
            span_id=record.span_id or "",
            scorer=self.name,
            scorer_revision=self.revision,
            confidence=0.9,
            threshold=0.7,
            passed=True,
            evaluations=[Evaluation(name="praise", score=0.9)],
        )


class Picky(Praise):
    """A judge that cannot stand one answer."""

    def _judge_one(self, record: Record) -> EvaluationRecord:
        if record.output_data == "It is 5.":
            raise ZeroDivisionError
        return super()._judge_one(record)


class Deadly(Praise):
    """A judge that one answer kills the process of."""

    def _judge_one(self, record: Record) -> EvaluationRecord:
        if record.output_data == "It is 5.":
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._judge_one(record)


class Service:
    """An inbox, a trail, and workers between them, one after the other."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.trail = directory / "trail"
        self.seen = directory / "inbox" / "seen.db"
        self.registry = CollectorRegistry()

    def receive(self, *payloads: Payload) -> list[int]:
        """Acknowledge payloads."""
        return fill(self.directory / "inbox", payloads)

    @contextmanager
    def start(
        self, judge: Judge | None = None, policy: Policy | None = None, **options: Any
    ) -> Iterator[Worker]:
        """Start a worker."""
        self.registry = CollectorRegistry()
        with (
            Inbox.attach(self.directory / "inbox") as inbox,
            closing(Seen(self.seen)) as seen,
            Sink(self.trail, reserve_bytes=1 << 16) as sink,
        ):
            yield Worker(
                inbox,
                sink,
                seen,
                judge or GuardedJudge(Praise()),
                metrics=Metrics(self.registry),
                policy=policy,
                **options,
            )

    def work(self, judge: Judge | None = None, policy: Policy | None = None) -> None:
        """Start a worker, and let it work until nothing is left."""
        with self.start(judge, policy) as worker:
            while worker.work():
                pass

    def read(self) -> list[Record]:
        """Return the records of the trail, in their order there."""
        lines = [
            line
            for path in sorted(self.trail.glob("seg-*.jsonl"))
            for line in path.read_bytes().splitlines()
        ]
        records = [decode_line(line) for line in lines]
        assert all(isinstance(record, Record) for record in records)
        return [record for record in records if isinstance(record, Record)]

    def count(self, name: str, **labels: str) -> float | None:
        """Return a metric of the last worker."""
        return self.registry.get_sample_value(name, labels)

    def list_outcomes(self) -> Counter[tuple[str | None, str | None]]:
        """Count records by status and reason."""
        return Counter((one.score_status, one.score_reason) for one in self.read())


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """Return a service without anything in it."""
    return Service(tmp_path)


class TestWork:
    def test_a_call_becomes_a_record_with_its_results(self, service: Service) -> None:
        """What came as a span is in the trail as a record, priced and judged."""
        service.receive(make_payload([make_call(1)]))

        service.work()

        (record,) = service.read()
        assert (record.trace_id, record.output_data) == (f"{2:032x}", "It is 3.")
        assert (record.score_status, record.confidence, record.passed) == ("scored", 0.9, True)
        assert [one.name for one in record.evaluations] == ["praise"]
        assert record.cost == pytest.approx(12 * 2.5e-6 + 5 * 1e-5)

    def test_each_span_is_one_record(self, service: Service) -> None:
        """Of many payloads, in protobuf and JSON, every span is there once, and nothing else."""
        calls = [make_call(number) for number in range(60)]
        service.receive(
            *(make_payload(calls[at : at + 7]) for at in range(0, 42, 7)),
            *map(make_json_payload, calls[42:]),
        )

        service.work()

        assert sorted(one.trace_id or "" for one in service.read()) == [
            one.trace_id for one in calls
        ]

    def test_the_trail_is_a_journal(self, service: Service) -> None:
        """Whoever reads journals reads the trail."""
        service.receive(make_payload([make_call(number) for number in range(5)]))

        service.work()

        journal = read_journal([service.trail])
        assert (len(journal.records), journal.unreadable, journal.folded) == (5, 0, 0)

    def test_finished_rows_leave_the_inbox(self, service: Service) -> None:
        """What is in the trail is not read again."""
        service.receive(make_payload([make_call(1)]), make_payload([make_call(2)]))

        service.work()

        with Inbox.attach(service.directory / "inbox") as inbox:
            assert inbox.read(0, 1 << 20) == []
            assert inbox.stats().rows == 0

    def test_nothing_to_do(self, service: Service) -> None:
        """An empty inbox is no work."""
        with service.start() as worker:
            assert worker.work() is False


class TestCopies:
    def test_a_copy_in_a_later_request_is_counted(self, service: Service) -> None:
        """What a retry sends again, batched otherwise and in JSON, is the same span."""
        service.receive(make_payload([make_call(1), make_call(2)]))
        service.work()
        service.receive(make_payload([make_call(2)]), make_json_payload(make_call(1)))
        service.work()

        assert len(service.read()) == 2
        assert service.count("cert_duplicates_total") == 2

    def test_a_copy_in_the_same_window(self, service: Service) -> None:
        """Copies that are read together are copies all the same."""
        service.receive(make_payload([make_call(1)]), make_payload([make_call(1), make_call(1)]))

        service.work()

        assert len(service.read()) == 1
        assert service.count("cert_duplicates_total") == 2

    def test_equal_ids_with_other_content_are_no_copies(self, service: Service) -> None:
        """A span that only shares its ids is another one."""
        service.receive(make_payload([make_call(1), make_call(1, output_data="No.")]))

        service.work()

        assert sorted(one.output_data or "" for one in service.read()) == ["It is 3.", "No."]

    def test_what_a_scorer_added_on_the_way_makes_no_other_span(self, service: Service) -> None:
        """A span that went through the collector's processor is that which was submitted."""
        marked = make_call(1, score_status="deferred")
        service.receive(make_payload([make_call(1)]), make_payload([marked]))

        service.work()

        assert len(service.read()) == 1

    def test_a_clock_that_runs_back(self, service: Service) -> None:
        """Order is that of the inbox, and a copy one by its content: no time decides on either."""
        day_ns = 86_400 * 10**9
        service.receive(
            make_payload([make_call(1)]),
            make_payload([make_call(2)], received_ns=time.time_ns() - day_ns),
            make_payload([make_call(1)], received_ns=time.time_ns() + day_ns),
        )
        times = iter(range(10**9, 0, -86_400))
        with service.start(policy=Policy(window_bytes=1), clock=lambda: next(times)) as worker:
            while worker.work():
                pass

        assert [one.trace_id for one in service.read()] == [f"{n:032x}" for n in (2, 3)]

    def test_a_copy_after_the_window_is_forgotten(self, service: Service) -> None:
        """Copies are known for as long as is set, not longer."""
        service.receive(make_payload([make_call(1)]))
        policy = Policy(dedupe_window_s=60)
        with service.start(policy=policy) as worker:
            worker.work()
        service.receive(make_payload([make_call(2)]))
        with service.start(policy=policy, clock=lambda: time.time() + 120) as worker:
            worker.work()
        service.receive(make_payload([make_call(1)]))
        service.work()

        assert len(service.read()) == 3


class TestSelection:
    def test_what_is_skipped_and_why(self, service: Service) -> None:
        """Spans without an answer that could be judged are records with the reason."""
        service.receive(
            make_payload(
                [
                    make_call(1, input_data=None, output_data=None),
                    make_call(2, output_data=None),
                    make_retrieval(3, "Two."),
                    make_call(4, span_id=None),
                    make_call(5),
                ]
            )
        )

        service.work()

        assert service.list_outcomes() == {
            ("skipped", "no_content"): 1,
            ("skipped", "no_answer"): 1,
            ("skipped", "no_model_call"): 1,
            ("skipped", "no_ids"): 1,
            ("scored", None): 1,
        }

    def test_spans_of_the_service_itself_are_not_taken(self, service: Service) -> None:
        """Results that come back as spans become no records, which would be judged again."""
        own = make_call(1, metadata={"otel.scope.name": "cert.scorer"})
        service.receive(make_payload([own]))

        service.work()

        assert service.read() == []
        assert service.count("cert_passed_total", reason="own") == 1

    def test_other_spans_are_counted(self, service: Service) -> None:
        """A span that tells of no model becomes no record, and a number."""
        line = (
            b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"GET /"},{"name":"SELECT"}]}]}]}'
        )
        service.receive(make_payload([], encoding="json", body=line))

        service.work()

        assert service.read() == []
        assert service.count("cert_passed_total", reason="no_model") == 2

    def test_a_call_without_a_start_is_an_error_record(self, service: Service) -> None:
        """A span that cannot be read in full leaves a record that says so."""
        line = (
            b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"chat","attributes":'
            b'[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}}]}]}]}]}'
        )
        service.receive(make_payload([], encoding="json", body=line))

        service.work()

        assert service.list_outcomes() == {("error", "no_start_time"): 1}

    @pytest.mark.parametrize("encoding", ["protobuf", "json"])
    def test_what_is_no_otlp_is_put_aside(self, service: Service, encoding: str) -> None:
        """Bytes that nobody can read stop nothing, and are kept."""
        service.receive(
            make_payload([], encoding=encoding, body=b"\xff\xfe\x00no OTLP"),
            make_payload([make_call(1)]),
        )

        service.work()

        assert len(service.read()) == 1
        assert service.count("cert_quarantined_total") == 1
        with Inbox.attach(service.directory / "inbox") as inbox:
            assert [id_ for id_, _ in inbox.list_quarantined()] == [1]

    def test_half_of_the_traces(self, service: Service) -> None:
        """What is sampled out is a record, and the same traces are whenever it is asked."""
        traces = [os.urandom(16).hex() for _ in range(200)]
        calls = [make_call(number, trace_id=trace) for number, trace in enumerate(traces)]
        service.receive(make_payload(calls))

        service.work(policy=Policy(sample=0.5))

        outcomes = service.list_outcomes()
        assert set(outcomes) == {("scored", None), ("skipped", "sampled_out")}
        assert outcomes.total() == 200

    def test_what_waited_too_long_or_is_too_long(self, service: Service) -> None:
        """Old and overlong texts are not judged, and say why."""
        old = make_payload([make_call(1)], received_ns=time.time_ns() - 10**11)
        service.receive(old, make_payload([make_call(2, output_data="word " * 1000)]))

        service.work(policy=Policy(max_age_s=60, max_tokens=1000))

        assert service.list_outcomes() == {("skipped", "expired"): 1, ("skipped", "too_long"): 1}

    def test_a_backlog_beyond_the_limit_is_shed(self, service: Service) -> None:
        """Until the backlog is half of the limit, what is read is recorded and not judged."""
        payloads = [make_payload([make_call(number)]) for number in range(100, 110)]
        size = len(payloads[0].body)
        service.receive(*payloads)

        service.work(policy=Policy(shed_above_bytes=size * 8, window_bytes=size))

        assert service.list_outcomes() == {("skipped", "shed"): 6, ("scored", None): 4}


class TestContext:
    def test_retrieved_before_in_another_request(self, service: Service) -> None:
        """What was retrieved in a trace is what its answer is judged against."""
        from cert_otel.evaluation import Evaluator  # noqa: PLC0415 - a second of imports

        answer = "The tower is 330 metres tall."
        service.receive(
            make_payload([make_retrieval(1, "The Eiffel Tower is 330 metres tall.")]),
            make_payload([make_call(1, output_data=answer, input_data="How tall is it?")]),
            make_payload([make_call(2, output_data=answer)]),
        )

        service.work(EvaluationJudge(Evaluator()), Policy(window_bytes=1))

        by_trace = {one.trace_id: one for one in service.read() if one.kind == "inference"}
        assert by_trace[f"{2:032x}"].passed is True
        assert by_trace[f"{3:032x}"].score_reason == "no_context"

    def test_the_second_judge_sees_what_the_first_found(self) -> None:
        """Judges in a row build on each other."""
        from cert_otel.service.judging import Case  # noqa: PLC0415 - a type elsewhere

        met: list[float | None] = []

        class Second(Praise):
            def judge(self, cases: Sequence[Case]) -> list[list[EvaluationRecord]]:
                met.extend(case.record.confidence for case in cases)
                return [[] for _ in cases]

        (found,) = SequenceJudge([Praise(), Second()]).judge([Case(make_call(1))])
        assert (met, len(found)) == ([0.9], 1)


class TestJudges:
    def test_nobody_judges(self, service: Service) -> None:
        """Without a judge a record says that there is none."""
        service.receive(make_payload([make_call(1)]))

        service.work(NullJudge())

        assert service.list_outcomes() == {("skipped", "no_scorer"): 1}

    def test_one_answer_that_fails_is_one_error(self, service: Service) -> None:
        """An exception costs the record that it is about, and names its type alone."""
        service.receive(make_payload([make_call(number) for number in range(6)]))

        service.work(GuardedJudge(Picky()))

        assert service.list_outcomes() == {("scored", None): 5, ("error", "ZeroDivisionError"): 1}
        assert service.count("cert_records_total", status="scored", reason="none") == 5

    def test_a_span_that_was_scored_before_us(self, service: Service) -> None:
        """It is judged anew; where nobody judges here, its record keeps what it came with."""
        scores: dict[str, Any] = {
            "score_status": "scored",
            "scorer": "upstream",
            "trajectory": Trajectory(perplexity=7.0),
            "evaluations": [Evaluation(name="praise", score=0.1), Evaluation(name="x", score=0.2)],
        }
        service.receive(make_payload([make_call(1, **scores)]))
        service.work()
        service.receive(make_payload([make_call(2, **scores)]))
        service.work(NullJudge())

        judged, kept = service.read()
        assert (judged.scorer, judged.trajectory) == ("praise", None)
        assert [(one.name, one.score) for one in judged.evaluations] == [("praise", 0.9)]
        assert (kept.scorer, kept.trajectory) == ("upstream", Trajectory(perplexity=7.0))
        assert kept.score_status == "scored"

    def test_texts_of_like_length_are_judged_together(self, service: Service) -> None:
        """A batch holds neighbours in length, so that none waits for a much longer one."""
        batches: list[list[int]] = []

        class Noting(Praise):
            def judge(self, cases: Sequence[Case]) -> list[list[EvaluationRecord]]:
                batches.append([len(case.record.output_data or "") for case in cases])
                return super().judge(cases)

        lengths = [900, 10, 800, 20, 700, 30]
        calls = [make_call(n, output_data="x" * length) for n, length in enumerate(lengths)]
        service.receive(make_payload(calls))
        service.work(Noting(), Policy(limits=Limits(records=3)))

        assert batches == [[10, 20, 30], [700, 800, 900]]


class TestMemory:
    def test_what_is_forgotten(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        """Spans and resources are forgotten after the window, however many come in one."""
        monkeypatch.setattr("cert_otel.service.seen._FORGOTTEN_AT_ONCE", 2)
        policy = Policy(dedupe_window_s=3600)
        service.receive(*(make_payload([make_call(n, service=f"s{n}")]) for n in range(7)))
        for at_s in (time.time(), time.time() + 3 * 86_400):
            with service.start(policy=policy, clock=partial(float, at_s)) as worker:
                worker.work()
            service.receive(make_payload([make_call(99, service="new")]))
        with sqlite3.connect(service.seen) as reader:
            spans = reader.execute("SELECT count(*) FROM seen").fetchall()
            resources = reader.execute("SELECT attributes FROM resource").fetchall()
        reader.close()

        assert spans == [(1,)]
        assert [json.loads(text) for (text,) in resources] == [{"service.name": "new"}]


class TestWindows:
    def test_a_slow_judge_gets_less_at_once(self, service: Service) -> None:
        """Where a window takes long the next is smaller, and larger again where it does not."""
        now_s = [time.time()]
        windows: list[int] = []

        class Slow(Praise):
            def judge(self, cases: Sequence[Case]) -> list[list[EvaluationRecord]]:
                now_s[0] += 30 if len(windows) < 3 else 0
                windows.append(len(cases))
                return super().judge(cases)

        text = "x" * 10_000
        calls = [make_call(number, output_data=text) for number in range(1000)]
        service.receive(*(make_payload(calls[at : at + 10]) for at in range(0, 1000, 10)))
        with service.start(
            Slow(), Policy(limits=Limits(records=1000, tokens=10**9)), clock=lambda: now_s[0]
        ) as worker:
            while worker.work():
                pass

        assert windows[0] > windows[1] > windows[2] > windows[3]
        assert windows[4] > windows[3]
        assert sum(windows) == 1000


PROGRAM = """
import sys
from pathlib import Path
from tests.service import test_worker
judge = getattr(test_worker, sys.argv[2])()
test_worker.Service(Path(sys.argv[1])).work(judge)
"""


def run_worker(service: Service, *, judge: str = "Praise", failpoint: str | None = None) -> int:
    """Run a worker as a process until nothing is left, and return how it ended."""
    environment = dict(os.environ)
    if failpoint:
        environment[failpoints.VARIABLE] = failpoint
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(service.directory), judge],
        env=environment,
        check=False,
        timeout=60,
    ).returncode


class TestKills:
    @pytest.mark.parametrize(
        "point",
        [
            "after_inbox_begin",
            "after_claim",
            "after_judge",
            "trail_write",
            "mid_trail_write",
            "after_trail_sync",
            "after_inbox_finish",
        ],
    )
    def test_killed_at_any_arrow(self, service: Service, point: str) -> None:
        """Wherever it is killed, the next start leaves each span once and no torn line."""
        calls = [make_call(number) for number in range(9)]
        service.receive(*(make_payload(calls[at : at + 3]) for at in (0, 3, 6)))

        assert run_worker(service, failpoint=f"{point}:kill") == -signal.SIGKILL
        service.work()

        assert sorted(one.trace_id or "" for one in service.read()) == [
            one.trace_id for one in calls
        ]
        assert service.list_outcomes() == {("scored", None): 9}

    def test_copies_across_a_kill(self, service: Service) -> None:
        """A copy that arrives while the first one is unfinished is a copy still."""
        service.receive(make_payload([make_call(1)]))
        run_worker(service, failpoint="after_claim:kill")
        service.receive(make_payload([make_call(1)]))

        service.work()

        assert len(service.read()) == 1

    def test_a_record_that_kills_three_times(self, service: Service) -> None:
        """The third death is the last: an error record in its place, all others judged."""
        calls = [make_call(number) for number in range(6)]
        service.receive(make_payload(calls[:2]), make_payload(calls[2:5]), make_payload(calls[5:]))

        deaths = 0
        while run_worker(service, judge="Deadly") == -signal.SIGKILL:
            deaths += 1

        assert deaths == 3
        assert service.list_outcomes() == {("scored", None): 5, ("error", KILLER): 1}

    def test_asked_to_stop_again_and_again(self, service: Service) -> None:
        """A worker that is asked to stop leaves the batch for later, and nobody is guilty of it."""
        service.receive(make_payload([make_call(1)]))
        for _ in range(5):
            with service.start(may_go_on=lambda: False) as worker:
                assert worker.work() is True
        assert service.read() == []

        service.work()

        assert service.list_outcomes() == {("scored", None): 1}

    def test_a_payload_that_kills_when_it_is_read(self, service: Service) -> None:
        """The death in which it was being read is its last: it is put aside, others are judged."""
        service.receive(make_payload([make_call(1)]), make_payload([make_call(2)]))
        for _ in range(2):
            assert run_worker(service, failpoint="after_claim:kill") == -signal.SIGKILL
        seen = Seen(service.seen)
        seen.take_in_hand(Place(1, -1))  # what such a death leaves behind
        seen.close()

        service.work()

        assert [one.trace_id for one in service.read()] == [f"{3:032x}"]
        assert service.count("cert_quarantined_total") == 1

    def test_killed_again_and_again_between_reading_and_judging(self, service: Service) -> None:
        """Deaths in which nothing was read or judged are no payload's and no record's fault."""
        service.receive(make_payload([make_call(1), make_call(2)]))

        for _ in range(4):
            assert run_worker(service, failpoint="after_claim:kill") == -signal.SIGKILL
        service.work()

        assert service.list_outcomes() == {("scored", None): 2}

    def test_stopped_twice_in_one_window(self, service: Service) -> None:
        """A later row's records before an earlier one's, as their length has it, are found."""
        service.receive(
            make_payload([make_call(1, output_data="long " * 100)]), make_payload([make_call(2)])
        )
        answers = iter([True, False])
        with service.start(
            policy=Policy(limits=Limits(records=1)), may_go_on=lambda: next(answers)
        ) as worker:
            assert worker.work() is True  # the shorter one, of the second row
        with service.start() as worker:
            assert worker.work() is True  # the first row
        assert len(service.read()) == 2

        service.work()

        assert service.list_outcomes() == {("scored", None): 2}

    def test_a_lost_memory_is_restored_from_the_trail(self, service: Service) -> None:
        """What a power cut took of `seen.db` is in the trail, and copies are copies again."""
        service.receive(make_payload([make_call(1)]))
        service.work()
        for file in service.seen.parent.glob("seen.db*"):
            file.unlink()
        service.receive(make_payload([make_call(1)]))

        service.work()

        assert len(service.read()) == 1


class TestDiskFull:
    def test_the_batch_in_hand_uses_the_reserve(
        self, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While the disk is full nothing is written in part, nothing is lost, nothing is guilty."""
        service.receive(make_payload([make_call(number) for number in range(4)]))
        with service.start() as worker:
            monkeypatch.setenv(failpoints.VARIABLE, "trail_write:raise")
            for _ in range(5):
                with pytest.raises(OSError, match="no space left"):
                    worker.work()
            assert service.read() == []
            assert not (service.trail / "reserve").exists()

            monkeypatch.delenv(failpoints.VARIABLE)
            assert worker.work() is True

        assert service.list_outcomes() == {("scored", None): 4}
        assert service.count("cert_duplicates_total") == 0
        assert (service.trail / "reserve").stat().st_size == 1 << 16

    def test_stopped_again_and_again(
        self, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever is restarted while the disk is full blames no record for it."""
        service.receive(make_payload([make_call(1), make_call(2)]))
        monkeypatch.setenv(failpoints.VARIABLE, "trail_write:raise")
        for _ in range(5):
            with service.start() as worker, pytest.raises(OSError, match="no space left"):
                worker.work()
        monkeypatch.delenv(failpoints.VARIABLE)

        service.work()

        assert service.list_outcomes() == {("scored", None): 2}

    def test_no_room_for_the_reserve(self, service: Service) -> None:
        """Without its reserve nothing is begun: the next batch could not be ended."""
        service.receive(make_payload([make_call(1)]))
        seen = Seen(service.seen)
        with (
            Inbox.attach(service.directory / "inbox") as inbox,
            Sink(service.trail, reserve_bytes=1 << 62) as sink,
        ):
            worker = Worker(inbox, sink, seen, Praise(), metrics=Metrics(CollectorRegistry()))
            with pytest.raises(OSError, match=r"large|space"):
                worker.work()
            (row,) = inbox.read(0, 1)
        seen.close()

        assert row.attempts == 0
        assert service.read() == []


class TestSink:
    @pytest.mark.parametrize("cut", [1, 2, 40, 200])
    def test_a_torn_line_is_cut_off(self, service: Service, cut: int) -> None:
        """What a kill left of a line goes, and its record is written again."""
        service.receive(make_payload([make_call(number) for number in range(3)]))
        service.work()
        (segment,) = service.trail.glob("seg-*.jsonl")
        whole = segment.read_bytes()
        segment.write_bytes(whole[:-cut])

        with Sink(service.trail, reserve_bytes=0):
            pass

        assert segment.read_bytes() == b"".join(whole.splitlines(keepends=True)[:2])

    def test_zeros_after_a_power_cut(self, service: Service) -> None:
        """Blocks that the disk never wrote are no line, newline behind them or not."""
        service.receive(make_payload([make_call(1)]))
        service.work()
        (segment,) = service.trail.glob("seg-*.jsonl")
        whole = segment.read_bytes()
        segment.write_bytes(whole + bytes(4096) + b"\n")

        with Sink(service.trail, reserve_bytes=0):
            pass

        assert segment.read_bytes() == whole

    def test_segments_are_named_after_their_first_line(self, tmp_path: Path) -> None:
        """A segment ends at a line's end, and numbers go on over a restart."""
        for numbers in (range(5), range(5, 9)):
            with Sink(tmp_path, segment_bytes=30, reserve_bytes=0) as sink:
                for number in numbers:
                    sink.append([b'{"n":%d}\n' % number])

        names = sorted(path.name for path in tmp_path.glob("seg-*"))
        assert names == [f"seg-{first:012d}.jsonl" for first in (1, 4, 7)]

    def test_one_writer(self, tmp_path: Path) -> None:
        """A second process is refused, and told what to do."""
        with Sink(tmp_path, reserve_bytes=0), pytest.raises(InputError, match="another process"):
            Sink(tmp_path, reserve_bytes=0)

    def test_where_a_record_came_from(self, service: Service) -> None:
        """Each line names its row, span, key and resource."""
        service.receive(make_payload([make_call(1)]), make_payload([make_call(2), make_call(3)]))
        service.work()
        (segment,) = service.trail.glob("seg-*.jsonl")

        origins = [HEAD.decode(line).origin for line in segment.read_bytes().splitlines()]
        places = sorted(Place(one.row, one.span) for one in origins if one is not None)
        assert places == [(1, 0), (2, 0), (2, 1)]
