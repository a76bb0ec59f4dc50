"""What a finished call becomes, worked out when somebody looks.

Price, statistics and metrics are nobody's business until a span is exported or metrics are
collected. Worked out there, for many calls in a row, they take less than half of the processor
time that they take between two requests of an application, and none of its threads waits.

The span ends on time. Its attributes are complete for whoever reads them: the first look, by
whatever processor or exporter, works them out. Everything that the application could still
change was read and made into values before.
"""

from __future__ import annotations

import os
from collections import deque
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.attributes import BoundedAttributes

if TYPE_CHECKING:
    from collections.abc import Callable

    Work = Callable[[dict[str, Any]], Callable[[], object]]

MOST_WAITING: Final = 1_024
"""Calls whose metrics may wait: twice what makes the SDK's processor export."""
_AT_ONCE: Final = 2
"""How many of those beyond are recorded at each call: the backlog shrinks, and none pays for all."""
_LATE: Final = "_cert_otel_late"
_ROOM: Final = 48
"""Attributes that a call may still get: more than there are names of ours."""

_working = RLock()


def _start_anew() -> None:
    global _working  # noqa: PLW0603 - in a fork the lock may be held by a thread that is not there
    _working = RLock()


os.register_at_fork(after_in_child=_start_anew)


class Late:
    """Work on a span's attributes that is done once, by whoever comes first; others wait."""

    __slots__ = ("_fields", "_work")

    def __init__(self, fields: dict[str, Any], work: Work) -> None:
        self._fields = fields
        self._work: Work | None = work

    def settle(self) -> None:
        """Do it, if it has not been done."""
        with _working:
            work, self._work = self._work, None
            if work is None:
                return
            # Outside the lock comes what takes locks of the SDK.
            afterwards = work(self._fields["_dict"])
            self._fields.pop(_LATE, None)
        afterwards()


class LateAttributes(BoundedAttributes):
    """Attributes of a span, of which some are worked out at the first look.

    Every way to read them goes through `_dict`, `__len__` included.
    """

    @property
    def _dict(self) -> dict[str, Any]:
        fields = self.__dict__
        if _LATE in fields:
            fields[_LATE].settle()
        return fields["_dict"]  # type: ignore[no-any-return]

    @_dict.setter
    def _dict(self, value: dict[str, Any]) -> None:
        self.__dict__["_dict"] = value


def put_late(span: Any, known: dict[str, Any], work: Work) -> Late | None:
    """Have the last attributes of a span worked out when somebody looks, after its end.

    Args:
        span: About to be ended.
        known: Attributes that it gets at once.
        work: Adds the others to what it is given, and returns what is to be done afterwards.

    Returns:
        `None`, and nothing is changed, where the span is not one of `_sdk_spans.Pattern`.
    """
    held = getattr(span, "_attributes", None)
    if type(held) is not LateAttributes or span._end_time is not None:  # noqa: SLF001 - of Pattern
        return None
    fields = held.__dict__
    most = held.maxlen
    if most is not None and len(fields["_dict"]) + len(known) + _ROOM > most:
        return None
    fields["_dict"].update(known)
    late = fields[_LATE] = Late(fields, work)
    return late


class Backlog:
    """Calls whose metrics may not have been recorded yet."""

    def __init__(self) -> None:
        self._waiting: deque[Late] = deque()

    def add(self, late: Late) -> None:
        """Let a call wait until its span is read or metrics are collected."""
        self._waiting.append(late)
        if len(self._waiting) > MOST_WAITING:
            for _ in range(_AT_ONCE):
                self._settle_one()

    def settle(self) -> None:
        """Record all."""
        while self._settle_one():
            pass

    def _settle_one(self) -> bool:
        try:
            late = self._waiting.popleft()
        except IndexError:
            return False
        late.settle()
        return True
