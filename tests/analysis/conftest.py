"""Journals of a few calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cert_otel.records import EvaluationRecord, Record, Tokens, encode_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START = datetime(2026, 11, 20, 10, tzinfo=UTC)


@pytest.fixture
def call() -> Callable[..., Record]:
    """Build the n-th call: its own trace and span, an hour after the one before."""

    def make_call(number: int, **fields: Any) -> Record:
        defaults: dict[str, Any] = {
            "kind": "inference",
            "timestamp": START + timedelta(hours=number),
            "trace_id": f"{number + 1:032x}",
            "span_id": f"{number + 1:016x}",
            "service": "support",
            "platform": "openai",
            "model": "gpt-4o",
            "tokens": Tokens(prompt=12, completion=5),
            "cost": 0.25,
            "currency": "USD",
            "latency_ms": 200.0,
        }
        return Record(**defaults | fields)

    return make_call


@pytest.fixture
def journal(tmp_path: Path) -> Callable[..., Path]:
    """Write records, or bytes as they are, into a file of the test's folder."""

    def write(name: str, *lines: Record | EvaluationRecord | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            b"".join(line if isinstance(line, bytes) else encode_line(line) for line in lines)
        )
        return path

    return write
