"""A newer table: read from what the user has, compared with the one in use, put in its place."""

from __future__ import annotations

import hashlib
import os
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import structs

from cert_otel.errors import InputError
from cert_otel.pricing._files import decode_provider
from cert_otel.pricing._genai_prices import compile_source
from cert_otel.pricing._litellm import is_litellm, read_litellm
from cert_otel.pricing._table import RATES, UNDECODABLE, Row, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cert_otel.pricing._table import Model, Provider

_FORMS = (
    "is neither a table of cert-otel, nor genai-prices' data.json, nor LiteLLM's "
    "model_prices_and_context_window.json"
)
_MARK = "by `cert prices update`; do not edit"


class NewTable(NamedTuple):
    """A table that was read and checked, and not installed yet."""

    table: Table
    content: bytes
    """The file as it will be."""
    left_out: tuple[str, ...]
    """Prices and conditions in it that this version does not know."""


class Change(NamedTuple):
    """A model that is other in one table than in another."""

    provider: str
    model: str
    rates: dict[str, tuple[float | None, float | None]] | None = None
    """Of its newest standard price: what each rate was and is, where that is another."""


class Changes(NamedTuple):
    """What is other in one table than in another."""

    added: tuple[Change, ...]
    removed: tuple[Change, ...]
    changed: tuple[Change, ...]
    """At least one rate, or when it holds."""


def render_table(
    providers: Mapping[str, Provider], *, source: str, day: date, generated: str
) -> bytes:
    """Render a table: one model a line, so that a new version can be read as a diff."""
    body = ",\n".join(
        f"{_encode(name)}:{_render_provider(provider)}" for name, provider in providers.items()
    )
    digest = hashlib.sha256(body.encode()).hexdigest()[:8]
    head = {
        "generated": generated,
        "version": f"{source}+{digest}",
        "date": day,
        "model_count": sum(len(provider.models) for provider in providers.values()),
    }
    return f'{_encode(head)[:-1]},"providers":{{\n{body}\n}}}}\n'.encode()


def _render_provider(provider: Provider) -> str:
    models = ",\n".join(_encode(model) for model in provider.models)
    return f'{{"fallbacks":{_encode(provider.fallbacks)},"models":[\n{models}\n]}}'


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()


def read_new_table(path: Path) -> NewTable:
    """Read a table of ours, genai-prices' data or LiteLLM's map, told apart by content.

    Args:
        path: A source without a date has that of the file's last change.

    Raises:
        InputError: It is none of these, or something in it cannot be used.
    """
    try:
        text = path.read_bytes()
        day = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
        content = msgspec.json.decode(text)
    except OSError as error:
        raise InputError(path, error.strerror or str(error)) from None
    except UNDECODABLE as error:
        raise InputError(path, f"is no JSON: {error}") from None
    if isinstance(content, list):
        return _from_genai_prices(text, path, day)
    if isinstance(content, dict) and {"version", "providers"} <= content.keys():
        return _check(text, path, ())
    if isinstance(content, dict) and is_litellm(content):
        providers = read_litellm(content, path)
        rendered = render_table(providers, source="litellm", day=day, generated=_MARK)
        return _check(rendered, path, ())
    raise InputError(path, _FORMS)


def _from_genai_prices(text: bytes, path: Path, day: date) -> NewTable:
    try:
        providers, undecided = compile_source(text)
    except (*UNDECODABLE, ValueError, IndexError) as error:
        raise InputError(path, f"{_FORMS}: {error}") from None
    rendered = render_table(providers, source="genai-prices", day=day, generated=_MARK)
    return _check(rendered, path, tuple(sorted(undecided)))


def _check(content: bytes, path: Path, left_out: tuple[str, ...]) -> NewTable:
    """Decode all of a table, so that none is installed that cannot be read."""
    try:
        table = msgspec.json.decode(content, type=Table)
    except UNDECODABLE as error:
        raise InputError(path, f"{_FORMS}: {error}") from None
    if not sum(len(provider.models) for provider in decode_all(table, path).values()):
        raise InputError(path, "has no model with a price")
    return NewTable(table, content, left_out)


def decode_all(table: Table, path: Path) -> dict[str, Provider]:
    """Decode every provider of a table.

    Raises:
        InputError: One cannot be read.
    """
    return {name: decode_provider(table, name, path) for name in table.providers}


def compare_tables(old: Mapping[str, Provider], new: Mapping[str, Provider]) -> Changes:
    """Say which models of a table are not in the other, or have other prices there."""
    before, after = _list_models(old), _list_models(new)
    return Changes(
        added=tuple(Change(*name) for name in after if name not in before),
        removed=tuple(Change(*name) for name in before if name not in after),
        changed=tuple(
            Change(*name, _compare_rates(before[name], model))
            for name, model in after.items()
            if name in before and _prices_of(before[name]) != _prices_of(model)
        ),
    )


def _list_models(providers: Mapping[str, Provider]) -> dict[tuple[str, str], Model]:
    return {
        (name, model.id): model for name, provider in providers.items() for model in provider.models
    }


def _prices_of(model: Model) -> tuple[object, ...]:
    return model.standard, model.modes


def _compare_rates(old: Model, new: Model) -> dict[str, tuple[float | None, float | None]]:
    before, after = (
        structs.asdict(model.standard[-1] if model.standard else Row()) for model in (old, new)
    )
    return {rate: (before[rate], after[rate]) for rate in RATES if before[rate] != after[rate]}


def install_table(content: bytes, path: Path) -> None:
    """Write a table so that every reader sees the old one or the new one, whole.

    Raises:
        InputError: It cannot be written there.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # prices are no secret, and the service may be another user
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise InputError(path, f"cannot be written: {error.strerror or error}") from None
