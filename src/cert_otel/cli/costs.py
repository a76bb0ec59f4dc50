"""`cert costs`."""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cert_otel.cli._output import fit_columns, open_console, print_json
from cert_otel.cli._settings import get_valid_config
from cert_otel.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.console import Console

    from cert_otel.analysis import By, CostRow, CostSummary

_SIGNIFICANT: Final = 4
_CENTS: Final = 2
_CURRENCY_SIGNS: Final = {"USD": "$", "EUR": "€", "GBP": "£"}
_NAMED_LINES: Final = 5
_SHOWN_ROWS: Final = 50
"""Of models, services and tasks, by cost; days are shown all."""
_SMALLEST_SHARE: Final = 0.0005
"""What one decimal of a percentage can show."""
_MISSING: Final = "-"
"""Unknown: never shown as zero."""
_TOKEN_COLUMNS: Final = ("prompt", "completion", "cache_read", "cache_write", "reasoning")
_LABELS: Final = {
    "model": ("model", "platform"),
    "service": ("service",),
    "day": ("date",),
    "task": ("task", "started", "successful"),
}
_FIGURES: Final = ("records", "cost", "currency", "share", "unpriced", "average_per_call")


def costs(
    *files: Path,
    period: str | None = None,
    until: str | None = None,
    by: Literal["model", "service", "day", "task"] = "model",
    format: Annotated[Literal["table", "json", "csv"], Parameter(negative=())] = "table",  # noqa: A002 - the option's name
) -> int:
    """Print what model calls cost: total, averages, and by model, service, day or task.

    Costs are those of the records; a call without a price is in no amount and is counted.

    Example: cert costs production.jsonl --period 30d --by day

    Args:
        files: Journals, or directories of them; CERT_OTEL_JSONL or production.jsonl if left out.
        period: Back from now, or from --until: 24h, 30d, 4w.
        until: ISO 8601 date or time, exclusive; UTC unless it says otherwise.
        by: What a row stands for.
        format: A table, or JSON or CSV for machines.
    """
    settings = get_valid_config()
    from cert_otel.analysis import CostAnalyzer  # noqa: PLC0415 - loads DuckDB

    paths = list(files) or [Path(settings.jsonl)]
    summary = CostAnalyzer(paths, period=period, until=until).summary(by)
    _refuse_nothing(summary, paths)
    if format == "json":
        print_json(summary)
    elif format == "csv":
        _print_csv(summary, by)
    else:
        with open_console() as console:
            _print_table(summary, by, console)
    return 0


def _refuse_nothing(summary: CostSummary, paths: Sequence[Path]) -> None:
    """Raise where there is no call to speak of: a report of nothing is a mistake in the asking."""
    if summary["records"] or summary["embeddings"]["records"]:
        return
    names = ", ".join(map(str, paths))
    edges = (("since", summary["period"]["since"]), ("before", summary["period"]["until"]))
    asked = " and ".join(f"{word} {moment}" for word, moment in edges if moment is not None)
    if not asked:
        raise InputError(names, "holds no model call; its records are of functions and the like")
    moments = [
        moment
        for file in summary["files"]
        for moment in (file["earliest"], file["latest"])
        if moment is not None
    ]
    raise InputError(
        names,
        f"no model call {asked}; its records are from {min(moments)} to {max(moments)}: "
        "ask for a longer --period or another --until",
    )


def _rows(summary: CostSummary, by: By) -> list[CostRow]:
    rows: list[CostRow] = summary[f"by_{by}"]  # type: ignore[literal-required]  # one of four
    return rows


def _print_csv(summary: CostSummary, by: By) -> None:
    header = (*_LABELS[by], *_FIGURES, *(f"{name}_tokens" for name in _TOKEN_COLUMNS))
    text = io.StringIO()
    writer = csv.DictWriter(text, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(_flatten, _rows(summary, by)))
    sys.stdout.write(text.getvalue())


def _flatten(row: CostRow) -> dict[str, Any]:
    flat: dict[str, Any] = {name: value for name, value in row.items() if name != "tokens"}
    if "successful" in row:
        flat["successful"] = str(row["successful"]).lower()  # as in JSON
    return flat | {f"{name}_tokens": row["tokens"].get(name) for name in _TOKEN_COLUMNS}


def _print_table(summary: CostSummary, by: By, console: Console) -> None:
    for line in _headline(summary):
        console.print(line, soft_wrap=True)
    rows = _rows(summary, by)
    shown = rows if by == "day" else rows[:_SHOWN_ROWS]
    if shown:
        console.print()
        console.print(_breakdown(shown, by, console.width))
    if len(rows) > len(shown):
        more = _count(len(rows) - len(shown), "more row")
        console.print(f"[dim]{more}: --format csv or json prints all[/]")
    for line in _footer(summary):
        console.print(f"[dim]{line}[/]", soft_wrap=True)


