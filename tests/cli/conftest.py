"""A small scoring model in a folder, and journals whose answers have texts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.scoring.reference import build_network, build_tokenizer

from cert_otel.cli import main
from cert_otel.journal import get_scores_path, read_lines
from cert_otel.records import EvaluationRecord, Record, Tokens, encode_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

START = datetime(2026, 11, 20, 10, tzinfo=UTC)


@pytest.fixture(scope="session")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model of two layers with random weights, as transformers does."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    build_network("qwen2").save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def call() -> Callable[..., Record]:
    """Build the n-th call, with the text of its question and answer."""

    def make_call(number: int, **fields: Any) -> Record:
        question, answer = (
            f"What is {number} + 2?",
            f"The sum is {number + 2}. That is all there is.",
        )
        defaults: dict[str, Any] = {
            "kind": "inference",
            "timestamp": START + timedelta(hours=number),
            "trace_id": f"{number + 1:032x}",
            "span_id": f"{number + 1:016x}",
            "platform": "openai",
            "model": "gpt-4o",
            "input_data": question,
            "output_data": answer,
            "input_messages": [make_message("user", question)],
            "output_messages": [make_message("assistant", answer)],
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
        path.write_bytes(
            b"".join(line if isinstance(line, bytes) else encode_line(line) for line in lines)
        )
        return path

    return write


def make_message(role: str, text: str) -> dict[str, Any]:
    """Make a message of the conventions."""
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def read_results(path: Path) -> list[dict[str, Any]]:
    """Read the results beside a journal; a line that was cut off is none."""
    scores = get_scores_path(path)
    lines = read_lines(scores) if scores.exists() else ()
    return [
        json.loads(encode_line(line.content))
        for line in lines
        if isinstance(line.content, EvaluationRecord)
    ]


def refuse(capsys: pytest.CaptureFixture[str], command: str, *words: str | Path) -> str:
    """Ask for what cannot be done; return what is said."""
    assert main([command, *map(str, words)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    return printed.err


def end_when_begun(
    command: Sequence[str],
    scores: Path,
    end: signal.Signals,
    environ: Mapping[str, str] = os.environ,
) -> tuple[int, str]:
    """End a run from outside as soon as it has written results.

    Returns:
        Its exit code, and what it said on standard error. One that stays is a failure that shows
        where each of its threads is.
    """
    # What measures coverage takes a lock of its own at each new file: interrupted there, it waits
    # for itself.
    unmeasured = {
        name: value for name, value in environ.items() if not name.startswith("COVERAGE_")
    }
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=unmeasured | {"PYTHONFAULTHANDLER": "1"},
    ) as run:
        while run.poll() is None and not (scores.exists() and scores.stat().st_size):
            time.sleep(0.001)
        run.send_signal(end)
        try:
            _, said = run.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGABRT)
            _, said = run.communicate()
            pytest.fail(f"it runs on a minute after {end.name}:\n{said}")
    return run.returncode, said
