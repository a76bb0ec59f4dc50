"""The scorer process with a judge that needs no model: slow, failing or deadly, as a test wants."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cert_otel.records import EvaluationRecord
from cert_otel.service import worker
from cert_otel.service.judging import Judges
from cert_otel.service.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cert_otel.records import Record
    from cert_otel.service.judging import Case
    from cert_otel.service.settings import Settings

ENTRY: Final = "fake_scorer:run"
DELAY: Final = "delay_s"
"""A file beside the trail: seconds that a batch takes."""
POISON: Final = "this answer kills the scorer"
ODD: Final = 97
"""One answer in so many, by its span id, makes the judge raise."""


class FakeJudge:
    """Finds every answer good, but for the odd ones."""

    name = "fake"
    revision = "1"

    def __init__(self, delay: Path) -> None:
        self._delay = delay

    def judge(self, cases: Sequence[Case]) -> list[list[EvaluationRecord]]:
        """Judge a batch, in as much time as the file says now."""
        started_s = time.monotonic()
        while time.monotonic() < started_s + self._read_delay_s():
            time.sleep(0.01)
        return [[self._judge_one(case.record)] for case in cases]

    def _read_delay_s(self) -> float:
        return float(self._delay.read_text(encoding="ascii")) if self._delay.exists() else 0.0

    def _judge_one(self, record: Record) -> EvaluationRecord:
        if POISON in (record.output_data or ""):
            os.kill(os.getpid(), signal.SIGKILL)
        if is_odd(record.span_id or ""):
            raise ZeroDivisionError
        return EvaluationRecord(
            timestamp=datetime.now(UTC),
            trace_id=record.trace_id or "",
            span_id=record.span_id or "",
            scorer=self.name,
            scorer_revision=self.revision,
            confidence=0.9,
            threshold=0.7,
            passed=True,
        )


def is_odd(span_id: str) -> bool:
    """Whether the judge fails on this span."""
    return int(span_id, 16) % ODD == 0


def run(settings: Settings, *, part: int, parts: int) -> None:
    """Run the service's own scorer process with that judge."""
    judge = FakeJudge(Path(settings.trail.path).with_name(DELAY))
    worker.run(
        settings,
        part=part,
        parts=parts,
        open_judges=lambda _: Judges(scoring=judge, limits=Limits(records=64)),
    )