def _headline(summary: CostSummary) -> Iterator[str]:
    currency = summary["currency"]
    if len(summary["totals"]) > 1:
        amounts = (format_cost(one["total"], one["currency"]) for one in summary["totals"])
        yield f"[bold]{' and '.join(amounts)}[/] for {_count(summary['records'], 'call')}"
    else:
        total = format_cost(summary["total"], currency)
        yield f"[bold]{total}[/] for {_count(summary['records'], 'call')}"
    yield f"per priced call      {format_cost(summary['average_per_call'], currency)}"
    tasks = f"({summary['successful_tasks']:,} of {_count(summary['tasks'], 'task')})"
    per_task = format_cost(summary["per_successful_task"], currency)
    yield f"per successful task  {per_task}  {tasks}"
    if (top := summary["top_model"]) is not None:
        cost = format_cost(top["cost"], currency)
        share = "" if top["share"] is None else f", {top['share']:.0%} of the total"
        yield f"most on              {escape(top['model'] or 'unknown')}  {cost}{share}"
    embeddings = summary["embeddings"]
    if embeddings["records"]:
        cost = format_cost(embeddings["total"], embeddings["currency"])
        calls = _count(embeddings["records"], "call")
        yield f"embeddings           {cost} for {calls}, not in the total"


def _breakdown(rows: Sequence[CostRow], by: By, width: int) -> Table:
    cells = {name: [_COLUMNS[name](row) for row in rows] for name in _choose_columns(rows, by)}
    names = fit_columns(cells, width, left_out_first=_LEFT_OUT_FIRST)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(by, overflow="fold")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    seen = Counter(row.get("model") for row in rows)
    for at, row in enumerate(rows):
        label = _label(row, by, with_platform=seen[row.get("model")] > 1)
        table.add_row(Text(label), *(cells[name][at] for name in names))
    return table


def _choose_columns(rows: Sequence[CostRow], by: By) -> Iterator[str]:
    any_unpriced = any(row["unpriced"] for row in rows)
    for name in _COLUMNS:
        if (name != "unpriced" or any_unpriced) and (name != "outcome" or by == "task"):
            yield name


def _label(row: CostRow, by: By, *, with_platform: bool) -> str:
    if by == "model":
        name = row.get("model") or "unknown"
        return f"{name}\n  {row.get('platform') or 'unknown'}" if with_platform else name
    field = {"service": "service", "day": "date", "task": "task"}[by]
    return str(row.get(field) or "unknown")


def _footer(summary: CostSummary) -> Iterator[str]:
    period = summary["period"]
    if period["since"] or period["until"]:
        yield f"\nfrom {period['since'] or 'the first record'} to {period['until'] or 'the last'}"
    else:
        yield ""
    if summary["unpriced"]:
        calls = _count(summary["unpriced"], "call")
        yield f"{calls} without a cost: no usage, or a model or host without a price"
    if summary["folded"]:
        yield f"{_count(summary['folded'], 'line')} folded: the same call seen more than once"
    errors = summary["errors"]
    if errors["records"]:
        kinds = ", ".join(
            f"{one['error_type'] or 'unknown'} ({one['records']})" for one in errors["by_type"]
        )
        yield f"{_count(errors['records'], 'call')} failed: {escape(kinds)}"
    yield from _unreadable(summary)


def _unreadable(summary: CostSummary) -> Iterator[str]:
    unreadable = summary["unreadable"]
    if not unreadable["count"]:
        return
    yield f"{_count(unreadable['count'], 'line')} not readable:"
    for line in unreadable["lines"][:_NAMED_LINES]:
        yield escape(f"  {line['path']}:{line['line']}: {line['problem']}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _share(share: float | None) -> str:
    if share is None:
        return _MISSING
    return "<0.1%" if 0 < share < _SMALLEST_SHARE else f"{share:.1%}"


def _tokens(count: int | None) -> str:
    return _MISSING if count is None else f"{count:,}"


def _outcome(row: CostRow) -> str:
    return "ok" if row.get("successful") else "failed"


def format_cost(amount: float | None, currency: str | None) -> str:
    """Return an amount that never hides a cost: small ones get the digits they need."""
    if amount is None:
        return _MISSING
    sign = _CURRENCY_SIGNS.get(currency) if currency else None
    if amount == 0 or abs(amount) >= 1:
        digits = _CENTS
    else:
        leading_zeros = -int(f"{amount:e}".split("e")[1])
        digits = leading_zeros + _SIGNIFICANT - 1
    text = f"{amount:,.{digits}f}"
    return f"{sign}{text}" if sign else f"{text} {currency or '(no currency)'}"


_COLUMNS: Final[Mapping[str, Callable[[CostRow], str]]] = {
    "calls": lambda row: f"{row['records']:,}",
    "cost": lambda row: format_cost(row["cost"], row["currency"]),
    "share": lambda row: _share(row["share"]),
    "prompt": lambda row: _tokens(row["tokens"]["prompt"]),
    "completion": lambda row: _tokens(row["tokens"]["completion"]),
    "unpriced": lambda row: f"{row['unpriced']:,}",
    "outcome": _outcome,
}
_LEFT_OUT_FIRST: Final = ("completion", "prompt", "share", "unpriced", "outcome")
"""What a narrow terminal does without: an amount is never cut."""
