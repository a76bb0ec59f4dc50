"""What came lately and may complete what comes now: passages of the same trace, log events.

Spans of one trace reach the service in the order in which they end, over several requests: what
was retrieved comes before the call that used it. Held is what came within the window; what comes
later is joined when the trail is read.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from cert_otel.evaluation.contexts import find_sources, get_key
from cert_otel.wire.details import Details

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cert_otel.evaluation.contexts import Key
    from cert_otel.records import Record
    from cert_otel.wire.span import LogEvent

WINDOW_S: Final = 30.0
MAX_RECORDS: Final = 20_000
"""Of the records that are held, and of the log events; the oldest go first."""
_GIVING: Final = frozenset({"retrieval", "tool", "function", "chain", "agent"})


class RecentSources:
    """The records of the last seconds that answers may rest on."""

    def __init__(self, window_s: float = WINDOW_S, *, max_records: int = MAX_RECORDS) -> None:
        """Hold so many seconds of records, and so many records at most."""
        self._window_s = window_s
        self._max_records = max_records
        self._held: OrderedDict[Key, tuple[float, Record]] = OrderedDict()
        self._traces: dict[str, dict[Key, Record]] = {}

    def add(self, records: Iterable[Record], now_s: float) -> None:
        """Hold what may give a context."""
        for record in records:
            key = get_key(record)
            if key is not None and record.kind in _GIVING:
                self._held[key] = (now_s, record)
                self._held.move_to_end(key)
                self._traces.setdefault(key[0], {})[key] = record
        while self._held and (
            len(self._held) > self._max_records
            or next(iter(self._held.values()))[0] < now_s - self._window_s
        ):
            key, _ = self._held.popitem(last=False)
            del self._traces[key[0]][key]
            if not self._traces[key[0]]:
                del self._traces[key[0]]

    def find(self, calls: Sequence[Record]) -> dict[Key, list[Record]]:
        """Return, for each call that has some, the records that its context may be in."""
        traces = {call.trace_id or "" for call in calls} & self._traces.keys()
        if not traces:
            return {}
        held = {key: one for trace in traces for key, one in self._traces[trace].items()}
        members = [*held.values(), *(call for call in calls if call.trace_id in traces)]
        return {
            key: [held[source] for source in sources if source in held]
            for key, sources in find_sources(members).items()
        }


class RecentDetails:
    """The log events of the last window or two, joined to the records of their spans."""

    def __init__(self, window_s: float = WINDOW_S, *, max_events: int = MAX_RECORDS) -> None:
        """Hold events for so many seconds at least, and twice as many at most; of very many less.

        Args:
            window_s: Of a generation; the last two are held.
            max_events: A generation that has more is the last one.
        """
        self._window_s = window_s
        self._max_events = max_events
        self._held = 0
        self._since_s = 0.0
        self._generations = (Details(), Details())

    def add(self, events: Sequence[LogEvent], now_s: float) -> None:
        """Hold log events."""
        if now_s - self._since_s > self._window_s or self._held >= self._max_events:
            self._since_s, self._held = now_s, 0
            self._generations = (Details(), self._generations[0])
        if events:
            self._held += len(events)
            self._generations[0].add(events)

    def complete(self, record: Record) -> Record:
        """Return the record with what its events add."""
        for details in self._generations:
            record = details.complete(record)
        return record
