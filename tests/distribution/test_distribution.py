"""The distribution as a user meets it: processes started by `opentelemetry-instrument`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cert_otel.testing import FakeProvider

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent
CALL = """
import openai
client = openai.AzureOpenAI(azure_endpoint={endpoint!r}, api_key="k", api_version="2024-10-21")
client.chat.completions.create(model="deployed", messages=[{{"role": "user", "content": "hi"}}])
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


def run(program: list[str], folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    base = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    coverage = {name: value for name, value in os.environ.items() if name.startswith("COV")}
    return subprocess.run(
        program,
        cwd=folder,
        env={**base, **coverage, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_instrumented(code: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "opentelemetry-instrument"), sys.executable, "-c", code]
    return run(command, folder, **environ)


def run_plain(code: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-c", code], folder, **environ)


def read_lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class TestInstrumentedProcess:
    """`opentelemetry-instrument python app.py` with nothing configured."""

    def test_writes_one_priced_record_a_call(self, provider: FakeProvider, tmp_path: Path) -> None:
        """A call ends as one line of production.jsonl, priced, in the working directory."""
        done = run_instrumented(CALL.format(endpoint=provider.azure_endpoint), tmp_path)

        assert (done.returncode, done.stdout) == (0, "")
        (record,) = read_lines(tmp_path / "production.jsonl")
        assert record["kind"] == "inference"
        assert record["platform"] == "azure.ai.openai"
        assert isinstance(record["cost"], float)
        assert record["score_reason"] == "no_content"

    def test_says_in_one_line_where_records_go(self, tmp_path: Path) -> None:
        """The start-up line names the file, and how content is turned on."""
        done = run_instrumented("pass", tmp_path)

        (line,) = done.stderr.splitlines()
        assert "production.jsonl" in line
        assert "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY" in line

    def test_is_quiet_when_asked(self, tmp_path: Path) -> None:
        """`CERT_OTEL_QUIET` silences the line."""
        done = run_instrumented("pass", tmp_path, CERT_OTEL_QUIET="true")

        assert done.stderr == ""

    def test_does_nothing_when_disabled(self, provider: FakeProvider, tmp_path: Path) -> None:
        """`CERT_OTEL_DISABLED` leaves no file, no line and no provider."""
        code = CALL.format(endpoint=provider.azure_endpoint)
        code += "from opentelemetry import trace; print(type(trace.get_tracer_provider()).__name__)"
        done = run_instrumented(code, tmp_path, CERT_OTEL_DISABLED="true")

        assert (done.stdout, done.stderr) == ("ProxyTracerProvider\n", "")
        assert list(tmp_path.iterdir()) == []

    def test_warns_once_of_an_unknown_setting(self, tmp_path: Path) -> None:
        """A misspelt setting is one warning with the right name, and the application runs."""
        done = run_instrumented("print('ran')", tmp_path, CERT_OTEL_JSONLL="x", CERT_OTEL_QUIET="1")

        assert done.stdout == "ran\n"
        (line,) = done.stderr.splitlines()
        assert "did you mean CERT_OTEL_JSONL?" in line

    def test_leaves_the_environment_alone(self, tmp_path: Path) -> None:
        """Child processes inherit no setting of ours."""
        code = "import os; print(sorted(n for n in os.environ if n.startswith(('OTEL', 'CERT'))))"
        done = run_instrumented(code, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")

        assert "OTEL_TRACES_EXPORTER" not in done.stdout

    def test_imports_no_sdk_of_a_provider(self, tmp_path: Path) -> None:
        """An application that does not use openai does not pay for it."""
        code = "import sys; print([m for m in ('openai', 'duckdb', 'grpc') if m in sys.modules])"
        done = run_instrumented(code, tmp_path)

        assert done.stdout == "[]\n"

    def test_exports_metrics_when_asked(self, provider: FakeProvider, tmp_path: Path) -> None:
        """`OTEL_METRICS_EXPORTER` works beside the journal, and cost is among the metrics."""
        code = CALL.format(endpoint=provider.azure_endpoint)
        done = run_instrumented(code, tmp_path, OTEL_METRICS_EXPORTER="console")

        assert "cert.gen_ai.client.cost" in done.stdout
        assert len(read_lines(tmp_path / "production.jsonl")) == 1

    def test_names_other_exporters_beside_ours(
        self, provider: FakeProvider, tmp_path: Path
    ) -> None:
        """`OTEL_TRACES_EXPORTER=cert_jsonl,console` uses both."""
        code = CALL.format(endpoint=provider.azure_endpoint)
        done = run_instrumented(code, tmp_path, OTEL_TRACES_EXPORTER="cert_jsonl,console")

        assert '"name": "chat deployed"' in done.stdout
        assert len(read_lines(tmp_path / "production.jsonl")) == 1

    @pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
    def test_survives_an_endpoint_that_is_down(
        self, provider: FakeProvider, tmp_path: Path, protocol: str
    ) -> None:
        """With OTLP configured and nobody there, the journal is written all the same."""
        done = run_instrumented(
            CALL.format(endpoint=provider.azure_endpoint),
            tmp_path,
            OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            OTEL_EXPORTER_OTLP_TIMEOUT="1",
        )

        assert done.returncode == 0
        assert len(read_lines(tmp_path / "production.jsonl")) == 1


class TestInCode:
    """`import cert_otel.auto` and `cert_otel.configure` do the same from inside."""

    def test_auto_starts_a_provider(self, provider: FakeProvider, tmp_path: Path) -> None:
        """Plain `python app.py` writes records."""
        code = "import cert_otel.auto\n" + CALL.format(endpoint=provider.azure_endpoint)
        run_plain(code, tmp_path)

        assert len(read_lines(tmp_path / "production.jsonl")) == 1

    def test_star_import_does_the_same(self, provider: FakeProvider, tmp_path: Path) -> None:
        """`from cert_otel.auto import *` starts too, also after openai was imported."""
        code = "import openai\nfrom cert_otel.auto import *\n"
        run_plain(code + CALL.format(endpoint=provider.azure_endpoint), tmp_path)

        assert len(read_lines(tmp_path / "production.jsonl")) == 1

    def test_configure_sets_the_file(self, provider: FakeProvider, tmp_path: Path) -> None:
        """What is set in code wins over the environment."""
        code = "import cert_otel; cert_otel.configure(jsonl='mine.jsonl', capture_content=True)\n"
        code += CALL.format(endpoint=provider.azure_endpoint)
        run_plain(code, tmp_path, CERT_OTEL_JSONL="theirs.jsonl")

        (record,) = read_lines(tmp_path / "mine.jsonl")
        assert record["input_data"] == "hi"
        assert not (tmp_path / "theirs.jsonl").exists()

    def test_joins_the_provider_that_is_there(self, provider: FakeProvider, tmp_path: Path) -> None:
        """An application's own provider keeps its exporters and gets the journal."""
        code = (
            "from opentelemetry import trace\n"
            "from opentelemetry.sdk.trace import TracerProvider\n"
            "mine = TracerProvider(); trace.set_tracer_provider(mine)\n"
            "import cert_otel.auto\n"
            "assert trace.get_tracer_provider() is mine\n"
        )
        done = run_plain(code + CALL.format(endpoint=provider.azure_endpoint), tmp_path)

        assert done.returncode == 0, done.stderr
        assert len(read_lines(tmp_path / "production.jsonl")) == 1

    def test_twice_is_once(self, provider: FakeProvider, tmp_path: Path) -> None:
        """Both ways in at once still write each call once."""
        code = "import cert_otel.auto, cert_otel\ncert_otel.configure(quiet=True)\n"
        run_instrumented(code + CALL.format(endpoint=provider.azure_endpoint), tmp_path)

        assert len(read_lines(tmp_path / "production.jsonl")) == 1

    def test_trace_alone_writes_records(self, tmp_path: Path) -> None:
        """`@trace` starts a provider where there is none and writes to its `log_path`."""
        code = (
            "import cert_otel\n"
            "@cert_otel.trace(log_path='fn.jsonl', metadata={'team': 'a'})\n"
            "def answer(question):\n"
            "    return {'context': 'the sky is blue', 'answer': 'blue'}\n"
            "assert answer('colour?')['answer'] == 'blue'\n"
        )
        done = run_plain(code, tmp_path)

        assert done.returncode == 0, done.stderr
        (record,) = read_lines(tmp_path / "fn.jsonl")
        assert (record["kind"], record["function"]) == ("function", "answer")
        assert (record["input_data"], record["output_data"]) == ("colour?", "blue")
        assert record["metadata"] == {"team": "a"}
        assert not (tmp_path / "production.jsonl").exists()

    def test_log_call_writes_a_priced_record(self, tmp_path: Path) -> None:
        """A call reported by hand is priced from the table."""
        code = (
            "import cert_otel\n"
            "cert_otel.log_call(platform='openai', model='gpt-4o', input_data='2+2?',\n"
            "    output_data='4', tokens={'prompt': 1000, 'completion': 100})\n"
        )
        done = run_plain(code, tmp_path)

        assert done.returncode == 0, done.stderr
        (record,) = read_lines(tmp_path / "production.jsonl")
        assert record["cost"] == pytest.approx(0.0035)
        assert (record["input_data"], record["output_data"]) == ("2+2?", "4")


class TestExit:
    """What had not ended when the process does."""

    def test_an_abandoned_stream_is_recorded_at_exit(
        self, provider: FakeProvider, tmp_path: Path
    ) -> None:
        """A stream left to the garbage collector and never seen again has its record."""
        code = (
            "import gc, openai\n"
            f"client = openai.OpenAI(base_url={provider.base_url!r}, api_key='k')\n"
            "messages = [{'role': 'user', 'content': 'hi'}]\n"
            "stream = client.chat.completions.create(model='m', messages=messages, stream=True)\n"
            "next(iter(stream)); del stream; gc.collect()\n"
        )
        run_instrumented(code, tmp_path)

        (record,) = read_lines(tmp_path / "production.jsonl")
        assert record["stream_outcome"] == "abandoned"
        assert record["status"] == "unset"

    def test_a_forked_child_writes_its_own_calls(
        self, provider: FakeProvider, tmp_path: Path
    ) -> None:
        """Parent and child share one file and lose nothing."""
        call = CALL.format(endpoint=provider.azure_endpoint)
        code = (
            f"import os\n{call}\npid = os.fork()\n{call}\n"
            "from opentelemetry import trace\ntrace.get_tracer_provider().force_flush()\n"
            "if pid == 0: os._exit(0)\nos.waitpid(pid, 0)\n"
        )
        done = run_instrumented(code, tmp_path)

        assert done.returncode == 0, done.stderr
        assert len(read_lines(tmp_path / "production.jsonl")) == 3
