"""What `cert score` says of a journal: figures by model beside their cost, and the coverage."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cert_otel.cli._backlog import NO_IDS
from cert_otel.cli._output import fit_columns, open_console, print_json
from cert_otel.cli.costs import format_cost
from cert_otel.evaluation.contexts import get_key
from cert_otel.scoring.defaults import REFERENCE_NOTE, is_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from cert_otel.cli._run import Run
    from cert_otel.records import EvaluationRecord, Record, Trajectory

_MISSING: Final = "-"


class ModelFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of one model; a figure without a scored call is `None`."""

    model: str | None
    calls: int
    cost: float | None
    """Of the calls that have one; `None` in several currencies."""
    currency: str | None
    scored: int
    tokens: int
    """Of scored answers, as the scorer counts them."""
    perplexity: float | None
    """exp(mean nll) over all tokens of all answers."""
    entropy_mean: float | None
    """Nats, likewise over all tokens."""
    surprise_rate: float | None
    """Likewise."""
    energy_mean: float | None
    """Mean over the answers that have one."""
    energies: int
    """How many have."""
    flagged: int


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """How many calls have a result, and what came of the others."""

    scorer: str
    scorer_revision: str
    is_reference: bool
    """The scorer is the packaged model, which is not for production."""
    calls: int
    scored: int
    coverage: float
    """Share of the calls that are scored, in [0, 1]."""
    skipped: dict[str, int]
    """By reason."""
    errors: dict[str, int]
    """By type."""
    passed_over: int
    """Calls that an earlier run was done with."""
    by_model: list[ModelFigures]
    scores: list[str]
    """Files of results."""
    output: str | None


def summarise(run: Run, output: Path | None) -> Coverage:
    """Count what became of every call."""
    calls = run.backlog.calls
    results = [run.results.get(key) if (key := get_key(call)) else None for call in calls]
    scored = sum(_get_trajectory(result) is not None for result in results)
    return Coverage(
        scorer=run.name,
        scorer_revision=run.revision,
        is_reference=is_reference(run.name),
        calls=len(calls),
        scored=scored,
        coverage=scored / len(calls),
        skipped=_count(results, "skipped") | ({NO_IDS: n} if (n := run.without_ids) else {}),
        errors=_count(results, "error"),
        passed_over=run.passed_over,
        by_model=_group(calls, results),
        scores=[str(path) for path in run.backlog.find_scores()],
        output=None if output is None else str(output),
    )


def print_summary(coverage: Coverage, *, as_json: bool) -> None:
    """Print it as a table, or as JSON."""
    if as_json:
        print_json(coverage)
        return
    with open_console() as console:
        console.print(_tabulate(coverage.by_model, console.width))
        console.print()
        for line in _describe(coverage):
            console.print(escape(line), soft_wrap=True)


def _count(results: Iterable[EvaluationRecord | None], status: str) -> dict[str, int]:
    reasons = Counter(
        one.score_reason or "unknown" for one in results if one and one.score_status == status
    )
    return dict(reasons.most_common())


def _get_trajectory(result: EvaluationRecord | None) -> Trajectory | None:
    return result.trajectory if result is not None and result.score_status == "scored" else None


def _group(
    calls: Sequence[Record], results: Sequence[EvaluationRecord | None]
) -> list[ModelFigures]:
    groups: dict[str | None, list[tuple[Record, Trajectory | None]]] = {}
    for call, result in zip(calls, results, strict=True):
        groups.setdefault(call.model, []).append((call, _get_trajectory(result)))
    rows = [_make_row(model, members) for model, members in groups.items()]
    return sorted(rows, key=lambda row: (-(row.cost or 0), -row.calls, row.model or ""))


def _make_row(
    model: str | None, members: Sequence[tuple[Record, Trajectory | None]]
) -> ModelFigures:
    scored = [trajectory for _, trajectory in members if trajectory is not None]
    energies = [one.energy_mean for one in scored if one.energy_mean is not None]
    currencies = {call.currency for call, _ in members if call.cost is not None}
    costs = [call.cost for call, _ in members if call.cost is not None]
    known = len(currencies) == 1
    return ModelFigures(
        model=model,
        calls=len(members),
        cost=math.fsum(costs) if known else None,
        currency=currencies.pop() if known else None,
        scored=len(scored),
        tokens=sum(one.tokens or 0 for one in scored),
        perplexity=_mean_perplexity(scored),
        entropy_mean=_weigh((one.entropy_mean, one.tokens) for one in scored),
        surprise_rate=_weigh((one.surprise_rate, one.tokens) for one in scored),
        energy_mean=math.fsum(energies) / len(energies) if energies else None,
        energies=len(energies),
        flagged=sum(bool(one.flags) for one in scored),
    )


def _mean_perplexity(scored: Sequence[Trajectory]) -> float | None:
    nll = _weigh((math.log(one.perplexity), one.tokens) for one in scored if one.perplexity)
    return None if nll is None else math.exp(nll)


def _weigh(figures: Iterable[tuple[float | None, int | None]]) -> float | None:
    """Return the mean, each figure counting as often as its answer has tokens."""
    known = [(value, tokens) for value, tokens in figures if value is not None and tokens]
    total = sum(tokens for _, tokens in known)
    return math.fsum(value * tokens for value, tokens in known) / total if total else None


def _tabulate(rows: Sequence[ModelFigures], width: int) -> Table:
    cells = {name: [show(row) for row in rows] for name, show in _COLUMNS.items()}
    names = fit_columns(cells, width, left_out_first=_LEFT_OUT_FIRST)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", overflow="fold")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for at, row in enumerate(rows):
        table.add_row(Text(row.model or "unknown"), *(cells[name][at] for name in names))
    return table


def _format(value: float | None, form: str) -> str:
    return _MISSING if value is None else format(value, form)


def _describe(coverage: Coverage) -> Iterator[str]:
    note = f", a {REFERENCE_NOTE}" if coverage.is_reference else ""
    yield f"scorer   {coverage.scorer} {coverage.scorer_revision[:19]}{note}"
    yield f"results  {', '.join(coverage.scores)}"
    if coverage.output is not None:
        yield f"merged   {coverage.output}"
    if flagged := sum(row.flagged for row in coverage.by_model):
        yield f"flagged  {flagged:,} of {coverage.scored:,} answers"
    parts = [f"{coverage.scored:,} of {coverage.calls:,} calls scored ({coverage.coverage:.1%})"]
    for name, counts in (("skipped", coverage.skipped), ("failed", coverage.errors)):
        if counts:
            reasons = ", ".join(f"{reason} ({count:,})" for reason, count in counts.items())
            parts.append(f"{sum(counts.values()):,} {name}: {reasons}")
    if coverage.passed_over:
        parts.append(f"{coverage.passed_over:,} were done before")
    yield f"coverage {'; '.join(parts)}"


_COLUMNS: Final[Mapping[str, Callable[[ModelFigures], str]]] = {
    "calls": lambda row: f"{row.calls:,}",
    "cost": lambda row: format_cost(row.cost, row.currency),
    "scored": lambda row: f"{row.scored:,}",
    "perplexity": lambda row: _format(row.perplexity, ",.2f"),
    "entropy": lambda row: _format(row.entropy_mean, ".2f"),
    "surprise": lambda row: _format(row.surprise_rate, ".1%"),
    "energy": lambda row: _format(row.energy_mean, ".2f"),
}
_LEFT_OUT_FIRST: Final = ("entropy", "surprise", "calls", "scored")
"""What a narrow terminal does without: a number is never cut."""
