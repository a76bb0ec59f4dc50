"""An application in a process of its own, with the instrumentors of this environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from cert_otel.testing import FakeProvider, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cert_otel.testing import RecordedRequest

BIN: Final = Path(sys.executable).parent
USAGES: Final[Mapping[str, Mapping[str, int]]] = {
    "chat/completions": {"prompt_tokens": 1200, "completion_tokens": 50, "total_tokens": 1250},
    "responses": {"input_tokens": 1200, "output_tokens": 50, "total_tokens": 1250},
    "embeddings": {"prompt_tokens": 1200, "total_tokens": 1200},
}
PRELUDE: Final = """
import asyncio, openai
messages = [{"role": "user", "content": "hi"}]
"""
OURS: Final = {"OTEL_PYTHON_DISTRO": "cert_otel", "OTEL_PYTHON_CONFIGURATOR": "cert_otel"}


@dataclass(frozen=True)
class Application:
    """A folder to run programs in; they call what they believe to be api.openai.com."""

    folder: Path
    provider: FakeProvider

    def run(
        self,
        code: str,
        *,
        instrumented: bool = True,
        choice: Mapping[str, str] = OURS,
        **environ: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program and insist that nothing went wrong in it.

        Args:
            code: Finds `asyncio`, `openai` and some `messages`.
            instrumented: Whether it is started by `opentelemetry-instrument`.
            choice: Which distribution is to win; nothing is the first that is found.
            **environ: Further settings.
        """
        base = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        own = {"OPENAI_BASE_URL": "http://api.openai.com/v1", "OPENAI_API_KEY": "k"}
        command = [sys.executable, "-c", PRELUDE + code]
        done = subprocess.run(
            [str(BIN / "opentelemetry-instrument"), *command] if instrumented else command,
            cwd=self.folder,
            env={**base, **own, "http_proxy": self.provider.url, **choice, **environ},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def ask_cert(self, *arguments: str, **environ: str) -> Any:
        """Run `cert` in the folder and return its JSON."""
        base = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        done = subprocess.run(
            [str(BIN / "cert"), *arguments, "--format", "json"],
            cwd=self.folder,
            env={**base, **environ},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return json.loads(done.stdout)

    def read_costs(self) -> dict[str, Any]:
        """Return what `cert costs` says of the journal."""
        costs: dict[str, Any] = self.ask_cert("costs", "production.jsonl")
        return costs

    def read_lines(self) -> list[dict[str, Any]]:
        """Return the lines of the journal as they were written."""
        text = (self.folder / "production.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="session")
def provider() -> Iterator[FakeProvider]:
    def answer(request: RecordedRequest) -> Reply:
        endpoint = request.path.removeprefix("/v1/")
        return Reply("four", usage=USAGES[endpoint], logprobs=[-0.25])

    with FakeProvider(answers=answer) as running:
        yield running


@pytest.fixture
def application(provider: FakeProvider, tmp_path: Path) -> Application:
    return Application(tmp_path, provider)
