"""`cert prices`."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path  # noqa: TC003 - cyclopts resolves the annotations at run time
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import App, Parameter
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cert_otel.cli._output import Format, open_console, print_json
from cert_otel.cli._settings import get_valid_config, get_valid_variables
from cert_otel.errors import CertOtelError
from cert_otel.pricing import TableInfo, find_price_id, table_info
from cert_otel.pricing._files import choose_table_path, forget, get_overrides, get_table
from cert_otel.pricing._install import compare_tables, decode_all, install_table, read_new_table
from cert_otel.pricing._show import find_nearest, list_prices, list_providers
from cert_otel.pricing._table import PER_THOUSAND, RATES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from cert_otel.pricing._install import Change, Changes, NewTable
    from cert_otel.pricing._show import ListedRow, Listing

app: Final = App(name="prices", result_action="return_value")

_SHOWN_CHANGES: Final = 10
"""Of each kind; JSON has all."""
_MINUTE_S: Final = 60


@app.default
def prices(
    model: str | None = None,
    /,
    *,
    at: str | None = None,
    provider: str | None = None,
    format: Annotated[Format, Parameter(negative=())] = "table",  # noqa: A002 - the option's name
) -> int:
    """Show what a model costs: the rates that hold on a day, and where its name leads.

    Without a model: which table is in use, how old it is, and whose prices go before it.

    Example: cert prices gpt-4o --at 2026-11-01

    Args:
        model: As the provider or the application spells it, ARNs and paths included.
        at: ISO 8601 date, UTC; today if left out.
        provider: Id of a price list, or a name that telemetry gives to a provider.
        format: A table, or JSON for machines.
    """
    get_valid_config()
    day = _parse_date(at)
    price_list = None if provider is None else _choose_price_list(provider)
    if model is None:
        _print_about(format)
        return 0
    listings = list_prices(model, day, price_list)
    if not listings:
        raise CertOtelError(_explain_unknown(model, price_list))
    if format == "json":
        print_json({"model": model, "at": day, "table": _about(), "prices": _as_json(listings)})
        return 0
    with open_console() as console:
        for listing in listings:
            _print_listing(listing, model, day, console)
        console.print(f"[dim]{escape(_describe_table(table_info()))}[/]", soft_wrap=True)
    return 0


@app.command
def update(
    file: Path,
    /,
    *,
    format: Annotated[Format, Parameter(negative=())] = "table",  # noqa: A002 - the option's name
) -> int:
    """Install a newer price table, and say what is other in it.

    Takes the prices.json of a newer cert-otel, genai-prices' data.json, or LiteLLM's
    model_prices_and_context_window.json. All of it is checked before it takes the place of the
    table that is there. Nothing is fetched.

    Example: cert prices update data.json

    Args:
        file: The newer table.
        format: Lines, or JSON for machines.
    """
    settings = get_valid_variables()
    new = read_new_table(file)
    old = table_info()
    changes = compare_tables(decode_all(get_table(), old.path), decode_all(new.table, file))
    path = choose_table_path(settings)
    install_table(new.content, path)
    forget()
    if format == "json":
        print_json(_report(new, old, changes, path))
        return 0
    with open_console() as console:
        for line in _describe_update(new, old, changes, path):
            console.print(escape(line), soft_wrap=True)
    return 0


def _parse_date(at: str | None) -> date:
    if at is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(at)
    except ValueError:
        raise CertOtelError(f"--at: {at!r} is no date; write it as 2026-11-20") from None


def _choose_price_list(provider: str) -> str:
    known = list_providers()
    found = provider.lower() if provider.lower() in known else find_price_id(provider)
    if found not in known:
        raise CertOtelError(
            f"--provider: {provider!r} has no price list; known are {', '.join(known)}"
        )
    return found


def _explain_unknown(model: str, price_list: str | None) -> str:
    where = "in any price list" if price_list is None else f"in the price list of {price_list}"
    nearest = find_nearest(model, price_list)
    hint = f"; did you mean {', '.join(nearest)}?" if nearest else ""
    return f"{model}: no such model {where}{hint}"


def _about() -> dict[str, Any]:
    info = table_info()
    return {
        "version": info.version,
        "date": info.date,
        "age_days": _count_days(info),
        "providers": info.provider_count,
        "models": info.model_count,
        "path": str(info.path),
    }


def _print_about(format: Format) -> None:  # noqa: A002 - the option's name
    own = get_overrides()
    overridden = {name: len(listed.models) for name, listed in own.providers.items()}
    if format == "json":
        overrides = {"version": own.version, "models": overridden} if own.version else None
        print_json({"table": _about(), "overrides": overrides})
        return
    info = table_info()
    with open_console() as console:
        console.print(escape(_describe_table(info)), soft_wrap=True)
        console.print(escape(f"read from {info.path}"), soft_wrap=True)
        if own.version:
            models = ", ".join(f"{name} ({count})" for name, count in overridden.items())
            console.print(escape(f"before it, {own.version}: {models}"), soft_wrap=True)


def _describe_table(info: TableInfo) -> str:
    return (
        f"table {info.version} of {info.date}, {_count_days(info)} days old: "
        f"{info.model_count:,} models of {info.provider_count} providers"
    )


def _count_days(info: TableInfo) -> int:
    return (datetime.now(UTC).date() - info.date).days


def _as_json(listings: Sequence[Listing]) -> list[dict[str, Any]]:
    return [
        {**listing._asdict(), "rows": [row._asdict() for row in listing.rows]}
        for listing in listings
    ]


def _print_listing(listing: Listing, model: str, at: date, console: Console) -> None:
    name = f"{listing.provider} {listing.model}"
    console.print(f"[bold]{escape(name)}[/]{escape(_describe_way(listing, model))}", soft_wrap=True)
    if not listing.rows:
        console.print(f"no price on {at}\n")
        return
    rates = [rate for rate in RATES if any(rate in row.rates for row in listing.rows)]
    if not rates:
        console.print("no price: it is free, or billed by something that is no token\n")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for rate in rates:
        table.add_column(rate, justify="right", overflow="fold")
    for row in listing.rows:
        cells = (_format_rate(row.rates.get(rate)) for rate in rates)
        table.add_row(Text(_describe_conditions(row)), *cells)
    console.print(table)
    console.print(f"[dim]{escape(_describe_units(listing, rates))}[/]\n", soft_wrap=True)


def _describe_way(listing: Listing, model: str) -> str:
    parts = []
    if listing.model.lower() != model.lower():
        parts.append(f"is what {model} means")
    if listing.sellers:
        parts.append(f"its standard prices hold at {', '.join(listing.sellers)} too")
    if listing.source == "override":
        parts.append(f"your own prices, {listing.pricing_version}")
    return f" ({'; '.join(parts)})" if parts else ""


def _describe_conditions(row: ListedRow) -> str:
    parts = [row.tier]
    if row.above_tokens is not None:
        parts.append(f"above {row.above_tokens:,} tokens")
    if row.from_second:
        hours, minutes = divmod(row.from_second // _MINUTE_S, _MINUTE_S)
        parts.append(f"from {hours:02}:{minutes:02} UTC")
    if row.since is not None:
        parts.append(f"since {row.since}")
    return ", ".join(parts)


def _describe_units(listing: Listing, rates: Sequence[str]) -> str:
    per_thousand = [rate for rate in rates if rate in PER_THOUSAND]
    text = f"{listing.currency} per million tokens"
    if per_thousand:
        text += f"; {', '.join(per_thousand)} per thousand"
    if any(row.fee for row in listing.rows):
        text += "; each call has a fee besides, which is not in the table"
    return text


def _format_rate(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.10g}"


def _report(new: NewTable, old: TableInfo, changes: Changes, path: Path) -> dict[str, Any]:
    return {
        "path": str(path),
        "in_use": table_info().path == path,
        "from": {"version": old.version, "date": old.date},
        "to": {"version": new.table.version, "date": new.table.date},
        **{
            kind: [change._asdict() for change in models]
            for kind, models in changes._asdict().items()
        },
        "left_out": new.left_out,
    }


def _describe_change(change: Change) -> str:
    name = f"{change.provider} {change.model}"
    if change.rates is None:
        return name
    rates = ", ".join(
        f"{rate} {_format_rate(before)} -> {_format_rate(after)}"
        for rate, (before, after) in change.rates.items()
    )
    return f"{name}: {rates or 'in other tiers, or on other days'}"


def _describe_update(new: NewTable, old: TableInfo, changes: Changes, path: Path) -> Iterator[str]:
    yield f"{old.version} of {old.date} -> {new.table.version} of {new.table.date}"
    for mark, word, models in (
        ("+", "added", changes.added),
        ("-", "removed", changes.removed),
        ("~", "with other prices", changes.changed),
    ):
        yield f"{len(models):,} {'model' if len(models) == 1 else 'models'} {word}"
        yield from (f"  {mark} {_describe_change(model)}" for model in models[:_SHOWN_CHANGES])
        if len(models) > _SHOWN_CHANGES:
            yield f"  {mark} … --format json names all"
    if new.left_out:
        yield f"not known to this version, and left out: {', '.join(new.left_out)}"
    yield f"installed as {path}"
    in_use = table_info()
    if in_use.path != path:
        yield (
            f"not used: the table that ships is newer, of {in_use.date}; "
            f"CERT_OTEL_PRICES_TABLE={path} makes this the one"
        )
