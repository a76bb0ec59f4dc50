"""The form of a rate table, and which model of it a name means.

Each provider stays undecoded until it is first asked for. scripts/compile_prices.py and
`cert prices update` write tables with the structs below; the user's own prices have their form
too.
"""

from __future__ import annotations

import re
from datetime import date  # noqa: TC003 - msgspec resolves the annotations at run time
from typing import Annotated, Final, NamedTuple

import msgspec

STANDARD: Final = "standard"
_STANDARD_TIERS: Final = frozenset({"", "auto", "default", "on_demand", "standard_only"})
"""What providers call their standard tier. Any other name is that of a mode of the table."""

UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises for what is no JSON, or not of the form."""

Rate = Annotated[float, msgspec.Meta(ge=0)]


class Match(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A rule on a lower-case model name: it holds when any of its parts does."""

    equals: tuple[str, ...] = ()
    starts_with: tuple[str, ...] = ()
    ends_with: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()
    regex: tuple[str, ...] = ()
    every: tuple[Match, ...] = ()
    """One part that holds when all of these do."""

    def is_match(self, name: str) -> bool:
        """Tell whether the rule holds for a lower-case name."""
        return (
            name in self.equals
            or name.startswith(self.starts_with)
            or name.endswith(self.ends_with)
            # Most rules have none of these: asking that first halves the search for a name.
            or bool(self.contains and any(part in name for part in self.contains))
            or bool(self.regex and any(re.search(pattern, name) for pattern in self.regex))
            or bool(self.every and all(rule.is_match(name) for rule in self.every))
        )


class Row(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """Rates per million tokens, and when they hold: all three conditions together."""

    since: date | None = None
    """First day, UTC."""
    from_second: Annotated[int, msgspec.Meta(ge=0, lt=86_400)] = 0
    """Second of the day, UTC."""
    above_tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Holds for calls with more input tokens than this."""
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] = "USD"
    """ISO 4217, of all rates of the row."""

    input: Rate | None = None
    cache_read: Rate | None = None
    cache_write: Rate | None = None
    cache_write_1h: Rate | None = None
    input_audio: Rate | None = None
    cache_read_audio: Rate | None = None
    input_image: Rate | None = None
    cache_read_image: Rate | None = None
    input_video: Rate | None = None
    output: Rate | None = None
    output_audio: Rate | None = None
    output_image: Rate | None = None
    output_video: Rate | None = None
    output_reasoning: Rate | None = None
    web_searches: Rate | None = None
    """For a thousand, as the two below."""
    file_searches: Rate | None = None
    code_executions: Rate | None = None
    fee: bool = False
    """Each call is also billed for something that is neither a token nor a tool's use."""


_CONDITIONS: Final = frozenset({"since", "from_second", "above_tokens", "currency", "fee"})
RATES: Final = tuple(name for name in Row.__struct_fields__ if name not in _CONDITIONS)
PER_THOUSAND: Final = frozenset({"web_searches", "file_searches", "code_executions"})
"""Rates that are not for a million tokens."""


class Model(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """One model of one provider."""

    id: str
    match: Match
    standard: tuple[Row, ...] = ()
    """Among the rows whose conditions hold, the last one counts."""
    modes: dict[str, tuple[Row, ...]] = {}
    """The same for `batch`, `flex`, `priority` and `fast`, where the model has such prices."""


class Provider(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """The models of a provider; the first that matches counts."""

    fallbacks: tuple[str, ...] = ()
    """Providers whose models this one resells at their standard prices."""
    models: tuple[Model, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """The file."""

    generated: str
    version: str
    date: date
    model_count: int
    providers: dict[str, msgspec.Raw]


class Overrides(NamedTuple):
    """The user's own prices."""

    version: str
    """Goes into `cert.cost.pricing_version`: the file's name, and a hash of its content."""
    providers: dict[str, Provider]
    """By the id of a price list, or by host or host and port, in lower case."""


NO_OVERRIDES: Final = Overrides("", {})


def find_own(provider: Provider | None, name: str) -> Model | None:
    """Find the first model of a provider whose rule holds for a lower-case name."""
    if provider is None:
        return None
    return next((model for model in provider.models if model.match.is_match(name)), None)


def name_tier(tier: str | None) -> str:
    """Return the mode of the table that a service tier is."""
    name = (tier or "").lower()
    return STANDARD if name in _STANDARD_TIERS else name
