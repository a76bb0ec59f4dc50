"""From the bytes of a request to its answer, whichever protocol brought them."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from cert_otel.errors import InboxError, InboxFullError
from cert_otel.service.inbox import Payload

if TYPE_CHECKING:
    from collections.abc import Callable

    from cert_otel.service.inbox import Encoding, Inbox, Kind
    from cert_otel.service.receiver.counters import Counters, Outcome, Protocol

_logger = logging.getLogger("cert_otel.service")

_RETRY_SOON_S: Final = 1.0
_MAX_TENANT_CHARS: Final = 128


class Answer(NamedTuple):
    """What a sender is told."""

    outcome: Outcome
    message: str = ""
    retry_after_s: float | None = None
    """`None`: for the sender to decide, or never."""
    row: int | None = None
    """Its id in the inbox, when it was accepted."""


FAILED: Final = Answer("unavailable", "the request could not be handled; send it again", 1.0)


class Intake:
    """Puts requests into the inbox, and answers when they are on disk.

    Bytes are not looked into: what is no OTLP is found by whoever reads the inbox, put aside there
    and counted. A sender can do nothing about it, and a collector would drop it on an error.
    """

    def __init__(
        self,
        inbox: Inbox,
        counters: Counters,
        *,
        max_bytes: int,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.max_bytes = max_bytes
        self._inbox = inbox
        self._counters = counters
        self._clock_ns = clock_ns
        self.is_stopping = False
        """Set, everything is answered `unavailable`: senders go elsewhere, or wait."""

    @property
    def is_ready(self) -> bool:
        """Whether requests can be stored; a full inbox is ready to say so."""
        return not self.is_stopping and self._inbox.is_writable

    async def take(
        self, protocol: Protocol, kind: Kind, encoding: Encoding, body: bytes, tenant: str | None
    ) -> Answer:
        """Store a request.

        Returns:
            `accepted` once it is on disk; whatever else, it is not there.
        """
        started_s = time.perf_counter()
        answer = await self._store(kind, encoding, body, tenant)
        self.note(protocol, answer)
        if answer.outcome == "accepted":
            self._counters.count_accepted(kind, len(body), time.perf_counter() - started_s)
        return answer

    def note(self, protocol: Protocol, answer: Answer) -> None:
        """Count an answer."""
        self._counters.count(protocol, answer.outcome)

    async def _store(
        self, kind: Kind, encoding: Encoding, body: bytes, tenant: str | None
    ) -> Answer:
        if self.is_stopping:
            return Answer("unavailable", "the service is stopping", _RETRY_SOON_S)
        if len(body) > self.max_bytes:
            return explain_size(self.max_bytes)
        if not body:
            return Answer("empty")
        payload = Payload(
            kind=kind,
            encoding=encoding,
            body=body,
            tenant=None if tenant is None else tenant[:_MAX_TENANT_CHARS],
            received_ns=self._clock_ns(),
        )
        return await self._append(payload)

    async def _append(self, payload: Payload) -> Answer:
        try:
            row = await asyncio.wrap_future(self._inbox.append(payload))
        except InboxFullError as error:
            return Answer("full", f"the inbox {error.problem}", error.retry_after_s)
        except InboxError as error:
            return Answer("unavailable", f"the inbox {error.problem}", _RETRY_SOON_S)
        except Exception:
            # What a host answers by itself, INTERNAL or 500, makes a collector drop the request.
            _logger.exception("a request could not be stored")
            return FAILED
        return Answer("accepted", row=row)


def explain_size(max_bytes: int) -> Answer:
    """Return the answer to what is too large."""
    return Answer(
        "too_large", f"a request may have {max_bytes:,} bytes, unpacked; send smaller batches"
    )
