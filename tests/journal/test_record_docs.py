"""docs/record.md and docs/record.schema.json say what the code does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from cert_otel import semconv
from cert_otel.journal import JSONLSpanExporter
from cert_otel.records import EvaluationRecord, Record, encode_line, json_schema
from cert_otel.testing import IncrementingIds
from cert_otel.wire.spans import MAX_METADATA_CHARS

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "record.md").read_text(encoding="utf-8")
SCHEMA = json.loads((ROOT / "docs" / "record.schema.json").read_text(encoding="utf-8"))

START_NS = 1_795_170_600_123_456_789
ATTRIBUTES: dict[str, Any] = {
    semconv.OPERATION_NAME: "chat",
    semconv.PROVIDER_NAME: "openai",
    semconv.REQUEST_MODEL: "gpt-4o",
    semconv.RESPONSE_MODEL: "gpt-4o-2024-08-06",
    semconv.RESPONSE_ID: "chatcmpl-9a1",
    semconv.RESPONSE_FINISH_REASONS: ["stop"],
    semconv.USAGE_INPUT_TOKENS: 12,
    semconv.USAGE_OUTPUT_TOKENS: 5,
    semconv.USAGE_CACHE_READ_TOKENS: 0,
    semconv.COST_AMOUNT: 0.00008,
    semconv.COST_CURRENCY: "USD",
    semconv.COST_SOURCE: "table",
    semconv.COST_INPUT: 0.00003,
    semconv.COST_OUTPUT: 0.00005,
    semconv.COST_CACHE_READ: 0.0,
    semconv.COST_PRICING_VERSION: "2026-11-20",
    semconv.PERPLEXITY: 1.82,
    semconv.PROMPT_FINGERPRINT: "5f1d0c7e9a3b4d62",
    semconv.FUNCTION_NAME: "answer",
    semconv.TENANT: "acme",
    semconv.SYSTEM_INSTRUCTIONS: '[{"type": "text", "content": "Answer with a number."}]',
    semconv.INPUT_MESSAGES: json.dumps(
        [{"role": "user", "parts": [{"type": "text", "content": "What is 2+2?"}]}]
    ),
    semconv.OUTPUT_MESSAGES: json.dumps(
        [
            {
                "role": "assistant",
                "parts": [{"type": "text", "content": "4"}],
                "finish_reason": "stop",
            }
        ]
    ),
    semconv.CONTEXT: '[{"text": "2+2=4", "source": "explicit"}]',
    semconv.METADATA: '{"ticket": 7}',
    semconv.REQUEST_TEMPERATURE: 0.2,
    semconv.SERVER_ADDRESS: "api.openai.com",
}


def write_example(path: Path) -> bytes:
    """Let the SDK and the exporter write the example of the page."""
    provider = TracerProvider(
        resource=Resource({"service.name": "customer-support", "service.version": "2.1"}),
        id_generator=IncrementingIds(),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(SimpleSpanProcessor(JSONLSpanExporter(path)))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("request"):
        span = tracer.start_span("chat gpt-4o", attributes=ATTRIBUTES, start_time=START_NS)
        span.end(START_NS + 234_100_000)
    return path.read_bytes()


class TestPage:
    def test_the_example_is_what_is_written(self, tmp_path: Path) -> None:
        """The page's example is the line that the exporter writes, field by field, in order."""
        (example,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)

        assert list(json.loads(example).items()) == list(
            json.loads(write_example(tmp_path / "a.jsonl")).items()
        )

    @pytest.mark.parametrize("struct", [Record, EvaluationRecord])
    def test_every_field_is_explained(self, struct: Any) -> None:
        """The page names each field of a record and of an evaluation."""
        _, records, evaluations = re.split(r"^## The fields of an? .*$", TEXT, flags=re.MULTILINE)
        section = records if struct is Record else evaluations.split("\n## ")[0]

        assert [name for name in struct.__struct_fields__ if f"`{name}`" not in section] == []

    def test_numbers(self) -> None:
        """Limits on the page are the limits of the code."""
        assert f"up to {MAX_METADATA_CHARS:,} characters" in TEXT


class TestSchema:
    def test_it_is_up_to_date(self) -> None:
        """The schema in docs is the one that the structs give."""
        expected = json.loads(json.dumps(json_schema()))

        assert {key: value for key, value in SCHEMA.items() if key != "$comment"} == expected
        subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "write_schemas.py"), "--check"], check=True
        )

    def test_lines_are_valid(self, tmp_path: Path) -> None:
        """What is written, and what is least, are valid by the schema."""
        validator = jsonschema.Draft202012Validator(SCHEMA)
        evaluation = EvaluationRecord(
            timestamp=datetime(2026, 11, 20, tzinfo=UTC), trace_id="t", span_id="s", scorer="m"
        )
        for line in (write_example(tmp_path / "a.jsonl"), encode_line(evaluation)):
            validator.validate(json.loads(line))

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda line: line.update(v=2),
            lambda line: line.update(kind="tale"),
            lambda line: line.update(cost="0.1"),
            lambda line: line.pop("timestamp"),
        ],
    )
    def test_what_is_no_record_is_not(
        self, tmp_path: Path, spoil: Callable[[dict[str, Any]], object]
    ) -> None:
        """A line that the readers refuse is not valid either."""
        line = json.loads(write_example(tmp_path / "a.jsonl"))
        spoil(line)

        assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(line)
