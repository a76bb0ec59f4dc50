"""The demonstration: the application without instrumentation, and the runner's own checks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from cert_otel.testing import FakeProvider, RecordedRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType


@pytest.fixture
def run(load: Callable[[str], ModuleType]) -> ModuleType:
    """Load the runner."""
    return load("examples/demo/run.py")


def _make_records(count: int, **last: Any) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = [
        {
            "kind": "inference",
            "span_id": str(number),
            "status": "ok",
            "model": f"m{number % 5}",
            "cost": 0.1,
            "output_data": "yes",
        }
        for number in range(count + 1)
    ]
    records[0] |= {"status": "error", "cost": None, "output_data": None}
    records[-1] |= last
    return records


def _make_results(records: list[dict[str, Any]], **last: Any) -> list[dict[str, Any]]:
    figures = {"perplexity": 2.0, "energy_mean": 0.1}
    results: list[dict[str, Any]] = [
        {
            "span_id": record["span_id"],
            "scorer": "model",
            "trajectory": figures if record["output_data"] else None,
        }
        for record in records
    ]
    results[-1:] = [results[-1] | last] if last else results[-1:]
    return results + _make_judgements(records)


def _make_judgements(records: list[dict[str, Any]], **last: Any) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = [
        {"span_id": record["span_id"], "scorer": "cert-evaluate:x", "passed": True}
        for record in records
    ]
    results[-1:] = [results[-1] | last] if last else results[-1:]
    return results


def _make_request(question: str) -> RecordedRequest:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": question}]}
    return RecordedRequest(
        number=1,
        method="POST",
        host="api.openai.com",
        path="/v1/chat/completions",
        query={},
        headers={"content-type": "application/json"},
        body=json.dumps(body).encode(),
    )


class TestApplication:
    def test_knows_nothing_of_us(self, root: Path) -> None:
        """Neither import nor name."""
        source = (root / "examples" / "demo" / "app.py").read_text(encoding="utf-8")

        assert "cert" not in source.replace("certain", "")
        assert "opentelemetry" not in source

    def test_runs_without_instrumentation(
        self, run: ModuleType, root: Path, tmp_path: Path
    ) -> None:
        """It makes the calls that it promises, with every model, over the real host names."""
        script = run.make_script(run.read_answers(run.ANSWERS))
        with FakeProvider(script, deployments=run.DEPLOYMENTS) as provider:
            environment = run.make_environment(provider, os.environ, tmp_path / "unused.jsonl")
            done = subprocess.run(
                [sys.executable, "-W", "error", root / "examples" / "demo" / "app.py"],
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        asked = [request.json for request in provider.requests]
        models = Counter(body["model"] for body in asked)

        assert (done.returncode, done.stderr) == (0, "")
        assert "too long (context_length_exceeded)" in done.stdout
        assert sum(models.values()) >= 40
        assert set(models) == {
            "gpt-4.1-mini",
            "gpt-4o",
            "gpt-4o-mini",
            "helpdesk-eu",
            "o4-mini",
            "text-embedding-3-small",
        }
        assert {request.host for request in provider.requests} == {
            "api.openai.com",
            "demo.openai.azure.com",
        }
        assert any(body.get("logprobs") for body in asked)
        assert any(body.get("tools") for body in asked)
        assert sum(body.get("stream_options") == {"include_usage": True} for body in asked) >= 10

    def test_answers_are_the_recorded_ones(self, run: ModuleType) -> None:
        """The text that goes back is the one that was recorded for the question."""
        answers = run.read_answers(run.ANSWERS)
        question, answer = next(iter(answers.items()))
        script = run.make_script(answers)

        assert script(_make_request(json.loads(question))).text == answer
        assert script(_make_request("something else")) is None

    def test_five_answers_are_wrong_on_purpose(self, run: ModuleType) -> None:
        """Each differs from what was recorded where it says so, and nowhere else."""
        recorded = run.read_answers(run.ANSWERS)
        wrong = run.read_wrong_answers(run.WRONG_ANSWERS, run.ANSWERS)
        given = run.read_answers(run.ANSWERS, wrong)

        assert len({one.question for one in wrong}) == 5
        assert sum(given[question] != recorded[question] for question in recorded) == 5
        for one in wrong:
            right = recorded[json.dumps(one.question)]
            assert one.answer[: one.start] == right[: one.start]
            assert one.answer[one.end :] == right[len(right) - len(one.answer) + one.end :]


class TestEnvironment:
    def test_leaves_nothing_of_the_users_settings(self, run: ModuleType, tmp_path: Path) -> None:
        """Keys, proxies and telemetry settings of the shell do not reach the demonstration."""
        outside = {
            "PATH": "/bin",
            "OPENAI_API_KEY": "secret",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://elsewhere",
            "NO_PROXY": "*",
            "CERT_OTEL_DISABLED": "true",
        }
        with FakeProvider() as provider:
            environment = run.make_environment(provider, outside, tmp_path / "r.jsonl")
            assert environment["http_proxy"] == provider.url

        assert environment["PATH"] == "/bin"
        assert environment["OPENAI_API_KEY"] == "demo"
        assert environment["OTEL_SERVICE_NAME"] == "customer-support"
        assert not {"OTEL_EXPORTER_OTLP_ENDPOINT", "NO_PROXY", "CERT_OTEL_DISABLED"} & set(
            environment
        )


class TestCheck:
    def test_holds_for_what_should_be_there(self, run: ModuleType) -> None:
        """Forty records, one error, several models; every answered call priced and scored."""
        records = _make_records(40)

        assert all(holds for _, holds in run.check(records, _make_results(records)))

    @pytest.mark.parametrize(
        ("records", "failed"),
        [
            (_make_records(20), "21 records, at least 40"),
            (_make_records(40, status="error"), "2 error, exactly 1"),
            (_make_records(40, cost=None), "39 of 40 answered calls priced"),
            ([], "0 models, at least 4"),
            ([], "0 of 0 answered calls priced"),
        ],
    )
    def test_names_what_does_not_hold(
        self, run: ModuleType, records: list[dict[str, Any]], failed: str
    ) -> None:
        """Each condition fails by itself, with its figure."""
        found = run.check(records, _make_results(records))

        assert failed in [text for text, holds in found if not holds]

    @pytest.mark.parametrize(
        ("change", "failed"),
        [
            ({"span_id": "1"}, "41 scores for 41 calls, one each"),
            ({"trajectory": None}, "39 of 40 answers with perplexity and energy"),
            (
                {"trajectory": {"perplexity": 2.0, "energy_mean": None}},
                "39 of 40 answers with perplexity and energy",
            ),
        ],
    )
    def test_names_results_that_are_not_right(
        self, run: ModuleType, change: dict[str, Any], failed: str
    ) -> None:
        """A call with two results or none, an answer without figures."""
        records = _make_records(40)
        found = run.check(records, _make_results(records, **change))

        assert failed in [text for text, holds in found if not holds]

    @pytest.mark.parametrize(
        ("change", "failed"),
        [
            ({"span_id": "1"}, "41 judgements for 41 calls, one each"),
            ({"passed": True}, "0 of 1 answers that were changed failed, marked at the change"),
            (
                {"evaluations": [{"evidence": [{"start": 0, "end": 1}]}]},
                "0 of 1 answers that were changed failed, marked at the change",
            ),
        ],
    )
    def test_names_judgements_that_are_not_right(
        self, run: ModuleType, change: dict[str, Any], failed: str
    ) -> None:
        """A call without one, a wrong answer that passed or was marked elsewhere."""
        records = _make_records(40, output_data="in 1641")
        wrong = run.WrongAnswer("When?", "in 1641", 3, 7)
        right = {"passed": False, "evaluations": [{"evidence": [{"start": 3, "end": 7}]}]}
        scores = _make_results(records)[: len(records)]

        held = run.check(records, scores + _make_judgements(records, **right), [wrong])
        found = run.check(records, scores + _make_judgements(records, **right | change), [wrong])

        assert all(holds for _, holds in held)
        assert failed in [text for text, holds in found if not holds]


class TestRunner:
    def test_a_failing_step_is_named(self, run: ModuleType) -> None:
        """With its exit code."""
        with pytest.raises(run.DemoError, match="the step ended with exit code 3"):
            run.run_step("the step", [sys.executable, "-c", "raise SystemExit(3)"], os.environ)

    def test_a_missing_program_is_named(
        self,
        run: ModuleType,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """With what installs it; the exit code is 1."""
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

        assert run.main(tmp_path / "demo") == 1
        assert "opentelemetry-instrument is missing" in capsys.readouterr().err

    def test_missing_records_are_named(self, run: ModuleType, tmp_path: Path) -> None:
        """A run that wrote nothing is no success."""
        with pytest.raises(run.DemoError, match=r"none\.jsonl was not written"):
            run.read_records(tmp_path / "none.jsonl")

    def test_runs_from_end_to_end(
        self, run: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Application, records, costs, scores and checks, in less than two minutes."""
        start = time.perf_counter()

        code = run.main(tmp_path / "demo")

        output = capfd.readouterr()
        assert code == 0, output.err
        assert "FAILED" not in output.out
        assert "cert costs" in output.out
        assert "51 of 58 calls scored" in output.out
        assert "not for production" in output.out
        assert "5 of 5 answers that were changed failed" in output.out
        assert "[[1641]]" in output.out
        assert time.perf_counter() - start < 120
