"""The shape of what `CostAnalyzer.summary` answers; JSON types only."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

By = Literal["model", "service", "day", "task"]
"""What a row of the breakdown stands for."""


class TokenCounts(TypedDict):
    """Sums over the records that report them; `None` when none does."""

    prompt: int | None
    completion: int | None
    cache_read: int | None
    cache_write: int | None
    reasoning: int | None


class CostRow(TypedDict):
    """One model, service, day or task; in one currency."""

    model: NotRequired[str | None]
    platform: NotRequired[str | None]
    service: NotRequired[str | None]
    date: NotRequired[str]
    """UTC."""
    task: NotRequired[str | None]
    """Trace id; `None` is a record without one."""
    started: NotRequired[str]
    successful: NotRequired[bool]
    records: int
    cost: float | None
    currency: str | None
    share: float | None
    """Of the total in the same currency, in [0, 1]."""
    unpriced: int
    average_per_call: float | None
    tokens: TokenCounts


class CurrencyTotal(TypedDict):
    """What the priced calls cost in one currency."""

    currency: str | None
    total: float
    records: int


class TopModel(TypedDict):
    """The model that cost most."""

    model: str | None
    platform: str | None
    cost: float
    share: float | None


class ErrorType(TypedDict):
    """Failed calls of one `error_type`."""

    error_type: str | None
    records: int


class Errors(TypedDict):
    """Calls with status `error`."""

    records: int
    by_type: list[ErrorType]


class Embeddings(TypedDict):
    """Embedding calls, which are in no other number."""

    records: int
    total: float | None
    currency: str | None
    unpriced: int


class PeriodEdges(TypedDict):
    """ISO 8601, UTC; `None` is open."""

    since: str | None
    until: str | None


class FileFigures(TypedDict):
    """What one file held, whatever the period."""

    path: str
    formats: dict[str, int]
    """Lines of each format: `record`, `evaluation`, `otlp`, `cert-log`."""
    records: int
    unreadable: int
    earliest: str | None
    latest: str | None


class NamedLine(TypedDict):
    """A line that is not a record, and why."""

    path: str
    line: int
    problem: str


class Unreadable(TypedDict):
    """Lines that are not records; the first of them are named."""

    count: int
    lines: list[NamedLine]


class CostSummary(TypedDict):
    """Everything that `cert costs` prints; only JSON types."""

    total: float | None
    """`None` when nothing is priced, or in several currencies: then `totals` has each."""
    currency: str | None
    totals: list[CurrencyTotal]
    records: int
    unpriced: int
    folded: int
    """Lines that were seen before, or are the same call seen again further out."""
    period: PeriodEdges
    tokens: TokenCounts
    average_per_call: float | None
    """Over the priced calls."""
    per_successful_task: float | None
    """`total` over `successful_tasks`: what the failed ones cost is in it."""
    successful_tasks: int
    tasks: int
    top_model: TopModel | None
    by_model: list[CostRow]
    by_service: NotRequired[list[CostRow]]
    by_day: NotRequired[list[CostRow]]
    by_task: NotRequired[list[CostRow]]
    errors: Errors
    embeddings: Embeddings
    unreadable: Unreadable
    files: list[FileFigures]
