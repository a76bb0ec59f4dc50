"""Which records are judged, and why the others are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cert_otel.service.batches import estimate_tokens
from cert_otel.service.judging import Case, find_reason
from cert_otel.service.limits import Limits
from cert_otel.service.recent import WINDOW_S
from cert_otel.service.sampling import is_sampled

if TYPE_CHECKING:
    from cert_otel.records import Record


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What is judged, and what is only recorded."""

    sample: float = 1.0
    """Share of traces."""
    max_tokens: int = 131_072
    """Longer texts are `skipped(too_long)`, by estimate."""
    max_age_s: float | None = None
    """What waited longer is `skipped(expired)`; `None` never expires."""
    shed_above_bytes: int | None = None
    """With a larger backlog, what is read is `skipped(shed)` until it is half of that."""
    window_bytes: int = 8 * 2**20
    """Of payloads that are read at once."""
    join_window_s: float = WINDOW_S
    """How long passages wait for the call that used them."""
    dedupe_window_s: float = 24 * 3600
    """How long copies are known for what they are."""
    limits: Limits = Limits()


class Triage:
    """A policy at work; it remembers whether it sheds."""

    def __init__(self, policy: Policy) -> None:
        """Begin without shedding."""
        self._policy = policy
        self._is_shedding = False

    def note_backlog(self, waiting_bytes: int) -> None:
        """Begin to shed above the limit, and end at half of it."""
        limit = self._policy.shed_above_bytes
        if limit is not None:
            self._is_shedding = waiting_bytes > (limit // 2 if self._is_shedding else limit)

    def find_reason(self, record: Record, age_s: float) -> str | None:
        """Return why a record that waited so long is not judged; `None` if it is."""
        policy = self._policy
        reason = find_reason(record)
        if reason is not None:
            return reason
        if not is_sampled(record.trace_id, policy.sample):
            return "sampled_out"
        if policy.max_age_s is not None and age_s > policy.max_age_s:
            return "expired"
        if self._is_shedding:
            return "shed"
        return "too_long" if estimate_tokens(Case(record)) > policy.max_tokens else None
