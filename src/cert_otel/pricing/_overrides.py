"""The user's own prices: a file in our form, or LiteLLM's, told apart by what is in it.

docs/pricing.md describes ours. Everything is checked when it is read, so that an error names the
file, the model and the field.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import msgspec

from cert_otel.errors import InputError
from cert_otel.pricing._litellm import is_litellm, read_litellm
from cert_otel.pricing._table import (
    STANDARD,
    UNDECODABLE,
    Match,
    Model,
    Overrides,
    Provider,
    Row,
    name_tier,
)

if TYPE_CHECKING:
    from pathlib import Path

_FORMS: Final = (
    'is neither {"providers": {PROVIDER: {MODEL: {"input": …, "output": …}}}} '
    "nor LiteLLM's model_prices_and_context_window.json"
)
_AT: Final = re.compile(r"(?P<problem>.*) - at `\$(?:\[\d+\])?\.?(?P<field>.*)`")
_FIELDS: Final = frozenset(Row.__struct_fields__)
_EVERY: Final = "*"


class _OwnFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file; models stay undecoded, so that what is wrong with one is said of it."""

    providers: dict[str, dict[str, msgspec.Raw]]
    currency: str = "USD"
    comment: str | None = None


def read_overrides(path: Path) -> Overrides:
    """Read a file of prices.

    Raises:
        InputError: It cannot be read, or a price in it is none; names the model and the field.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(path, error.strerror or str(error)) from None
    version = f"{path.name}+{hashlib.sha256(text).hexdigest()[:8]}"
    return Overrides(version, _read_providers(text, path))


def _read_providers(text: bytes, path: Path) -> dict[str, Provider]:
    try:
        content = msgspec.json.decode(text)
    except UNDECODABLE as error:
        raise InputError(path, f"is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputError(path, _FORMS)
    if "providers" in content:
        return _read_own(text, path)
    if is_litellm(content):
        return read_litellm(content, path)
    raise InputError(path, _FORMS)


def _read_own(text: bytes, path: Path) -> dict[str, Provider]:
    try:
        file = msgspec.json.decode(text, type=_OwnFile)
    except UNDECODABLE as error:
        raise InputError(path, _describe(error)) from None
    for provider in file.providers:
        if "/" in provider:
            raise InputError(path, f"{provider}: is no price list; a host is HOST or HOST:PORT")
    return {
        provider.lower(): Provider(
            models=tuple(
                _read_model(name, raw, f"{provider} {name}", file.currency, path)
                # What is named wholly goes before what is named by its beginning, the longest
                # beginning first.
                for name, raw in sorted(models.items(), key=_order)
            )
        )
        for provider, models in file.providers.items()
    }


def _order(item: tuple[str, Any]) -> tuple[bool, int]:
    return item[0].endswith(_EVERY), -len(item[0])


def _read_model(name: str, raw: msgspec.Raw, where: str, currency: str, path: Path) -> Model:
    lower = name.lower()
    modes: dict[str, list[Row]] = {}
    for fields in _decode_rows(raw, where, path):
        tier = fields.pop("tier", STANDARD)
        if not isinstance(tier, str):
            raise InputError(path, f"{where}: tier: {tier!r} is no name")
        row = _to_row({"currency": currency, **fields}, where, path)
        modes.setdefault(name_tier(tier), []).append(row)
    start = lower.removesuffix(_EVERY)
    return Model(
        id=lower,
        match=Match(equals=(lower,)) if start == lower else Match(starts_with=(start,)),
        standard=_sort(modes.pop(STANDARD, [])),
        modes={mode: _sort(rows) for mode, rows in modes.items()},
    )


def _decode_rows(raw: msgspec.Raw, where: str, path: Path) -> list[dict[str, Any]]:
    content = msgspec.json.decode(raw)
    rows = content if isinstance(content, list) else [content]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise InputError(path, f"{where}: is neither an object of rates nor a list of them")
    return rows


def _to_row(fields: dict[str, Any], where: str, path: Path) -> Row:
    for field in fields.keys() - _FIELDS:
        close = difflib.get_close_matches(field, _FIELDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(_FIELDS))}"
        raise InputError(path, f"{where}: {field}: is no field; {hint}")
    try:
        row = msgspec.convert(fields, Row)
    except msgspec.ValidationError as error:
        raise InputError(path, f"{where}: {_describe(error)}") from None
    if row.input is None:
        raise InputError(path, f"{where}: input: is missing")
    return row


def _sort(rows: list[Row]) -> tuple[Row, ...]:
    """Bring rows into the order of the table, in which the last that holds counts."""
    return tuple(
        sorted(
            rows,
            key=lambda row: (
                row.since or date.min,
                row.from_second,
                -1 if row.above_tokens is None else row.above_tokens,
            ),
        )
    )


def _describe(error: Exception) -> str:
    """Put the field before what is wrong with it."""
    at = _AT.fullmatch(str(error))
    return f"{at['field']}: {at['problem']}" if at and at["field"] else str(error)
