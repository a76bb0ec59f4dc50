"""Span annotations of Arize Phoenix, by its REST API: each is offered until Phoenix has its span.

A span and its scores come to Phoenix by different ways, and the span may be the later one, or never
come. So what waits for its span holds up nothing that is scored after it; it holds the cursor, which
moves on when Phoenix has taken it, or after `PATIENCE_S`.
"""

from __future__ import annotations

import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import httpx2

from cert_otel.service.outbox.results import list_all
from cert_otel.service.outbox.senders import TIMEOUT_S, RejectedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cert_otel.records import Record
    from cert_otel.service.outbox.cursor import Progress
    from cert_otel.service.outbox.results import Result
    from cert_otel.service.trail import Position

PATIENCE_S: Final = 600.0
"""How long a result waits for its span; as long as Phoenix itself keeps one in memory for it."""
RETRY_S: Final = 10.0
"""Between two offers of what waits."""
MAX_WAITING: Final = 10_000
"""Annotations that wait; beyond it the oldest are given up."""
_AT_ONCE: Final = 500
"""Of what waits, in one request."""
_ANNOTATIONS: Final = "/v1/span_annotations"
_REJECTED: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
)
_SPAN_ID: Final = re.compile(r"\b[0-9a-f]{16}\b")

Annotation = dict[str, Any]


class PhoenixSender:
    """Phoenix's address for annotations."""

    def __init__(self, endpoint: str, *, headers: Mapping[str, str] | None = None) -> None:
        """Set up with the address of its web page."""
        self._url = endpoint.rstrip("/") + _ANNOTATIONS
        self._client = httpx2.Client(headers=dict(headers or {}), timeout=TIMEOUT_S)

    def send(self, annotations: Sequence[Annotation]) -> frozenset[str]:
        """Send annotations, and return when they are stored.

        Returns:
            Ids of the spans that Phoenix does not have: what is about them is not stored.

        Raises:
            UnavailableError: None was.
            RejectedError: None ever will be.
        """
        unknown: frozenset[str] = frozenset()
        while known := [one for one in annotations if one["span_id"] not in unknown]:
            missing = self._post(known)
            if not missing:
                break
            unknown |= missing
        return unknown

    def _post(self, annotations: Sequence[Annotation]) -> frozenset[str]:
        """Store all, or return the ids of the spans for want of which nothing was stored."""
        try:
            # Not `sync`, it would say yes before it has looked for the spans, and forget at a restart.
            response = self._client.post(
                self._url, params={"sync": "true"}, json={"data": list(annotations)}
            )
        except httpx2.HTTPError as error:
            raise UnavailableError(self._url, type(error).__name__) from None
        if response.is_success:
            return frozenset()
        if response.status_code == HTTPStatus.NOT_FOUND:
            named = frozenset(_SPAN_ID.findall(response.text))
            if missing := named & {one["span_id"] for one in annotations}:
                return missing
        kind = RejectedError if response.status_code in _REJECTED else UnavailableError
        raise kind(self._url, f"HTTP {response.status_code}")

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


class _Waiting(NamedTuple):
    """An annotation whose span Phoenix does not have."""

    annotation: Annotation
    position: Position
    """Of the cursor when it was read."""
    since_s: float


class PhoenixDestination:
    """Sends an annotation for each result."""

    name = "phoenix"

    def __init__(
        self,
        sender: PhoenixSender,
        find_resource: Callable[[str], dict[str, Any] | None],
        *,
        max_waiting: int = MAX_WAITING,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Say how they leave."""
        self._sender = sender
        self._find_resource = find_resource
        self._max_waiting = max_waiting
        self._clock_s = clock_s
        self._waiting: dict[str, _Waiting] = {}
        """By identifier, those that wait longest first."""
        self._next_s = 0.0

    def send(
        self, records: Sequence[tuple[Record, str | None]], progress: Progress
    ) -> dict[str, list[float]]:
        """Send the results of these records; what is about unknown spans begins to wait."""
        annotations = [make_annotation(one) for one in list_all(records, self._find_resource)]
        unknown = self._sender.send(annotations)
        now_s = self._clock_s()
        if not self._waiting:
            self._next_s = now_s + RETRY_S
        for one in annotations:
            if one["span_id"] in unknown:
                waiting = _Waiting(one, progress.position, now_s)
                self._waiting.setdefault(one["identifier"], waiting)
        return progress.totals

    def settle(self) -> tuple[Position | None, int]:
        """Offer again what waits, if it is time."""
        now_s = self._clock_s()
        before = len(self._waiting)
        settled = 0
        if now_s >= self._next_s:
            self._next_s = now_s + RETRY_S
            settled = sum(map(self._offer, _slice(list(self._waiting.values()))))
        for identifier in list(self._list_hopeless(now_s)):
            del self._waiting[identifier]
        held = min((one.position for one in self._waiting.values()), default=None)
        return held, before - settled - len(self._waiting)

    def _offer(self, waiting: Sequence[_Waiting]) -> int:
        """Send; return how many were stored. They wait no more, nor does what is refused for good."""
        annotations = [one.annotation for one in waiting]
        try:
            unknown = self._sender.send(annotations)
        except RejectedError:
            unknown, stored = frozenset[str](), 0
        else:
            stored = sum(one["span_id"] not in unknown for one in annotations)
        for one in annotations:
            if one["span_id"] not in unknown:
                del self._waiting[one["identifier"]]
        return stored

    def _list_hopeless(self, now_s: float) -> Iterator[str]:
        surplus = len(self._waiting) - self._max_waiting
        for number, (identifier, one) in enumerate(self._waiting.items()):
            if number < surplus or now_s - one.since_s >= PATIENCE_S:
                yield identifier


def _slice(waiting: Sequence[_Waiting]) -> Iterator[Sequence[_Waiting]]:
    for first in range(0, len(waiting), _AT_ONCE):
        yield waiting[first : first + _AT_ONCE]


def make_annotation(result: Result) -> Annotation:
    """Make of a result what Phoenix takes; its identifier makes a copy replace the first one."""
    judged = {
        "label": result.label if result.error_type is None else result.error_type,
        "score": result.score,
        "explanation": result.explanation,
    }
    return {
        "span_id": result.span_id,
        "name": result.name,
        "annotator_kind": "CODE",
        "result": {name: value for name, value in judged.items() if value is not None},
        "metadata": result.attributes,
        "identifier": result.uid,
    }
