"""`cert costs`."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Parameter
from rich.table import Table

from cert_otel.cli._output import escape, make_console, print_json
from cert_otel.cli._settings import get_valid_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from cert_otel.analysis import By, CostRow, CostSummary

_SIGNIFICANT: Final = 4
_CENTS: Final = 2
_CURRENCY_SIGNS: Final = {"USD": "$", "EUR": "€", "GBP": "£"}
_NAMED_LINES: Final = 5
_MISSING: Final = "-"
"""Unknown: never shown as zero."""
_TOKEN_COLUMNS: Final = ("prompt", "completion", "cache_read", "cache_write", "reasoning")


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
    if format == "json":
        print_json(summary)
    elif format == "csv":
        _print_csv(summary, by)
    else:
        _print_table(summary, by, make_console())
    return 0


def _rows(summary: CostSummary, by: By) -> list[CostRow]:
    rows: list[CostRow] = summary[f"by_{by}"]  # type: ignore[literal-required]  # one of four
    return rows


def _print_csv(summary: CostSummary, by: By) -> None:
    rows = [_flatten(row) for row in _rows(summary, by)]
    writer = csv.DictWriter(sys.stdout, list(rows[0]) if rows else [by], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _flatten(row: CostRow) -> dict[str, Any]:
    flat: dict[str, Any] = {name: value for name, value in row.items() if name != "tokens"}
    return flat | {f"{name}_tokens": row["tokens"].get(name) for name in _TOKEN_COLUMNS}


def _print_table(summary: CostSummary, by: By, console: Console) -> None:
    for line in _headline(summary):
        console.print(line, soft_wrap=True)
    console.print()
    console.print(_breakdown(_rows(summary, by), by))
    for line in _footer(summary):
        console.print(f"[dim]{line}[/]", soft_wrap=True)


def _headline(summary: CostSummary) -> Iterator[str]:
    currency = summary["currency"]
    if len(summary["totals"]) > 1:
        amounts = (format_cost(one["total"], one["currency"]) for one in summary["totals"])
        yield f"[bold]{' + '.join(amounts)}[/] for {_count(summary['records'], 'call')}"
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


def _breakdown(rows: list[CostRow], by: By) -> Table:
    any_unpriced = any(row["unpriced"] for row in rows)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(by, overflow="fold")
    headers = ("calls", "cost", "share", "prompt", "completion")
    for name in (*headers, "unpriced") if any_unpriced else headers:
        table.add_column(name, justify="right", no_wrap=True)
    seen = Counter(row.get("model") for row in rows)
    for row in rows:
        cells = [
            escape(_label(row, by, with_platform=seen[row.get("model")] > 1)),
            f"{row['records']:,}",
            format_cost(row["cost"], row["currency"]),
            _MISSING if row["share"] is None else f"{row['share']:.1%}",
            _tokens(row["tokens"]["prompt"]),
            _tokens(row["tokens"]["completion"]),
        ]
        table.add_row(*cells, *([f"{row['unpriced']:,}"] if any_unpriced else []))
    return table


def _label(row: CostRow, by: By, *, with_platform: bool) -> str:
    if by == "model":
        name = row.get("model") or "unknown"
        return f"{name}\n  {row.get('platform')}" if with_platform else name
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


def _tokens(count: int | None) -> str:
    return _MISSING if count is None else f"{count:,}"


def format_cost(amount: float | None, currency: str | None) -> str:
    """Return an amount that never hides a cost: small ones get the digits they need."""
    if amount is None:
        return _MISSING
    sign = _CURRENCY_SIGNS.get(currency or "USD")
    if amount == 0 or abs(amount) >= 1:
        digits = _CENTS
    else:
        leading_zeros = -int(f"{amount:e}".split("e")[1])
        digits = leading_zeros + _SIGNIFICANT - 1
    text = f"{amount:,.{digits}f}"
    return f"{sign}{text}" if sign else f"{text} {currency}"
