"""`cert evaluate`: every answer of a journal judged once, and shown where it fails."""

from __future__ import annotations

import gzip
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.cli.conftest import end_when_begun, read_results, refuse
from tests.evaluation.conftest import MODULE, write_package

from cert_otel.cli import main
from cert_otel.journal import get_scores_path, read_journal
from cert_otel.records import ContextItem, encode_line
from cert_otel.wire.otlp_proto import read_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cert_otel.records import Record

CERT = str(Path(sys.executable).parent / "cert")
STOPPED = "cert: stopped; what was judged is kept, the next run goes on\n"
CONTEXT = [ContextItem(text="Returns are free for 30 days .")]
GOOD, BAD = "free for 30 days", "free for 90 days"
WITHOUT_TEXTS = dict.fromkeys(
    ("input_data", "output_data", "input_messages", "output_messages"), None
)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install evaluators of another package that look for words."""
    folder = tmp_path / "site"
    write_package(folder, words="Words", breaks="Breaks")
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    yield folder
    sys.modules.pop(MODULE, None)


@pytest.fixture
def judged(site: Path, call: Callable[..., Record]) -> Callable[..., Record]:
    """Build the n-th call with a context that its answer can be judged by."""
    assert site.exists()

    def build(number: int, answer: str | None = GOOD, **fields: Any) -> Record:
        return call(number, **{"context": CONTEXT, "output_data": answer} | fields)

    return build


@pytest.fixture
def evaluate(site: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Evaluate by words; return what is printed as JSON."""
    assert site.exists()

    def run(*words: str | Path, code: int = 0, by: str = "words") -> dict[str, Any]:
        argv = ["evaluate", *map(str, words), "--evaluators", by, "--format", "json"]
        assert main(argv) == code
        printed: dict[str, Any] = json.loads(capsys.readouterr().out)
        return printed

    return run


