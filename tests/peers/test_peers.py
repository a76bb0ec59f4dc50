"""Three other instrumentors of openai beside ours: 1,200 tokens are 1,200 tokens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cert_otel.testing import FakeProvider, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent
USAGE = {"prompt_tokens": 1200, "completion_tokens": 50, "total_tokens": 1250}
RESPONSES_USAGE = {"input_tokens": 1200, "output_tokens": 50, "total_tokens": 1250}
PRICE = 1200 * 2.50e-6 + 50 * 10e-6
"""gpt-4o, USD."""
PEERS = {
    "genai-openai": "opentelemetry-instrumentation-genai-openai",
    "openllmetry": "opentelemetry-instrumentation-openai",
    "openinference": "openinference-instrumentation-openai",
}

CALLS = {
    "chat": "client.chat.completions.create(model='gpt-4o', messages=messages)",
    "stream": (
        "for _ in client.chat.completions.create(model='gpt-4o', messages=messages, stream=True,"
        " stream_options={'include_usage': True}): pass"
    ),
    "responses": "client.responses.create(model='gpt-4o', input='hi')",
    "async chat": (
        "asyncio.run(async_client.chat.completions.create(model='gpt-4o', messages=messages))"
    ),
}


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    def answer(request: Any) -> Reply:
        is_responses = request.path.endswith("/responses")
        return Reply(text="four", usage=RESPONSES_USAGE if is_responses else USAGE)

    with FakeProvider(answers=answer) as running:
        yield running


def run_calls(code: str, folder: Path, provider: FakeProvider, **environ: str) -> str:
    program = (
        "import asyncio, openai\n"
        "messages = [{'role': 'user', 'content': 'hi'}]\n"
        "client = openai.OpenAI(api_key='k'); async_client = openai.AsyncOpenAI(api_key='k')\n"
        f"{code}\nprint('done')\n"
    )
    base = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    chosen = {
        "OTEL_PYTHON_DISTRO": "cert_otel",
        "OTEL_PYTHON_CONFIGURATOR": "cert_otel",
        "OPENAI_BASE_URL": "http://api.openai.com/v1",
        "http_proxy": provider.url,
    }
    done = subprocess.run(
        [str(BIN / "opentelemetry-instrument"), sys.executable, "-c", program],
        cwd=folder,
        env={**base, **chosen, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("done\n")
    return done.stderr


def read_costs(folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [str(BIN / "cert"), "costs", str(folder / "production.jsonl"), "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


class TestTogether:
    """All three peers and ours installed, each with its defaults."""

    @pytest.mark.parametrize("call", CALLS)
    def test_a_call_is_counted_once(
        self, call: str, provider: FakeProvider, tmp_path: Path
    ) -> None:
        """One record, 1,200 prompt tokens, one cost."""
        run_calls(CALLS[call], tmp_path, provider)

        summary = read_costs(tmp_path)
        assert summary["records"] == 1
        assert summary["tokens"]["prompt"] == 1200
        assert summary["tokens"]["completion"] == 50
        assert summary["total"] == pytest.approx(PRICE)

    def test_ten_calls_are_ten(self, provider: FakeProvider, tmp_path: Path) -> None:
        """Folding never takes two calls for one."""
        run_calls(f"for _ in range(10): {CALLS['chat']}", tmp_path, provider)

        assert read_costs(tmp_path)["tokens"]["prompt"] == 12_000

    def test_the_start_up_line_names_them(self, provider: FakeProvider, tmp_path: Path) -> None:
        """Who else instruments the SDK is said once."""
        stderr = run_calls(CALLS["chat"], tmp_path, provider)

        (line,) = (line for line in stderr.splitlines() if line.startswith("cert-otel"))
        for peer in PEERS.values():
            assert peer in line


class TestOneByOne:
    """Each peer alone beside ours."""

    @pytest.mark.parametrize("call", CALLS)
    @pytest.mark.parametrize("peer", PEERS)
    def test_a_call_is_counted_once(
        self, peer: str, call: str, provider: FakeProvider, tmp_path: Path
    ) -> None:
        """One record, 1,200 prompt tokens, one cost."""
        code = (
            "import importlib.metadata as m\n"
            "for ep in m.entry_points(group='opentelemetry_instrumentor'):\n"
            f"    if ep.dist.name in {(PEERS[peer], 'cert-otel')!r}: ep.load()().instrument()\n"
        )
        run_calls(
            code + CALLS[call],
            tmp_path,
            provider,
            OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="*",
        )

        summary = read_costs(tmp_path)
        assert summary["records"] == 1
        assert summary["tokens"]["prompt"] == 1200
        assert summary["total"] == pytest.approx(PRICE)


class TestDistributions:
    """opentelemetry-distro installed beside ours."""

    def test_ours_is_chosen_by_name(self, provider: FakeProvider, tmp_path: Path) -> None:
        """The two settings that the start-up line names choose ours."""
        run_calls(CALLS["chat"], tmp_path, provider)

        assert (tmp_path / "production.jsonl").exists()

    def test_the_instrumentors_work_under_the_other(
        self, provider: FakeProvider, tmp_path: Path
    ) -> None:
        """Under opentelemetry-distro our spans go where its exporters go."""
        stderr = run_calls(
            CALLS["chat"],
            tmp_path,
            provider,
            OTEL_PYTHON_DISTRO="distro",
            OTEL_PYTHON_CONFIGURATOR="configurator",
            OTEL_TRACES_EXPORTER="cert_jsonl",
            OTEL_METRICS_EXPORTER="none",
            OTEL_LOGS_EXPORTER="none",
        )

        assert read_costs(tmp_path)["records"] == 1
        assert "production.jsonl" in stderr

    def test_the_winner_is_named(self, provider: FakeProvider, tmp_path: Path) -> None:
        """Where ours lost, the line says who exports, and how ours is chosen."""
        stderr = run_calls(
            CALLS["chat"],
            tmp_path,
            provider,
            OTEL_PYTHON_DISTRO="distro",
            OTEL_PYTHON_CONFIGURATOR="configurator",
            OTEL_TRACES_EXPORTER="none",
            OTEL_METRICS_EXPORTER="none",
            OTEL_LOGS_EXPORTER="none",
        )

        assert "OTEL_PYTHON_DISTRO=cert_otel" in stderr
        assert not (tmp_path / "production.jsonl").exists()
