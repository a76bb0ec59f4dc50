"""`cert score`: every answer of a journal once, and one text token by token."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from tests.cli.conftest import end_when_begun, read_results, refuse
from tests.scoring.reference import Reference, build_network, build_tokenizer

from cert_otel.cli import main
from cert_otel.journal import get_scores_path, read_journal
from cert_otel.records import EvaluationRecord, encode_line
from cert_otel.scoring.defaults import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from cert_otel.records import Record

CERT = str(Path(sys.executable).parent / "cert")
STOPPED = "cert: stopped; what was scored is kept, the next run goes on\n"
WITHOUT_TEXTS = dict.fromkeys(
    ("input_data", "output_data", "input_messages", "output_messages"), None
)


@pytest.fixture
def score(scorer: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Score with the small model; return what is printed as JSON."""

    def run(*words: str | Path, code: int = 0) -> dict[str, Any]:
        argv = ["score", *map(str, words), "--model", str(scorer), "--format", "json"]
        assert main(argv) == code
        printed: dict[str, Any] = json.loads(capsys.readouterr().out)
        return printed

    return run


class TestJournal:
    """The answers of a file, with their results beside it."""

    def test_each_call_has_one_result(
        self,
        score: Callable[..., dict[str, Any]],
        call: Callable[..., Record],
        journal: Callable[..., Path],
    ) -> None:
        """Scored, or skipped with the reason; what is no model call has none."""
        tool = {"type": "tool_call", "name": "search", "arguments": {}}
        path = journal(
            "production.jsonl",
            call(0),
            call(1, output_data=None, output_messages=[{"role": "assistant", "parts": [tool]}]),
            call(2, output_data=None, output_messages=None, status="error"),
            call(3, **WITHOUT_TEXTS, score_status="skipped", score_reason="no_content"),
            call(4, kind="embedding"),
            call(5, duplicate_of=f"{1:016x}"),
        )
        summary = score(path)

        results = {one["span_id"]: one for one in read_results(path)}
        assert [one["score_reason"] for one in results.values()] == [
            None,
            "no_text",
            "no_answer",
            "no_content",
        ]
        assert summary["skipped"] == {"no_text": 1, "no_answer": 1, "no_content": 1}
        assert (summary["calls"], summary["scored"], summary["coverage"]) == (4, 1, 0.25)

    def test_fills_the_trajectory(
        self,
        score: Callable[..., dict[str, Any]],
        call: Callable[..., Record],
        journal: Callable[..., Path],
    ) -> None:
        """Figures of tokens and steps, under the name and revision of the model."""
        path = journal("production.jsonl", call(0))
        score(path)

        (result,) = read_results(path)
        trajectory = result["trajectory"]
        assert (result["kind"], result["scorer"]) == ("evaluation", "tiny")
        assert result["scorer_revision"].startswith("sha256:")
        assert trajectory["tokens"] == len("The sum is 2. That is all there is.")
        assert trajectory["steps"] == 2
        assert trajectory["perplexity"] > 1
        assert 0 < trajectory["entropy_mean"] <= trajectory["entropy_max"] <= math.log(301)
        assert 0 <= trajectory["surprise_rate"] <= 1
        assert -1 <= trajectory["energy_mean"] <= trajectory["energy_max"] <= 3
        assert trajectory["flags"] == ["perplexity"]

    def test_readers_join_the_results(
        self,
        score: Callable[..., dict[str, Any]],
        call: Callable[..., Record],
        journal: Callable[..., Path],
    ) -> None:
        """The file of results is found beside the journal, for its owner alone."""
        path = journal("production.jsonl", call(0), call(1))
        score(path)

        records = read_journal([path]).records
        assert [record.score_status for record in records] == ["scored", "scored"]
        assert {record.scorer for record in records} == {"tiny"}
        assert get_scores_path(path).stat().st_mode & 0o777 == 0o600

    def test_a_second_run_changes_nothing(
        self,
        score: Callable[..., dict[str, Any]],
        call: Callable[..., Record],
        journal: Callable[..., Path],
    ) -> None:
        """What this scorer and revision did is passed over, and still counted."""
        path = journal("production.jsonl", call(0), call(1, output_data=None))
        first = score(path)
        before = get_scores_path(path).read_bytes()
        second = score(path)

        assert get_scores_path(path).read_bytes() == before
        assert second == first | {"passed_over": 2}

    def test_only_what_is_new_is_scored(
        self,
        score: Callable[..., dict[str, Any]],
        call: Callable[..., Record],
        journal: Callable[..., Path],
    ) -> None:
        """A journal that has grown gets the results that are missing."""
        path = journal("production.jsonl", call(0))
        score(path)
        with path.open("ab") as file:
            file.write(encode_line(call(1)))
        summary = score(path)

        assert summary["passed_over"] == 1
        assert [one["span_id"] for one in read_results(path)] == [f"{1:016x}", f"{2:016x}"]

    def test_what_stands_in_the_records_is_passed_over(
        self,
        score: Callable[..., dict[str, Any]],
        call: Callable[..., Record],
        journal: Callable[..., Path],
        tmp_path: Path,
    ) -> None:
        """Results that the service or -o put into the record itself count, those of others do not."""
        first = score(
            journal("production.jsonl", call(0), call(1)), "-o", tmp_path / "merged.jsonl"
        )

        (one, other) = read_journal([tmp_path / "merged.jsonl"]).records
        path = journal("trail.jsonl", one, msgspec.structs.replace(other, scorer="another"))
        second = score(path)

        assert second["passed_over"] == 1
        assert [result["span_id"] for result in read_results(path)] == [other.span_id]
        assert second["by_model"] == first["by_model"]

    def test_what_failed_is_tried_again(
        self,
        score: Callable[..., dict[str, Any]],
        call: Callable[..., Record],
        journal: Callable[..., Path],
    ) -> None:
        """An error is no result to rest on; the one that was scored counts."""
        path = journal("production.jsonl", call(0))
        score(path)
        (result,) = read_results(path)
        failed = {"trajectory": None, "score_status": "error", "score_reason": "out_of_memory"}
        journal("production.jsonl.scores.jsonl", json.dumps(result | failed).encode() + b"\n")
        summary = score(path)

        assert (summary["scored"], summary["errors"]) == (1, {})
        assert [one["score_status"] for one in read_results(path)] == ["error", "scored"]

    def test_another_template_is_another_revision(
        self,
        score: Callable[..., dict[str, Any]],
        call: Callable[..., Record],
        journal: Callable[..., Path],
    ) -> None:
        """Without the chat template the same answer is scored anew."""
        path = journal("production.jsonl", call(0))
        score(path)
        score(path, "--template", "none")

        chat, joined = read_results(path)
        assert joined["scorer_revision"] == chat["scorer_revision"] + "+joined"
        assert joined["trajectory"]["perplexity"] != chat["trajectory"]["perplexity"]

    def test_another_embedder_is_another_revision(
        self,
        score: Callable[..., dict[str, Any]],
        call: Callable[..., Record],
        journal: Callable[..., Path],
    ) -> None:
        """The same figures of tokens, with energies of the model's own states."""
        path = journal("production.jsonl", call(0))
        score(path)
        score(path, "--embedder", "hidden")

        minilm, hidden = read_results(path)
        assert hidden["scorer_revision"] == minilm["scorer_revision"] + "+hidden"
        assert hidden["trajectory"]["perplexity"] == minilm["trajectory"]["perplexity"]
        assert hidden["trajectory"]["steps"] == minilm["trajectory"]["steps"] == 2
        assert hidden["trajectory"]["energy_mean"] != minilm["trajectory"]["energy_mean"]

    def test_an_embedder_that_is_not_there(
        self,
        call: Callable[..., Record],
        journal: Callable[..., Path],
        scorer: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """It is named, and nothing else stands in for it."""
        path = journal("production.jsonl", call(0))

        message = refuse(capsys, "score", path, "--model", scorer, "--embedder", "no/such")
        assert "cannot load 'no/such'" in message

    def test_an_answer_that_breaks_the_scorer_is_one_error(
        self,
        score: Callable[..., dict[str, Any]],
        call: Callable[..., Record],
        journal: Callable[..., Path],
    ) -> None:
        """The others are scored; the exit code is 1, and the reason a type."""
        path = journal("production.jsonl", call(0), call(1, input_messages=[{"parts": 7}]), call(2))
        summary = score(path, code=1)

        assert summary["scored"] == 2
        assert summary["errors"] == {"tokenizer: TypeError": 1}
        assert len(read_results(path)) == 3

    def test_a_line_that_was_cut_off_is_scored_again(
        self,
        score: Callable[..., dict[str, Any]],
        call: Callable[..., Record],
        journal: Callable[..., Path],
    ) -> None:
        """What a killed run left half written is no result, and spoils no other."""
        path = journal("production.jsonl", call(0), call(1))
        score(path)
        scores = get_scores_path(path)
        scores.write_bytes(scores.read_bytes()[:-20])
        score(path)

        found = read_journal([path])
        assert [record.score_status for record in found.records] == ["scored", "scored"]
        assert (found.evaluations, found.unreadable) == (2, 1)


class TestKilled:
    """A run that is ended from outside."""

    @pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
    def test_loses_no_finished_batch(
        self,
        end: signal.Signals,
        call: Callable[..., Record],
        journal: Callable[..., Path],
        scorer: Path,
    ) -> None:
        """The next run goes on behind what was written: each call has exactly one result."""
        path = journal("production.jsonl", *map(call, range(1000)))
        command = [CERT, "score", str(path), "--model", str(scorer)]
        code, said = end_when_begun(command, get_scores_path(path), end)
        survived = read_results(path)
        done = subprocess.run(
            [*command, "--format", "json"], capture_output=True, text=True, check=True
        )

        results = read_results(path)
        assert code == (130 if end == signal.SIGINT else -end)
        assert said == ("" if end == signal.SIGKILL else STOPPED)
        assert 0 < len(survived) < 1000
        assert results[: len(survived)] == survived
        assert len({one["span_id"] for one in results}) == len(results) == 1000
        assert json.loads(done.stdout)["passed_over"] == len(survived)


class TestMerged:
    """`-o`: the records with their results in them."""

    def test_is_a_journal_of_its_own(
        self,
        score: Callable[..., dict[str, Any]],
        call: Callable[..., Record],
        journal: Callable[..., Path],
        tmp_path: Path,
    ) -> None:
        """It reads as the file and its results do, and needs no second file."""
        path = journal("production.jsonl", call(0), call(1, kind="embedding"), call(2))
        summary = score(path, "-o", tmp_path / "scored.jsonl")

        merged = read_journal([tmp_path / "scored.jsonl"])
        assert merged.records == read_journal([path]).records
        assert (merged.evaluations, merged.lines) == (0, 3)
        assert summary["output"] == str(tmp_path / "scored.jsonl")

    def test_keeps_results_without_a_record(
        self,
        score: Callable[..., dict[str, Any]],
        call: Callable[..., Record],
        journal: Callable[..., Path],
        tmp_path: Path,
    ) -> None:
        """A result whose call is in another file is not lost."""
        path = journal("production.jsonl", call(0))
        stray = EvaluationRecord(
            timestamp=call(0).timestamp, trace_id="f" * 32, span_id="e" * 16, scorer="judge"
        )
        journal("production.jsonl.scores.jsonl", stray)
        score(path, "-o", tmp_path / "scored.jsonl")

        assert read_journal([tmp_path / "scored.jsonl"]).unmatched == 1

    def test_overwrites_nothing(
        self,
        call: Callable[..., Record],
        journal: Callable[..., Path],
        scorer: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """It says so before anything is scored."""
        path, there = journal("production.jsonl", call(0)), journal("there.jsonl", b"mine\n")

        assert main(["score", str(path), "-o", str(there), "--model", str(scorer)]) == 2
        assert "is not overwritten" in capsys.readouterr().err
        assert there.read_bytes() == b"mine\n"
        assert not read_results(path)


class TestRefusals:
    """What cannot be done is one message, with exit code 2, and leaves no file."""

    def test_no_content(
        self,
        call: Callable[..., Record],
        journal: Callable[..., Path],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """The setting that turns content on is named."""
        path = journal("production.jsonl", call(0, **WITHOUT_TEXTS), call(1, **WITHOUT_TEXTS))
        message = refuse(capsys, "score", path)

        assert "none of its 2 model calls has content" in message
        assert "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY" in message
        assert not get_scores_path(path).exists()

    def test_no_ids(
        self,
        call: Callable[..., Record],
        journal: Callable[..., Path],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """A result needs something to refer to; CERT's logs have nothing."""
        path = journal("production.jsonl", call(0, trace_id=None, span_id=None))

        assert "none of its model calls has trace and span id" in refuse(capsys, "score", path)

    def test_some_without_ids(
        self,
        score: Callable[..., dict[str, Any]],
        call: Callable[..., Record],
        journal: Callable[..., Path],
    ) -> None:
        """Beside others they are counted."""
        path = journal("production.jsonl", call(0), call(1, span_id=None))
        summary = score(path)

        assert (summary["scored"], summary["skipped"]) == (1, {"no_ids": 1})

    def test_no_call(
        self,
        call: Callable[..., Record],
        journal: Callable[..., Path],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """A file of functions has no answers."""
        path = journal("production.jsonl", call(0, kind="function"))

        assert "holds no model call" in refuse(capsys, "score", path)

    def test_no_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Nothing is created for a name that was mistyped."""
        message = refuse(capsys, "score", tmp_path / "none.jsonl")

        assert "no such file" in message
        assert list(tmp_path.iterdir()) == []

    def test_no_model(
        self,
        call: Callable[..., Record],
        journal: Callable[..., Path],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """A folder that is not there is named."""
        path = journal("production.jsonl", call(0))

        message = refuse(capsys, "score", path, "--model", "./none")
        assert "./none: no such folder" in message

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--prompt", "x"], "--completion: is missing"),
            (["calls.jsonl", "--completion", "x"], "leave FILE and -o out"),
            (["--completion", "x", "-o", "new.jsonl"], "leave FILE and -o out"),
        ],
    )
    def test_options_that_do_not_go_together(
        self, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A journal or a text, not both, and no prompt alone."""
        assert message in refuse(capsys, "score", *words)

    def test_two_runs_at_once(
        self,
        call: Callable[..., Record],
        journal: Callable[..., Path],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """The second one would score everything twice."""
        import fcntl  # noqa: PLC0415 - beside its only use

        path = journal("production.jsonl", call(0))
        with get_scores_path(path).open("wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            message = refuse(capsys, "score", path)

        assert "another cert score, evaluate or serve is at it" in message


class TestTable:
    """What people see."""

    def test_figures_beside_cost(
        self,
        call: Callable[..., Record],
        journal: Callable[..., Path],
        scorer: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """By model: cost, perplexity, energy; then how many calls that is."""
        path = journal(
            "production.jsonl", call(0), call(1), call(2, model="o4-mini", output_data=None)
        )
        assert main(["score", str(path), "--model", str(scorer)]) == 0

        table, _, facts = capsys.readouterr().out.partition("\n\n")
        header, first, second = table.splitlines()
        assert header.split() == [
            "model",
            "calls",
            "cost",
            "scored",
            "perplexity",
            "entropy",
            "surprise",
            "energy",
        ]
        assert first.split()[:4] == ["gpt-4o", "2", "$0.5000", "2"]
        assert second.split() == ["o4-mini", "1", "$0.2500", "0", "-", "-", "-", "-"]
        assert "coverage 2 of 3 calls scored (66.7%); 1 skipped: no_text (1)" in facts

    @pytest.mark.parametrize("width", [50, 80, 120])
    def test_cuts_no_number(  # noqa: PLR0917 - parametrised
        self,
        width: int,
        call: Callable[..., Record],
        journal: Callable[..., Path],
        scorer: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A narrow terminal has fewer columns, and cost, perplexity and energy at any width."""
        path = journal("production.jsonl", call(0, model="a-model-with-a-long-name", cost=1234.5))
        monkeypatch.setenv("COLUMNS", str(width))
        assert main(["score", str(path), "--model", str(scorer)]) == 0

        table, _, _ = capsys.readouterr().out.partition("\n\n")
        assert "…" not in table
        assert " $1,234.50 " in table
        assert ("entropy" in table) is (width > 80)
        assert {"perplexity", "energy"} <= set(table.split())
        assert all(len(line) <= width for line in table.splitlines())

    def test_the_device_comes_from_option_or_settings(
        self, scorer: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The option goes before the setting; one that is not there is an error."""
        words = ["--completion", "a", "--model", str(scorer)]
        assert "'gpu' is none of auto" in refuse(capsys, "score", *words, "--device", "gpu")

        monkeypatch.setenv("CERT_OTEL_SCORER_DEVICE", "cuda:99")
        assert "this machine has 0 CUDA devices" in refuse(capsys, "score", *words)
        assert main(["score", *words, "--device", "cpu"]) == 0

    def test_bits_without_their_package(
        self, scorer: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What to install is said; the option goes before the setting."""
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        monkeypatch.setenv("CERT_OTEL_SCORER_QUANTIZATION", "8bit")
        words = ["--completion", "a", "--model", str(scorer)]

        assert "pip install 'cert-otel[quant]'" in refuse(capsys, "score", *words)
        assert main(["score", *words, "--quantization", "none"]) == 0

    def test_the_model_comes_from_the_settings(
        self,
        call: Callable[..., Record],
        journal: Callable[..., Path],
        scorer: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """File and model may stand in the environment."""
        path = journal("calls.jsonl", call(0))
        monkeypatch.setenv("CERT_OTEL_JSONL", str(path))
        monkeypatch.setenv("CERT_OTEL_SCORER_MODEL", str(scorer))
        assert main(["score"]) == 0

        assert "scorer   tiny sha256:" in capsys.readouterr().out


class TestText:
    """One prompt and completion."""

    def test_template_none_joins_token_ids(self, score: Callable[..., dict[str, Any]]) -> None:
        """The figures are those of the prompt's ids followed by the completion's own."""
        prompt, completion = "Two and two", " make four."
        figures = score("--prompt", prompt, "--completion", completion, "--template", "none")

        tokenizer = build_tokenizer()
        before = tokenizer(prompt)["input_ids"]
        ids = before + tokenizer(completion, add_special_tokens=False)["input_ids"]
        expected = Reference(build_network("qwen2")).score(np.asarray(ids), len(before))
        tolerance = 1e-4 if figures["dtype"] == "float32" else 2e-2
        assert figures["perplexity"] == pytest.approx(
            float(np.exp(expected["nll"].mean())), rel=tolerance
        )
        assert figures["entropy_mean"] == pytest.approx(
            float(expected["entropy"].mean()), rel=tolerance
        )
        assert (figures["form"], figures["tokens"]) == ("joined", len(completion))

    def test_has_every_key(self, score: Callable[..., dict[str, Any]]) -> None:
        """The answer's figures, the trajectory's, each token's, and who made them."""
        figures = score("--prompt", "Why?", "--completion", "Because it is so. And so it goes on.")

        wanted = {"perplexity", "entropy_mean", "entropy_max", "gap_mean", "surprise_rate"}
        wanted |= {"tokens", "model", "revision", "steps", "energy_mean", "energy_max", "flags"}
        assert wanted <= set(figures)
        assert (figures["status"], figures["form"], figures["steps"]) == ("scored", "chat", 2)
        tokens = figures["token_scores"]
        assert "".join(token["text"] for token in tokens) == "Because it is so. And so it goes on."
        mean = math.fsum(token["nll"] for token in tokens) / len(tokens)
        assert math.exp(mean) == pytest.approx(figures["perplexity"])

    def test_tells_what_the_context_gave(
        self, score: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """With --context, which must be part of the prompt."""
        words = ["--prompt", "Two is 2. Is it?", "--completion", "It is 2."]
        figures = score(*words, "--context", "Two is 2. ")

        bare = score("--prompt", "Is it?", "--completion", "It is 2.")
        assert figures["context_gain"] == pytest.approx(
            bare["nll_mean"] - figures["nll_mean"], abs=0.02
        )
        assert bare["context_gain"] is None
        assert "is no part of --prompt" in refuse(capsys, "score", *words, "--context", "Three")

    def test_an_empty_completion_is_skipped(self, score: Callable[..., dict[str, Any]]) -> None:
        """There is no perplexity of nothing."""
        figures = score("--prompt", "Why?", "--completion", "")

        assert (figures["status"], figures["reason"]) == ("skipped", "empty_completion")
        assert "perplexity" not in figures

    def test_marks_what_surprises(self, scorer: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Without colours, unlikely tokens stand in brackets, which the legend explains."""
        argv = ["score", "--prompt", "x", "--completion", "abc", "--model", str(scorer)]
        assert main(argv) == 0

        shown = capsys.readouterr().out
        assert "\x1b[" not in shown
        strip, legend = shown.rstrip().splitlines()[-3::2]
        assert strip.replace("[", "").replace("]", "") == "abc"
        assert "[[" in strip
        assert legend.split("  ") == ["p > 50%", "p > 10%", "[p > 1%]", "[[less]]"]

    def test_colours_in_a_terminal(self, scorer: Path) -> None:
        """Tokens have the colour of their nll, and no brackets."""
        environ = {name: value for name, value in os.environ.items() if "COLOR" not in name}
        done = subprocess.run(
            [CERT, "score", "--completion", "abc", "--model", str(scorer)],
            capture_output=True,
            text=True,
            check=True,
            env=environ | {"FORCE_COLOR": "1", "TERM": "xterm-256color"},
        )

        assert "\x1b[" in done.stdout
        assert "[[" not in done.stdout
        assert "less" in done.stdout


class TestPackagedModel:
    """`cert-otel-reference`, which needs no hub."""

    def test_says_that_it_is_not_for_production(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Its name and a note are in what is printed."""
        assert main(["score", "--completion", "The value is returned.", "--model", REFERENCE]) == 0

        shown = capsys.readouterr().out
        assert f"{REFERENCE} sha256:" in shown
        assert "a reference model, not for production" in shown
