"""Whose words a span speaks, and how they read in those of the GenAI conventions.

`translate` finds the dialect of a span by the names of its attributes and rewrites them. A dialect
is a module here with a function that reads one span; docs/dialects.md has the tables. What has
its GenAI name already is left as it is: several dialects on one span complete each other.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from cert_otel import semconv
from cert_otel.wire._record import MARKERS
from cert_otel.wire.dialects import (
    _genai,
    _logfire,
    _openinference,
    _openlit,
    _openllmetry,
    _vercel,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from cert_otel.wire.span import Span

__all__ = ["GENAI", "translate"]

GENAI: Final = "genai"
"""The GenAI conventions, present or former."""
CERT: Final = "cert-otel"
_OPENINFERENCE: Final = "openinference"
_OPENLLMETRY: Final = "openllmetry"
_OPENLIT: Final = "openlit"
_LOGFIRE: Final = "logfire"
_VERCEL: Final = "vercel-ai"

_OI_PREFIXES: Final = (
    "openinference.",
    "llm.input_messages.",
    "llm.token_count.",
    "llm.model_name",
)
_SCOPES: Final = (
    (re.compile(r"cert_otel"), CERT),
    (re.compile(r"openlit\b"), _OPENLIT),
    (re.compile(r"openinference\."), _OPENINFERENCE),
    (re.compile(r"logfire|pydantic-ai"), _LOGFIRE),
    (
        re.compile(r"opentelemetry\.instrumentation\.(genai\b|openai_v2|google_genai|botocore)"),
        GENAI,
    ),
    (re.compile(r"opentelemetry\.instrumentation\.|traceloop"), _OPENLLMETRY),
)
_MAX_PLANS: Final = 2048
_LOGFIRE_MARKS: Final = MARKERS | {semconv.TOOL_NAME, semconv.Logfire.REQUEST}


class _Plan(NamedTuple):
    """How spans with certain attributes are read."""

    dialect: str | None
    """`None` for a span that tells nothing of a model."""
    readers: tuple[Callable[[Span], None], ...]


_plans: dict[tuple[str, ...], _Plan] = {}


def translate(span: Span) -> str | None:
    """Rewrite the attributes of a span to the names of the GenAI conventions.

    Returns:
        The dialect; `None` for a span that is none of ours, which is left as it is.
    """
    names = tuple(span.attributes)
    plan = _plans.get(names) or _add_plan(names)
    if plan.dialect is None:
        return None
    by_scope = _find_by_scope(span.scope) if span.scope else None
    for read in plan.readers:
        read(span)
    if by_scope == _OPENLIT and plan.dialect != _OPENLIT:
        _openlit.read(span)
    if span.events:
        _genai.read_events(span)
    return by_scope if plan.dialect == GENAI and by_scope else plan.dialect


def _add_plan(names: tuple[str, ...]) -> _Plan:
    if len(_plans) >= _MAX_PLANS:
        _plans.clear()
    plan = _plans[names] = _make_plan(frozenset(names))
    return plan


def _make_plan(names: frozenset[str]) -> _Plan:
    found = [(dialect, read) for dialect, speaks, read in _DIALECTS if speaks(names)]
    dialects = [dialect for dialect, _ in found if dialect is not None]
    if not dialects and names.isdisjoint(MARKERS):
        return _Plan(None, ())
    if any(name.startswith("cert.") for name in names):
        dialects.insert(0, CERT)
    return _Plan(next(iter(dialects), GENAI), tuple(read for _, read in found))


@functools.lru_cache(maxsize=256)
def _find_by_scope(scope: str) -> str | None:
    return next((dialect for pattern, dialect in _SCOPES if pattern.match(scope)), None)


def _starts(*prefixes: str) -> Callable[[frozenset[str]], bool]:
    return lambda names: any(name.startswith(prefixes) for name in names)


def _has(*known: str) -> Callable[[frozenset[str]], bool]:
    return lambda names: not names.isdisjoint(known)


_DIALECTS: Final[
    tuple[tuple[str | None, Callable[[frozenset[str]], bool], Callable[[Span], None]], ...]
] = (
    (_VERCEL, _has(semconv.Vercel.OPERATION), _vercel.read),
    (_OPENINFERENCE, _starts(*_OI_PREFIXES), _openinference.read),
    (
        _OPENLLMETRY,
        lambda names: (
            _starts(semconv.OpenLLMetry.PREFIX)(names) or not names.isdisjoint(_openllmetry.NAMES)
        ),
        _openllmetry.read,
    ),
    (_OPENLIT, _has(semconv.OpenLIT.COST), _openlit.read),
    (
        _LOGFIRE,
        lambda names: (
            not names.isdisjoint({semconv.Logfire.COST, *_logfire.AGENT_NAMES})
            or (_starts(semconv.Logfire.PREFIX)(names) and not names.isdisjoint(_LOGFIRE_MARKS))
        ),
        _logfire.read,
    ),
    (None, _starts(*_genai.FLATTENED), _genai.read_flattened),
    (None, _has(*_genai.FORMER_NAMES), _genai.read_former_names),
    (None, _has(semconv.INPUT_MESSAGES, semconv.OUTPUT_MESSAGES), _genai.read_messages),
)
"""Dialect (`None`: of no one in particular), who speaks it, and what reads it; in this order."""
