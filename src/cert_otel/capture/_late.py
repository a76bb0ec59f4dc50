"""What a finished call becomes, worked out when somebody looks.

Price, statistics and metrics are nobody's business until a span is exported or metrics are
collected. Worked out there, for many calls in a row, they keep no thread of the application
waiting, and find the processor's caches warm.

The span ends on time. Its attributes are complete for whoever reads them: the first look, by
whatever processor or exporter, works them out. Everything that the application could still
change was read and made into values before.
"""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import Any, Final, Protocol

from opentelemetry.attributes import BoundedAttributes

from cert_otel.capture import _finalisers

MOST_WAITING: Final = 1_024
"""Calls whose metrics may wait while nobody reads their spans: twice what the SDK exports at once."""
_AT_ONCE: Final = 2
"""How many are recorded at each look, and at each call beyond: none pays for all."""
_PATIENCE_S: Final = 5.0
"""How long a collection waits for who is recording at the moment."""
_LATE: Final = "_cert_otel_late"
_ROOM: Final = 72
"""Attributes that a call may still get: more than any has."""


class Late(Protocol):
    """A finished call that has yet to become something."""

    def complete(self, attributes: dict[str, Any]) -> None:
        """Add the attributes that are missing. May run again, and in several threads at once."""
        ...

    def record(self) -> None:
        """Record the metrics; called once."""
        ...


class LateAttributes(BoundedAttributes):
    """Attributes of a span, of which some are worked out at the first look.

    Every way to read them goes through `_dict`, `__len__` included. There is no lock: whoever
    comes before it is done does it for itself, and leaves the whole in the place of the part. So
    nobody waits for anybody, a look from within a look included, and none sees half.
    """

    @property
    def _dict(self) -> dict[str, Any]:
        fields = self.__dict__
        late: Late | None = fields.get(_LATE)
        if late is None:
            return fields["_dict"]  # type: ignore[no-any-return]
        whole = dict(fields["_dict"])
        late.complete(whole)
        fields["_dict"] = whole
        fields.pop(_LATE, None)
        return whole

    @_dict.setter
    def _dict(self, value: dict[str, Any]) -> None:
        self.__dict__["_dict"] = value


def put_late(span: Any, known: dict[str, Any], late: Late) -> bool:
    """Have the last attributes of a span worked out when somebody looks, after its end.

    Args:
        span: About to be ended.
        known: Attributes that it gets at once.
        late: Knows the others.

    Returns:
        `False`, and nothing is changed, where the span is not one of `_sdk_spans.Pattern`.
    """
    held = getattr(span, "_attributes", None)
    if type(held) is not LateAttributes or span._end_time is not None:  # noqa: SLF001 - of Pattern
        return False
    fields = held.__dict__
    most = held.maxlen
    if most is not None and len(fields["_dict"]) + len(known) + _ROOM > most:
        return False
    fields["_dict"].update(known)
    fields[_LATE] = late
    return True


class Backlog:
    """Calls whose metrics have not been recorded yet.

    They are, two at each look at a span, and all before metrics are collected. Only who collects
    waits for another; a thread of the application never does.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._waiting: deque[Late] = deque()
        self._recording = Lock()
        self._fork_generation = _finalisers.fork_generation

    def _leave_to_parent(self) -> None:
        """Begin anew in a fork, where the lock may be held by a thread that is not there."""
        if self._fork_generation != _finalisers.fork_generation:
            self._begin()

    def add(self, late: Late) -> None:
        """Let a call wait."""
        self._leave_to_parent()
        self._waiting.append(late)
        if len(self._waiting) > MOST_WAITING:
            self.record_some()

    def record_some(self) -> None:
        """Record a few, unless somebody is at it."""
        self._leave_to_parent()
        if not self._recording.acquire(blocking=False):
            return
        try:
            for _ in range(_AT_ONCE):
                if not self._record_one():
                    return
        finally:
            self._recording.release()

    def record_all(self) -> None:
        """Record all, and return when none is under way."""
        self._leave_to_parent()
        is_ours = self._recording.acquire(timeout=_PATIENCE_S)
        try:
            while self._record_one():
                pass
        finally:
            if is_ours:
                self._recording.release()

    def _record_one(self) -> bool:
        try:
            late = self._waiting.popleft()
        except IndexError:
            return False
        late.record()
        return True