class TestJournal:
    """The answers of a file, with their results beside it."""

    def test_each_answer_has_one_result(
        self,
        evaluate: Callable[..., dict[str, Any]],
        judged: Callable[..., Record],
        journal: Callable[..., Path],
    ) -> None:
        """Judged, or skipped with the reason; what has no answer of its own has none."""
        path = journal(
            "production.jsonl",
            judged(0),
            judged(1, BAD),
            judged(2, context=None),
            judged(3, None),
            judged(4, **WITHOUT_TEXTS, score_status="skipped", score_reason="no_content"),
            judged(5, kind="embedding"),
            judged(6, duplicate_of=f"{1:016x}"),
        )
        summary = evaluate(path, "--threshold", "0.8")

        results = read_results(path)
        assert [one["score_reason"] for one in results] == [
            None,
            None,
            "no_context",
            "no_text",
            "no_content",
        ]
        assert [one["passed"] for one in results] == [True, False, None, None, None]
        assert (summary["total_traces"], summary["evaluated"], summary["skipped"]) == (5, 2, 3)
        assert summary["skip_reasons"] == {"no_context": 1, "no_text": 1, "no_content": 1}
        assert (summary["pass_rate"], summary["coverage"]) == (0.5, 0.4)
        assert [one["span_id"] for one in summary["results"]] == [one["span_id"] for one in results]

    def test_a_result_says_what_it_rests_on(
        self,
        evaluate: Callable[..., dict[str, Any]],
        judged: Callable[..., Record],
        journal: Callable[..., Path],
    ) -> None:
        """Evidence as offsets, context by source, who judged: and none of the texts."""
        path = journal("production.jsonl", judged(0, BAD))
        evaluate(path)

        (result,) = read_results(path)
        assert (result["kind"], result["scorer"]) == ("evaluation", "cert-evaluate:words")
        assert result["scorer_revision"] == "mean; words 1; threshold 0.7"
        assert (result["context_sources"], result["context_passages"]) == (["explicit"], 1)
        (evaluation,) = result["evaluations"]
        assert evaluation["evidence"][0]["start"] == BAD.index("90")
        assert "free for" not in get_scores_path(path).read_text()

    def test_contexts_come_from_other_lines(
        self,
        evaluate: Callable[..., dict[str, Any]],
        judged: Callable[..., Record],
        journal: Callable[..., Path],
    ) -> None:
        """Retrievals before, functions behind the call, in whatever order they are written."""
        trace = {"trace_id": "t", "context": None}
        path = journal(
            "production.jsonl",
            judged(1, span_id="a", **trace),
            judged(0, None, kind="retrieval", **trace | {"span_id": "r", "context": CONTEXT}),
            judged(3, span_id="b", trace_id="u", context=None, parent_span_id="f"),
            judged(2, kind="function", span_id="f", trace_id="u", latency_ms=1e7),
        )
        summary = evaluate(path)

        assert [one["context_sources"] for one in summary["results"]] == [
            ["retrieval"],
            ["explicit"],
        ]
        assert summary["pass_rate"] == 1

    def test_functions_without_a_model_call_are_answers(
        self,
        evaluate: Callable[..., dict[str, Any]],
        judged: Callable[..., Record],
        journal: Callable[..., Path],
    ) -> None:
        """What `@trace` recorded where no model call was seen."""
        path = journal("production.jsonl", judged(0, BAD, kind="function", model=None))
        summary = evaluate(path)

        assert (summary["total_traces"], summary["mean_confidence"]) == (1, 0.75)

    def test_a_second_run_changes_nothing(
        self,
        evaluate: Callable[..., dict[str, Any]],
        judged: Callable[..., Record],
        journal: Callable[..., Path],
    ) -> None:
        """What was judged by the same evaluators is passed over, and still counted."""
        path = journal("production.jsonl", judged(0), judged(1, BAD), judged(2, context=None))
        first = evaluate(path)
        before = get_scores_path(path).read_bytes()
        second = evaluate(path)

        assert get_scores_path(path).read_bytes() == before
        assert second == first | {"passed_over": 3}

    def test_only_what_is_new_is_judged(
        self,
        evaluate: Callable[..., dict[str, Any]],
        judged: Callable[..., Record],
        journal: Callable[..., Path],
    ) -> None:
        """New calls, and calls whose context has been written meanwhile."""
        late = {"trace_id": "u", "context": None}
        path = journal(
            "production.jsonl", judged(0), judged(1, span_id="b", parent_span_id="f", **late)
        )
        evaluate(path)
        function = judged(0, kind="function", span_id="f", trace_id="u", latency_ms=1e9)
        with path.open("ab") as file:
            file.write(encode_line(judged(2)) + encode_line(function))
        summary = evaluate(path)

        assert (summary["passed_over"], summary["evaluated"]) == (1, 3)
        assert [one["score_reason"] for one in read_results(path)] == [
            None,
            "no_context",
            None,
            None,
        ]

    def test_the_mean_of_cert(
        self,
        evaluate: Callable[..., dict[str, Any]],
        judged: Callable[..., Record],
        journal: Callable[..., Path],
    ) -> None:
        """`--combiner cert` forms the confidence of CERT, and the revision says so."""
        path = journal("production.jsonl", judged(0))
        summary = evaluate(path, "--combiner", "cert", by="grounding")

        assert summary["scorer_revision"].startswith("cert sentence-transformers/all-MiniLM-L6-v2 ")
        assert summary["results"][0]["confidence_low"] is None
        assert 0 < summary["mean_confidence"] < 1

    def test_another_threshold_is_another_revision(
        self,
        evaluate: Callable[..., dict[str, Any]],
        judged: Callable[..., Record],
        journal: Callable[..., Path],
    ) -> None:
        """The newest result counts for every reader."""
        path = journal("production.jsonl", judged(0, BAD))
        evaluate(path)
        evaluate(path, "--threshold", "0.8")

        (record,) = read_journal([path]).records
        assert len(read_results(path)) == 2
        assert (record.confidence, record.threshold, record.passed) == (0.75, 0.8, False)

    def test_an_answer_that_breaks_an_evaluator_is_one_error(
        self,
        evaluate: Callable[..., dict[str, Any]],
        judged: Callable[..., Record],
        journal: Callable[..., Path],
    ) -> None:
        """The others are judged; the exit code is 1, and it is tried again."""
        path = journal("production.jsonl", judged(0), judged(1, "break"), judged(2))
        summary = evaluate(path, code=1, by="breaks")
        again = evaluate(path, code=1, by="breaks")

        assert (summary["evaluated"], summary["errors"]) == (2, 1)
        assert summary["error_types"] == {"breaks: RuntimeError": 1}
        assert again["passed_over"] == 2
        assert len(read_results(path)) == 4

    def test_readers_see_who_failed(
        self,
        evaluate: Callable[..., dict[str, Any]],
        judged: Callable[..., Record],
        journal: Callable[..., Path],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """A task with a failed answer is no success: `cert costs` knows."""
        path = journal("production.jsonl", judged(0), judged(1, BAD))
        evaluate(path, "--threshold", "0.8")
        assert main(["costs", str(path), "--format", "json"]) == 0

        costs = json.loads(capsys.readouterr().out)
        assert (costs["successful_tasks"], costs["tasks"]) == (1, 2)


class TestKilled:
    """A run that is ended from outside."""

    @pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
    def test_loses_no_finished_batch(
        self,
        end: signal.Signals,
        judged: Callable[..., Record],
        journal: Callable[..., Path],
        site: Path,
    ) -> None:
        """The next run goes on behind what was written: each answer has exactly one result."""
        path = journal("production.jsonl", *map(judged, range(3000)))
        command = [CERT, "evaluate", str(path), "--evaluators", "words"]
        environ = os.environ | {"PYTHONPATH": str(site)}
        code, said = end_when_begun(command, get_scores_path(path), end, environ)
        survived = read_results(path)
        done = subprocess.run(
            [*command, "--format", "json"], capture_output=True, text=True, check=True, env=environ
        )

        results = read_results(path)
        assert code == (130 if end == signal.SIGINT else -end)
        assert said == ("" if end == signal.SIGKILL else STOPPED)
        assert 0 < len(survived) < 3000
        assert results[: len(survived)] == survived
        assert len({one["span_id"] for one in results}) == len(results) == 3000
        assert json.loads(done.stdout)["passed_over"] == len(survived)


class TestMerged:
    """`-o`: the records with their results in them."""

    def test_is_a_journal_of_its_own(
        self,
        evaluate: Callable[..., dict[str, Any]],
        judged: Callable[..., Record],
        journal: Callable[..., Path],
        tmp_path: Path,
    ) -> None:
        """It reads as the file and its results do."""
        path = journal("production.jsonl", judged(0), judged(1, BAD), judged(2, kind="embedding"))
        summary = evaluate(path, "-o", tmp_path / "merged.jsonl")

        merged = read_journal([tmp_path / "merged.jsonl"])
        assert merged.records == read_journal([path]).records
        assert [record.confidence for record in merged.records] == [1.0, 0.75, None]
        assert summary["output"] == str(tmp_path / "merged.jsonl")

    def test_overwrites_nothing(
        self,
        judged: Callable[..., Record],
        journal: Callable[..., Path],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """It says so before anything is judged."""
        path, there = journal("production.jsonl", judged(0)), journal("there.jsonl", b"mine\n")

        message = refuse(capsys, "evaluate", path, "-o", there, "--evaluators", "words")
        assert "is not overwritten" in message
        assert there.read_bytes() == b"mine\n"
        assert not read_results(path)


class TestRefusals:
    """What cannot be done is one message, with exit code 2, and leaves no file."""

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            (WITHOUT_TEXTS, "none of its 1 model calls has content, which is what is evaluated"),
            (
                {"trace_id": None},
                "joined to them; cert_otel.evaluation.Evaluator.evaluate_log_file",
            ),
            ({"kind": "tool"}, "holds no model call"),
        ],
    )
    def test_nothing_to_judge(
        self,
        fields: dict[str, Any],
        message: str,
        judged: Callable[..., Record],
        journal: Callable[..., Path],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """A run that does nothing is a mistake in the asking."""
        path = journal("production.jsonl", judged(0, **{"output_data": None} | fields))

        assert message in refuse(capsys, "evaluate", path, "--evaluators", "words")
        assert not get_scores_path(path).exists()

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (
                ["--evaluators", "wordz"],
                "'wordz' is unknown; did you mean words? there are breaks,",
            ),
            (["--evaluators", ","], "evaluators: none is named"),
            (["--evaluators", "words", "--threshold", "7"], "threshold: 7.0 is not in [0, 1]"),
            (["--evaluators", "words", "--emit"], "--emit: there is nowhere to send to; set OTEL_"),
        ],
    )
    def test_settings_that_cannot_be_used(
        self,
        words: list[str],
        message: str,
        judged: Callable[..., Record],
        journal: Callable[..., Path],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Each is named, with what can."""
        path = journal("production.jsonl", judged(0))

        assert message in refuse(capsys, "evaluate", path, *words)
        assert not get_scores_path(path).exists()

    def test_no_file(self, site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Nothing is created for a name that was mistyped."""
        message = refuse(capsys, "evaluate", tmp_path / "none.jsonl", "--evaluators", "words")

        assert "no such file" in message
        assert list(tmp_path.iterdir()) == [site]


class Collector(BaseHTTPRequestHandler):
    """Takes OTLP and keeps it; answers what its server says."""

    def do_POST(self) -> None:
        """Keep the body."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.received.append((self.path, body))  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - likewise
        """Say nothing."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Start a collector, and name it in the environment."""
    server: Any = HTTPServer(("127.0.0.1", 0), Collector)
    server.received, server.status = [], 200
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


class TestEmit:
    """`--emit`: the evaluations as events, for whoever shows the spans."""

    def test_sends_what_is_new(
        self,
        evaluate: Callable[..., dict[str, Any]],
        judged: Callable[..., Record],
        journal: Callable[..., Path],
        collector: Any,
    ) -> None:
        """Once, with the ids of the judged span, under the service that was judged."""
        calls = judged(0, service="shop"), judged(1, BAD), judged(2, context=None)
        path = journal("production.jsonl", *calls)
        summary = evaluate(path, "--emit")
        again = evaluate(path, "--emit")

        assert (summary["emitted"], again["emitted"]) == (4, 0)
        ((where, body),) = collector.received
        assert where == "/v1/logs"
        events = read_logs(body).logs
        assert {event.name for event in events} == {"gen_ai.evaluation.result"}
        assert [
            (event.trace_id, event.attributes["gen_ai.evaluation.name"], event.resource.service)
            for event in events
        ] == [
            (calls[0].trace_id, "words", "shop"),
            (calls[0].trace_id, "confidence", "shop"),
            (calls[1].trace_id, "words", None),
            (calls[1].trace_id, "confidence", None),
        ]
        assert b"free for" not in body

    def test_what_cannot_be_delivered_needs_attention(
        self,
        judged: Callable[..., Record],
        journal: Callable[..., Path],
        collector: Any,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """The results are there all the same; the exit code is 1."""
        collector.status = 400
        path = journal("production.jsonl", judged(0))

        assert main(["evaluate", str(path), "--evaluators", "words", "--emit"]) == 1
        assert "2 events could not be delivered" in capsys.readouterr().err
        assert len(read_results(path)) == 1

    def test_an_unknown_protocol(
        self,
        judged: Callable[..., Record],
        journal: Callable[..., Path],
        collector: Any,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Said before anything is judged."""
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "carrier-pigeon")
        path = journal("production.jsonl", judged(0))

        message = refuse(capsys, "evaluate", path, "--evaluators", "words", "--emit")
        assert "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: 'carrier-pigeon' is unknown" in message
        assert collector.received == []


class TestTable:
    """What people see."""

    def test_shows_which_failed_and_why(
        self,
        judged: Callable[..., Record],
        journal: Callable[..., Path],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """The rate with its interval, the answer with its marks, the counts of the rest."""
        path = journal("production.jsonl", judged(0), judged(1, BAD), judged(2, BAD, context=None))
        argv = ["evaluate", str(path), "--evaluators", "words", "--threshold", "0.8"]
        assert main(argv) == 0

        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == (
            "passed   1 of 2 answers, 50.0% (95% interval 9.5% to 90.5%), "
            "at confidence 0.80, preset general"
        )
        shown = "\n".join(lines)
        assert "0.75  gpt-4o  2026-11-20T11:00:00" in shown
        assert "  asked     What is 1 + 2?\n  answered  free for [90] days\n" in shown
        assert '  why       not in the context: "90"\n' in shown
        assert "[not in the context]  [[the context says otherwise]]" in shown
        assert "context  explicit (2)" in shown
        assert "coverage 2 of 3 answers evaluated (66.7%); 1 skipped: no_context (1)" in shown

    def test_without_a_judgement_there_is_no_rate(
        self,
        judged: Callable[..., Record],
        journal: Callable[..., Path],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Unknown, not 0."""
        path = journal("production.jsonl", judged(0, context=None))
        assert main(["evaluate", str(path), "--evaluators", "words"]) == 0

        assert capsys.readouterr().out.startswith("passed   unknown: no answer could be judged")

    def test_answers_command_no_terminal(
        self,
        judged: Callable[..., Record],
        journal: Callable[..., Path],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Escape sequences and line ends of an answer are not printed; [markup] is text."""
        path = journal("production.jsonl", judged(0, "[red]free\x1b[31m for\n90 days"))
        assert main(["evaluate", str(path), "--evaluators", "words"]) == 0

        shown = capsys.readouterr().out
        assert "\x1b" not in shown
        assert "red]free [31m" in shown

    def test_colours_in_a_terminal(
        self, judged: Callable[..., Record], journal: Callable[..., Path], site: Path
    ) -> None:
        """Marks are colours there, not brackets."""
        path = journal("production.jsonl", judged(0, BAD))
        environ = {name: value for name, value in os.environ.items() if "COLOR" not in name}
        done = subprocess.run(
            [CERT, "evaluate", str(path), "--evaluators", "words", "--threshold", "0.9"],
            capture_output=True,
            text=True,
            check=True,
            env=environ | {"FORCE_COLOR": "1", "TERM": "xterm-256color", "PYTHONPATH": str(site)},
        )

        assert "\x1b[" in done.stdout
        assert "[90]" not in done.stdout
