"""What `cert validate` says of evaluators on labelled answers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.table import Table
from rich.text import Text

from cert_otel.cli._output import open_console, print_json
from cert_otel.evaluation.statistics import Validation
from cert_otel.evaluation.statistics import validate as measure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import Console

    from cert_otel.cli._dataset import Row
    from cert_otel.evaluation.evaluator import Evaluator
    from cert_otel.evaluation.statistics import Bin, GroupFigures
    from cert_otel.records import EvaluationRecord

MAX_GROUPS: Final = 10
"""Groups in the table, those with most rows; all are in the JSON."""
NOTE: Final = (
    "These figures are of this dataset. None of them is evidence about the system whose answers "
    "are evaluated."
)
_MISSING: Final = "-"
_UNKNOWN: Final = "unknown"


class Report(Validation, frozen=True, kw_only=True):
    """Everything that `cert validate` prints."""

    dataset: str
    preset: str
    evaluator: str
    """Names, as `cert evaluate` has them."""
    revision: str
    skip_reasons: dict[str, int]
    """Of the rows without a score."""
    errors: dict[str, int]
    note: str = NOTE


def summarise(
    dataset: Path,
    rows: Sequence[Row],
    found: Sequence[EvaluationRecord],
    evaluator: Evaluator,
    *,
    groups: Sequence[str] | None,
) -> Report:
    """Measure what was found against the labels."""
    figures = measure(
        [one.confidence for one in found],
        [row.label for row in rows],
        groups,
        threshold=evaluator.threshold,
    )
    unjudged = [one for one in found if one.confidence is None]
    return Report(
        **msgspec.structs.asdict(figures),
        dataset=str(dataset),
        preset=evaluator.preset,
        evaluator=evaluator.scorer,
        revision=evaluator.revision,
        skip_reasons=_count(one for one in unjudged if one.score_status != "error"),
        errors=_count(one for one in unjudged if one.score_status == "error"),
    )


def print_report(report: Report, *, as_json: bool) -> None:
    """Print it as tables, or as JSON."""
    if as_json:
        print_json(report)
        return
    with open_console() as console:
        for line in _describe(report):
            console.print(Text(line), soft_wrap=True)
        _print_bins(console, report.reliability)
        _print_groups(console, report.groups)
        console.print()
        console.print(Text(f"by           {report.evaluator}; {report.revision}"), soft_wrap=True)
        console.print(Text(report.note), soft_wrap=True)


def _count(results: Iterator[EvaluationRecord]) -> dict[str, int]:
    return dict(Counter(one.score_reason or _UNKNOWN for one in results).most_common())


def _describe(report: Report) -> Iterator[str]:
    total = report.n + report.skipped
    yield (
        f"rows         {total:,}, of {report.n:,} with a confidence {report.positives:,} are "
        f"borne out"
    )
    for name, counts in (("skipped", report.skip_reasons), ("failed", report.errors)):
        if counts:
            reasons = ", ".join(f"{reason} ({count:,})" for reason, count in counts.items())
            yield f"{name:12} {sum(counts.values()):,}: {reasons}"
    drawn = "whole groups" if report.resampled == "groups" else "rows"
    yield f"AUC          {_show(report.auc, report.auc_low, report.auc_high)}, {drawn} drawn"
    at = f"at confidence {report.threshold:.2f}, preset {report.preset}"
    for name, meaning in (
        ("accuracy", at),
        ("sensitivity", "of what is borne out, passes"),
        ("specificity", "of what is not, fails"),
    ):
        ends = (getattr(report, f"{name}{end}") for end in ("", "_low", "_high"))
        yield f"{name:12} {_show(*ends)}, {meaning}"
    null = f"{_format(report.ece_null_low)} to {_format(report.ece_null_high)}"
    yield f"ECE          {_format(report.ece)}; perfect calibration shows {null} on so many rows"


def _print_bins(console: Console, bins: Sequence[Bin]) -> None:
    if not bins:
        return
    console.print()
    table = _make_table("confidence", "rows", "mean", "borne out", "95% interval")
    for one in bins:
        table.add_row(
            f"{one.low:.1f} to {one.high:.1f}",
            f"{one.n:,}",
            _format(one.score_mean),
            f"{one.rate:.1%}",
            f"{one.rate_low:.1%} to {one.rate_high:.1%}",
        )
    console.print(table)


def _print_groups(console: Console, groups: Sequence[GroupFigures]) -> None:
    if not groups:
        return
    console.print()
    table = _make_table("group", "rows", "borne out", "AUC", "accuracy", "skipped")
    shown = sorted(groups, key=lambda one: (-one.n, one.group))[:MAX_GROUPS]
    for one in shown:
        table.add_row(
            Text(one.group),
            f"{one.n:,}",
            f"{one.positives:,}",
            _format(one.auc),
            _format(one.accuracy),
            f"{one.skipped:,}",
        )
    console.print(table)
    if len(groups) > len(shown):
        console.print(Text(f"{len(groups) - len(shown):,} more groups; --format json has all"))


def _make_table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for at, name in enumerate(names):
        options: dict[str, Any] = {"justify": "right", "no_wrap": True} if at else {}
        table.add_column(name, overflow="fold", **options)
    return table


def _show(value: float | None, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return _format(value)
    return f"{_format(value)} (95% interval {low:.3f} to {high:.3f})"


def _format(value: float | None) -> str:
    return _MISSING if value is None else f"{value:.3f}"
