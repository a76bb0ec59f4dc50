"""`cert read`: what files of any format hold, and the way into a journal."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest
from wire_samples import SAMPLES, make_line
from wire_traces import make_details

from cert_otel.cli import main
from cert_otel.journal import read_journal
from cert_otel.records import Record, encode_line
from cert_otel.wire.otlp_json import read_line

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    """Spans of three dialects, one that is none, and a torn line."""
    path = tmp_path / "traces.jsonl"
    lines = [
        make_line(SAMPLES[dialect], spanId=f"{number + 1:016x}")
        for number, dialect in enumerate(("openinference", "openlit", "vercel-ai"))
    ]
    path.write_bytes(b"".join([*lines, make_line({"http.route": "/"}), b'{"torn\n']))
    return path


class TestJSON:
    def test_whole(self, traces: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Records by kind, the fields that they have, and each file's lines."""
        assert main(["read", str(traces), "--format", "json"]) == 0
        found = json.loads(capsys.readouterr().out)

        assert (found["records"], found["kinds"]) == (3, {"inference": 3})
        assert found["output"] is None
        assert found["coverage"]["inference"]["tokens.prompt"] == 3
        assert found["coverage"]["inference"]["cost"] >= 1
        assert "conversation" not in found["coverage"]["inference"]
        assert found["files"] == [
            {
                "path": str(traces),
                "lines": 5,
                "formats": {"otlp": 4},
                "dialects": {"openinference": 1, "openlit": 1, "vercel-ai": 1},
                "details": 0,
                "passed": 1,
                "broken": 0,
                "unreadable": 1,
            }
        ]
        assert [(bad["path"], bad["line"]) for bad in found["problems"]] == [(str(traces), 5)]


class TestTable:
    def test_says_what_was_understood_and_what_not(
        self, traces: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Each file with its dialects, a table of fields, each bad line with its reason."""
        main(["read", str(traces)])
        printed = capsys.readouterr().out

        assert printed.splitlines()[:4] == [
            str(traces),
            "  lines    otlp 4, unreadable 1",
            "  records  openinference 1, openlit 1, vercel-ai 1",
            "  others   passed by 1",
        ]
        assert f"{traces}:5: not JSON" in printed
        assert any(line.split() == ["tokens.prompt", "3"] for line in printed.splitlines())


class TestOutput:
    def test_records(self, traces: Path, tmp_path: Path) -> None:
        """The new file is a journal of the same records, readable by its owner only."""
        output = tmp_path / "out.jsonl"

        assert main(["read", str(traces), "-o", str(output)]) == 0

        assert read_journal([output]).records == read_journal([traces]).records
        assert stat.S_IMODE(output.stat().st_mode) == 0o600

    def test_log_events_of_another_file(self, tmp_path: Path) -> None:
        """They are joined to the spans that they complete."""
        (tmp_path / "spans.jsonl").write_bytes(make_line(SAMPLES["genai"]))
        agent = {**SAMPLES["genai"], "gen_ai.agent.name": "helper"}
        (tmp_path / "logs.jsonl").write_bytes(make_details(agent))
        output = tmp_path / "new" / "out.jsonl"
        output.parent.mkdir()

        main(["read", str(tmp_path), "--output", str(output)])

        (record,) = read_journal([output]).records
        assert record.agent == "helper"

    def test_otlp(self, traces: Path, tmp_path: Path) -> None:
        """Our records go out as spans, for a backend that takes them."""
        output = tmp_path / "out.jsonl"

        main(["read", str(traces), "-o", str(output), "--to", "otlp"])

        spans = [
            span for line in output.read_bytes().splitlines() for span in read_line(line).spans
        ]
        assert len(spans) == 3
        assert {span.attributes["gen_ai.response.id"] for span in spans} == {"r-1"}

    def test_what_is_there_is_not_overwritten(
        self, traces: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """An existing file is refused and stays as it is."""
        before = traces.read_bytes()

        assert main(["read", str(traces), "-o", str(traces)]) == 2

        assert "is not overwritten" in capsys.readouterr().err
        assert traces.read_bytes() == before

    def test_a_failure_leaves_nothing(self, tmp_path: Path, traces: Path) -> None:
        """When reading fails, no new file appears, not even a part of one."""
        output = tmp_path / "out.jsonl"

        assert main(["read", str(traces), str(tmp_path / "none.jsonl"), "-o", str(output)]) == 2

        assert sorted(tmp_path.iterdir()) == [traces]

    def test_a_directory_that_is_not_there(
        self, traces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It is named."""
        output = tmp_path / "none" / "out.jsonl"

        assert main(["read", str(traces), "-o", str(output)]) == 2
        assert f"{output}: cannot be created" in capsys.readouterr().err


class TestRefusals:
    def test_no_file(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Nothing is read by default."""
        assert main(["read"]) == 2
        assert "name one or more" in capsys.readouterr().err

    def test_evaluations_are_counted(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Results that came later are lines of their own kind."""
        path = tmp_path / "a.jsonl"
        record = Record(kind="tool", timestamp="2026-11-20T10:00:00Z")  # type: ignore[arg-type] # as in the file
        path.write_bytes(
            encode_line(record)
            + b'{"kind":"evaluation","timestamp":"2026-11-20T10:00:00Z","trace_id":"1",'
            b'"span_id":"2","scorer":"s"}\n'
        )
        main(["read", str(path), "--format", "json"])

        assert json.loads(capsys.readouterr().out)["kinds"] == {"tool": 1, "evaluation": 1}
