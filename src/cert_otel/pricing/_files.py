"""The files that prices come from, each read when it is first needed.

Three, at most: the table that ships with the package, the table that `cert prices update`
installed, and the user's own prices, which go before both. A file that cannot be used is an error
for `check_files`, which commands call, and one warning in the application.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import msgspec

from cert_otel import config
from cert_otel.errors import InputError
from cert_otel.pricing._table import NO_OVERRIDES, UNDECODABLE, Overrides, Provider, Table

SHIPPED: Final = Path(__file__).with_name("data") / "prices.json"
_NEWER_VERSION: Final = "update cert-otel, or install the table again with `cert prices update`"

_log: Final = logging.getLogger(__name__)


def choose_table_path(settings: config.Config) -> Path:
    """Return where the user's table is, or would be: `CERT_OTEL_PRICES_TABLE` or its default."""
    if settings.prices_table is not None:
        return Path(settings.prices_table)
    data = os.environ.get("XDG_DATA_HOME")
    folder = Path(data) if data else Path("~/.local/share")
    with suppress(RuntimeError):  # a user without a home has no table there
        folder = folder.expanduser()
    return folder / "cert-otel" / "prices.json"


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # below a folder that is another's
        return False


def read_table(path: Path) -> Table:
    """Read a compiled table; its providers stay undecoded.

    Raises:
        InputError: The file cannot be read or is no such table.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Table)
    except OSError as error:
        raise InputError(path, error.strerror or str(error)) from None
    except UNDECODABLE as error:
        raise InputError(path, f"is no price table: {error}; {_NEWER_VERSION}") from None


def decode_provider(table: Table, provider: str, path: Path) -> Provider:
    """Decode one provider of a table.

    Raises:
        InputError: Its models are not what this version reads.
    """
    try:
        return msgspec.json.decode(table.providers[provider], type=Provider)
    except UNDECODABLE as error:
        raise InputError(path, f"{provider}: {error}; {_NEWER_VERSION}") from None


@cache
def _get_source() -> tuple[Table, Path]:
    """Choose between the two tables: the user's, unless the shipped one is newer.

    A table that the settings name is used whatever its date: who pins prices means it.
    """
    settings = config.get_config()
    path = choose_table_path(settings)
    pinned = settings.prices_table is not None
    shipped = read_table(SHIPPED)
    try:
        if not pinned and not _is_there(path):
            return shipped, SHIPPED
        table = read_table(path)
    except InputError as error:
        _log.warning("cert-otel prices: %s; the table of this version is used", error)
        return shipped, SHIPPED
    return (table, path) if pinned or table.date >= shipped.date else (shipped, SHIPPED)


def get_table() -> Table:
    """Return the table in use."""
    return _get_source()[0]


def get_table_path() -> Path:
    """Return where the table in use is."""
    return _get_source()[1]


@lru_cache(maxsize=64)
def find_provider(provider: str) -> Provider | None:
    """Decode one provider; `None` when the table has none of exactly this id."""
    table, path = _get_source()
    if provider not in table.providers:
        return None
    try:
        return decode_provider(table, provider, path)
    except InputError as error:
        _log.warning("cert-otel prices: %s; its models have no price", error)
        return None


@cache
def get_overrides() -> Overrides:
    """Return the user's own prices, from the file that `CERT_OTEL_PRICES` names."""
    path = config.get_config().prices
    if path is None:
        return NO_OVERRIDES
    try:
        return _read_overrides(path)
    except InputError as error:
        _log.warning("cert-otel prices: %s; no price is overridden", error)
        return NO_OVERRIDES


def _read_overrides(path: str) -> Overrides:
    from cert_otel.pricing._overrides import read_overrides  # noqa: PLC0415 - few have such a file

    return read_overrides(Path(path))


def check_files(settings: config.Config) -> None:
    """Read the files that the settings name.

    Raises:
        InputError: One of them cannot be used.
    """
    if settings.prices is not None:
        _read_overrides(settings.prices)
    path = choose_table_path(settings)
    if settings.prices_table is not None or _is_there(path):
        table = read_table(path)
        for provider in table.providers:
            decode_provider(table, provider, path)


def forget() -> None:
    """Read the files anew when they are next needed."""
    _get_source.cache_clear()
    find_provider.cache_clear()
    get_overrides.cache_clear()


config.on_change(lambda _: forget())
