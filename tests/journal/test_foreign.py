"""Files of other formats, read as journals."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from wire_samples import SAMPLES, make_line
from wire_traces import make_details

from cert_otel.errors import InputError
from cert_otel.journal import FileReport, read_journal, read_lines
from cert_otel.journal.translation import Translation, list_records
from cert_otel.records import Record, Tokens, encode_line

if TYPE_CHECKING:
    from pathlib import Path

OURS = Record(kind="inference", timestamp=datetime(2026, 11, 20, tzinfo=UTC), span_id="f" * 16)
SPAN_WITHOUT_CONTENT = {
    name: value for name, value in SAMPLES["genai"].items() if "messages" not in name
}
del SPAN_WITHOUT_CONTENT["gen_ai.system_instructions"]


def write(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"".join(lines))
    return path


class TestFiles:
    def test_what_was_met(self, tmp_path: Path) -> None:
        """Formats, dialects, spans that pass by and those that cannot be read, of each file."""
        broken = json.loads(make_line(SAMPLES["openlit"]))
        broken["resourceSpans"][0]["scopeSpans"][0]["spans"] += [7, {"name": "GET /"}]
        path = write(
            tmp_path / "a.jsonl",
            encode_line(OURS),
            make_line(SAMPLES["openinference"], spanId="3" * 16),
            json.dumps(broken).encode() + b"\n",
            make_details(SAMPLES["genai"], traceId="5" * 32),
            b"{\n",
            b'{"resourceMetrics": []}\n',
        )
        journal = read_journal([path])

        assert journal.files == (
            FileReport(
                path=path,
                lines=6,
                formats={"record": 1, "otlp": 4},
                unreadable=1,
                dialects={"openinference": 1, "openlit": 1},
                details=1,
                passed=1,
                broken=1,
            ),
        )
        assert [(problem.line, problem.problem) for problem in journal.problems] == [
            (3, "span 2: not a JSON object"),
            (5, journal.problems[1].problem),
        ]
        assert [record.kind for record in journal.records] == ["inference"] * 4

    def test_one_line_may_hold_many_spans(self, tmp_path: Path) -> None:
        """Each is a record."""
        line = json.loads(make_line(SAMPLES["genai"]))
        scoped = line["resourceSpans"][0]["scopeSpans"][0]
        scoped["spans"] = [
            {**scoped["spans"][0], "spanId": f"{number:016x}"} for number in range(1, 8)
        ]
        path = write(tmp_path / "a.jsonl", json.dumps(line).encode())

        journal = read_journal([path])

        assert (len(journal.records), journal.lines, journal.folded) == (7, 1, 0)

    def test_nothing_of_ours_in_it(self, tmp_path: Path) -> None:
        """A file of other spans is refused with what it is."""
        path = write(tmp_path / "a.jsonl", make_line({"http.request.method": "GET"}))

        with pytest.raises(InputError, match="its OTLP tells of no model call"):
            read_journal([path])

    def test_what_json_forbids(self, tmp_path: Path) -> None:
        """A line with NaN, as Python's json writes it, is read."""
        line = make_line({**SAMPLES["genai"], "gen_ai.request.temperature": 1.5})
        path = write(tmp_path / "a.jsonl", line.replace(b"1.5", b"NaN"))

        (record,) = read_journal([path]).records

        assert record.tokens == Tokens(prompt=12, completion=5)


class TestDetails:
    @pytest.mark.parametrize("first", ["spans.jsonl", "logs.jsonl"])
    def test_complete_a_span_of_another_file(self, tmp_path: Path, first: str) -> None:
        """Messages from a log event reach the record, whichever file is read first."""
        write(tmp_path / "spans.jsonl", make_line(SPAN_WITHOUT_CONTENT))
        write(tmp_path / "logs.jsonl", make_details(SAMPLES["genai"]))
        names = sorted(["spans.jsonl", "logs.jsonl"], key=lambda name: name != first)

        (record,) = read_journal([tmp_path / name for name in names]).records

        assert (record.input_data, record.output_data) == ("What is 2+2?", "4")
        assert (record.latency_ms, record.score_status) == (234.1, None)

    def test_complete_our_own_record(self, tmp_path: Path) -> None:
        """Content that is on events alone is joined to what the exporter wrote."""
        ours = Record(
            kind="inference",
            timestamp=OURS.timestamp,
            trace_id="1" * 32,
            span_id="2" * 16,
            score_status="skipped",
            score_reason="no_content",
        )
        path = write(tmp_path / "a.jsonl", encode_line(ours), make_details(SAMPLES["genai"]))

        (record,) = read_journal([path]).records

        assert (record.output_data, record.score_status) == ("4", None)

    def test_twice(self, tmp_path: Path) -> None:
        """An event that was sent again changes nothing."""
        event = make_details(
            {"gen_ai.system": "openai"}, eventName="gen_ai.user.message", body={}
        ).replace(
            b'"body": {}',
            b'"body": {"kvlistValue": {"values": [{"key": "content", "value": {"stringValue": "Hi"}}]}}',
        )
        path = write(tmp_path / "a.jsonl", make_line(SPAN_WITHOUT_CONTENT), event, event)

        (record,) = read_journal([path]).records

        assert record.input_messages == [
            {"role": "user", "parts": [{"type": "text", "content": "Hi"}]}
        ]

    def test_without_a_span(self, tmp_path: Path) -> None:
        """An event whose span was never exported is a record, without a latency."""
        (record,) = read_journal(
            [write(tmp_path / "a.jsonl", make_details(SAMPLES["genai"]))]
        ).records

        assert record.tokens == Tokens(prompt=12, completion=5)
        assert (record.trace_id, record.latency_ms) == ("1" * 32, None)

    def test_by_the_id_of_the_reply(self, tmp_path: Path) -> None:
        """An event outside of any span belongs to the call with its reply."""
        event = make_details(SAMPLES["genai"], traceId="", spanId="")
        path = write(tmp_path / "a.jsonl", make_line(SPAN_WITHOUT_CONTENT), event)

        (record,) = read_journal([path]).records

        assert record.output_data == "4"

    def test_what_the_span_says_stays(self, tmp_path: Path) -> None:
        """An event fills what is missing, and changes nothing."""
        event = make_details({**SAMPLES["genai"], "gen_ai.usage.input_tokens": 99})
        path = write(tmp_path / "a.jsonl", make_line(SPAN_WITHOUT_CONTENT), event)

        (record,) = read_journal([path]).records

        assert record.tokens == Tokens(prompt=12, completion=5)


class TestTranslation:
    def test_is_what_the_journal_reads(self, tmp_path: Path) -> None:
        """Line by line, in constant memory, come the same records."""
        spans = write(tmp_path / "a.jsonl", make_line(SPAN_WITHOUT_CONTENT), encode_line(OURS))
        logs = write(
            tmp_path / "b.jsonl",
            make_details(SAMPLES["genai"]),
            make_details(SAMPLES["genai"], spanId="9" * 16),
        )
        translation = Translation([spans, logs])
        records = [
            record
            for path in (spans, logs)
            for line in translation.read(path)
            for record in list_records(line)
        ]
        records += translation.get_rest()

        found = [record for record in records if isinstance(record, Record)]
        key = encode_line
        assert sorted(found, key=key) == sorted(read_journal([spans, logs]).records, key=key)

    def test_lines_that_are_ours_are_not_touched(self, tmp_path: Path) -> None:
        """A journal translates to itself."""
        path = write(tmp_path / "a.jsonl", encode_line(OURS), b"bad\n")

        assert list(map(str, Translation([path]).read(path))) == list(map(str, read_lines(path)))
