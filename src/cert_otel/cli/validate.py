"""`cert validate`: how well evaluators tell labelled answers apart."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - cyclopts resolves the annotations
from typing import TYPE_CHECKING

from cert_otel.cli._dataset import find_groups, read_rows
from cert_otel.cli._output import Format  # noqa: TC001 - cyclopts resolves the annotations
from cert_otel.cli._run import show_progress
from cert_otel.cli._settings import get_valid_config
from cert_otel.cli.evaluate import (
    EXIT_ATTENTION,
    CombinerName,
    PresetName,
    split_names,
)
from cert_otel.evaluation import Evaluator
from cert_otel.evaluation.evaluator import BATCH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cert_otel.cli._dataset import Row
    from cert_otel.records import EvaluationRecord


def validate(
    dataset: Path,
    /,
    *,
    preset: PresetName = "general",
    threshold: float | None = None,
    evaluators: str = "grounding",
    combiner: CombinerName = "calibrated",
    format: Format = "table",  # noqa: A002 - the option's name
) -> int:
    """Measure evaluators on labelled answers: AUC, accuracy, calibration, with intervals.

    A row of DATASET is {"id", "group", "question", "context", "answer", "label"}; label 1 is
    borne out, context is a text or a list of them. The figures are of this dataset, and say
    nothing about the system whose answers `cert evaluate` judges.

    Example: cert validate labelled.jsonl

    Args:
        dataset: JSON lines.
        preset: Whose threshold holds, and which findings fail an answer by themselves.
        threshold: The confidence that passes, in [0, 1], instead of the preset's.
        evaluators: Names with commas between them; an unknown one lists those that there are.
        combiner: What forms the confidence of what they say; cert is the mean of cosine and
            substrings that CERT formed, which hears none of them and knows no vetoes.
        format: A table, or JSON for machines.
    """
    from cert_otel.cli import _validation_report  # noqa: PLC0415 - loads numpy

    get_valid_config()
    rows = read_rows(dataset)
    evaluator = Evaluator(
        preset, threshold=threshold, evaluators=split_names(evaluators), combiner=combiner
    )
    report = _validation_report.summarise(
        dataset, rows, _judge(rows, evaluator), evaluator, groups=find_groups(rows)
    )
    _validation_report.print_report(report, as_json=format == "json")
    return EXIT_ATTENTION if report.errors else 0


def _judge(rows: Sequence[Row], evaluator: Evaluator) -> list[EvaluationRecord]:
    found: list[EvaluationRecord] = []
    with show_progress("validating", len(rows)) as advance:
        for at in range(0, len(rows), BATCH):
            batch = rows[at : at + BATCH]
            found += evaluator.judge_samples([row.to_sample() for row in batch])
            advance(len(batch))
    return found
