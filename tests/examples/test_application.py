"""The demonstration's application without instrumentation, and what it is answered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

from answers import (
    ANSWERS,
    DEPLOYMENTS,
    WRONG_ANSWERS,
    make_script,
    read_answers,
    read_labels,
    read_wrong_answers,
)
from run import make_clients, make_environment

from cert_otel.testing import FakeProvider, RecordedRequest, Reply

if TYPE_CHECKING:
    from pathlib import Path


def make_request(question: str) -> RecordedRequest:
    """Ask a model."""
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

    def test_runs_without_instrumentation(self, root: Path) -> None:
        """It makes the calls that it promises, with every model, over the real host names."""
        with FakeProvider(make_script(read_answers(ANSWERS)), deployments=DEPLOYMENTS) as provider:
            done = subprocess.run(
                [sys.executable, "-W", "error", root / "examples" / "demo" / "app.py"],
                env=make_environment(os.environ) | make_clients(provider),
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


class TestAnswers:
    def test_are_the_recorded_ones(self) -> None:
        """The text that goes back is the one that was recorded for the question."""
        answers = read_answers(ANSWERS)
        question, answer = next(iter(answers.items()))
        script = make_script(answers)
        reply = script(make_request(json.loads(question)))

        assert isinstance(reply, Reply)
        assert reply.text == answer
        assert script(make_request("something else")) is None

    def test_five_are_wrong_on_purpose(self) -> None:
        """Each differs from what was recorded where it says so, and nowhere else."""
        recorded = read_answers(ANSWERS)
        wrong = read_wrong_answers(WRONG_ANSWERS, ANSWERS)
        given = read_answers(ANSWERS, wrong)

        assert len({one.question for one in wrong}) == 5
        assert sum(given[question] != recorded[question] for question in recorded) == 5
        for one in wrong:
            right = recorded[json.dumps(one.question)]
            assert one.answer[: one.start] == right[: one.start]
            assert one.answer[one.end :] == right[len(right) - len(one.answer) + one.end :]

    def test_have_what_people_said_of_them(self) -> None:
        """Each that is given has a label; those that were changed say that they were."""
        wrong = read_wrong_answers(WRONG_ANSWERS, ANSWERS)
        labels = read_labels(ANSWERS, wrong)

        assert set(read_answers(ANSWERS, wrong).values()) <= set(labels)
        assert {labels[one.answer] for one in wrong} == {"changed by us on purpose"}
        assert set(labels.values()) == {
            "fully attributable",
            "not fully attributable",
            "changed by us on purpose",
        }


class TestEnvironment:
    def test_leaves_nothing_of_the_users_settings(self) -> None:
        """Keys, proxies and telemetry settings of the shell do not reach the demonstration."""
        outside = {
            "PATH": "/bin",
            "OPENAI_API_KEY": "secret",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://elsewhere",
            "NO_PROXY": "*",
            "CERT_OTEL_DISABLED": "true",
        }

        assert make_environment(outside) == {
            "PATH": "/bin",
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
        }

    def test_leads_calls_to_the_local_provider(self) -> None:
        """By the proxy alone, past which only this machine is reached."""
        with FakeProvider() as provider:
            clients = make_clients(provider)

            assert clients["http_proxy"] == provider.url

        assert clients["no_proxy"] == "127.0.0.1"
        assert clients["OPENAI_BASE_URL"] == "http://api.openai.com/v1"
