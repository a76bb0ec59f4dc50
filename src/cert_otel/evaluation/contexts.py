"""What an answer may rest on: the context that was named, or what was retrieved and returned.

A context that the application named (`set_context`, `@trace`) is the ground truth and stands
alone. Without one, the passages are those that retrieval spans of the same trace returned before
the call, and the results of tools that the call was given. Nothing of these is no context. Of more
than `MOST_SOURCES` such records those count that are nearest: first what shares the lowest span
above the call with it, then what is latest before it. So the time that a trace takes grows with its
length, not with the square of it.

Pure. `find_sources` needs no texts, so that a file may be larger than memory: what it is given may
have gone through `forget_texts`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import msgspec

from cert_otel.evaluation.sample import Sample
from cert_otel.journal import find_heirs
from cert_otel.records import ContextItem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cert_otel.records import Record

Key = tuple[str, str]
"""Trace and span id."""

EXPLICIT: Final = "explicit"
RETRIEVAL: Final = "retrieval"
TOOL: Final = "tool"
MOST_SOURCES: Final = 32
"""Records of a trace that one call takes its context from."""
_LEVELS: Final = 100
"""Spans above a record that are looked at; behind them comes the whole trace."""
FUNCTIONS: Final = frozenset({"function", "chain", "agent"})
"""Kinds that may have an answer and a context of their own, without a model call that we see."""

_TEXTS: Final = ("input_data", "output_data", "input_messages", "output_messages", "tools")
_FORGOTTEN: Final = ContextItem(text="")
"""Stands for passages that are read again later."""
_RESULT_TYPE: Final = "tool_call_response"


def get_key(record: Record) -> Key | None:
    """Return by what a result is joined to a record."""
    return (record.trace_id, record.span_id) if record.trace_id and record.span_id else None


def forget_texts(record: Record) -> Record:
    """Return the record without its texts; whether it has passages stays visible."""
    has_passages = record.context or (record.kind == TOOL and record.output_data)
    context = [_FORGOTTEN] if has_passages else None
    return msgspec.structs.replace(record, **dict.fromkeys(_TEXTS), context=context)


def find_answers(records: Sequence[Record]) -> list[Record]:
    """Return the records that are evaluated, each answer once.

    These are the model calls, and functions with a context that have no model call below them:
    of these the function itself is all that was recorded.

    Args:
        records: Folded, duplicates marked.
    """
    calls = [one for one in records if one.kind == "inference" and one.duplicate_of is None]
    above = _find_ancestors(records, calls) | {key for key, _ in _list_heirs(records)}
    functions = [
        one
        for one in records
        if one.kind in FUNCTIONS and one.context and get_key(one) not in above
    ]
    return sorted([*calls, *functions], key=lambda one: (one.timestamp, one.span_id or ""))


def find_sources(records: Sequence[Record]) -> dict[Key, tuple[Key, ...]]:
    """Return, for each model call, the records that it may take its context from.

    Args:
        records: Folded, duplicates marked. A call that is missing in the result has no other
            source than itself.
    """
    sources: dict[Key, tuple[Key, ...]] = {key: (source,) for source, key in _list_heirs(records)}
    for members in _group_by_trace(records):
        givers = _GiverIndex(members)
        for call in members:
            key = _require_key(call)
            if call.kind == "inference" and not call.context and key not in sources:
                sources[key] = givers.find_nearest(call)
    return {key: found for key, found in sources.items() if found}


def make_sample(record: Record, sources: Sequence[Record] = ()) -> Sample:
    """Make of a record what is judged.

    Args:
        record: With its texts.
        sources: The records that `find_sources` named for it, with theirs.
    """
    return Sample(
        answer=record.output_data or "",
        context=tuple(_drop_repeated(_choose_passages(record, sources))),
        question=record.input_data,
        route=record.task_type or record.function or record.service,
        trajectory=record.trajectory,
    )


def list_sources(context: Iterable[ContextItem]) -> list[str]:
    """Return where passages came from, each source once, in their order."""
    return list(dict.fromkeys(item.source or EXPLICIT for item in context))


class ContextJoin:
    """Brings answers and the records that their context is in together, in one pass over a file.

    Memory holds what is not complete yet: records of one trace stand close together.
    """

    def __init__(
        self, wanted: Iterable[Key], sources: Mapping[Key, tuple[Key, ...]] | None = None
    ) -> None:
        """Note what is wanted.

        Args:
            wanted: Answers.
            sources: What `find_sources` returned.
        """
        self._wanted = set(wanted)
        self._sources = sources or {}
        self._users: dict[Key, set[Key]] = defaultdict(set)
        self._missing = {
            key: set(own) for key in self._wanted if (own := self._sources.get(key, ()))
        }
        for key, missing in self._missing.items():
            for source in missing:
                self._users[source].add(key)
        self._answers: dict[Key, Record] = {}
        self._kept: dict[Key, Record] = {}

    def add(self, record: Record) -> Iterator[tuple[Record, list[Record]]]:
        """Take the next record; yield the answers that are complete with it."""
        key = get_key(record)
        if key is None:
            return
        if key in self._wanted:
            self._wanted.discard(key)
            self._answers[key] = record
            if not self._missing.get(key):
                yield self._finish(key)
        if key in self._users and key not in self._kept:
            self._kept[key] = record
            for user in sorted(self._users[key]):
                self._missing[user].discard(key)
                if user in self._answers and not self._missing[user]:
                    yield self._finish(user)

    def get_rest(self) -> Iterator[tuple[Record, list[Record]]]:
        """Yield the answers of which a source did not come; to be asked at the end."""
        for key in list(self._answers):
            yield self._finish(key)

    def _finish(self, key: Key) -> tuple[Record, list[Record]]:
        sources = self._sources.get(key, ())
        found = [self._kept[source] for source in sources if source in self._kept]
        for source in sources:
            self._users[source].discard(key)
            if not self._users[source]:
                del self._users[source]
                self._kept.pop(source, None)
        self._missing.pop(key, None)
        return self._answers.pop(key), found


class _GiverIndex:
    """The records of one trace that give passages, by the spans that they are below."""

    def __init__(self, members: Sequence[Record]) -> None:
        """Sort them in.

        Args:
            members: All records of the trace.
        """
        self._parents = {_require_key(one)[1]: one.parent_span_id for one in members}
        self._givers = sorted(filter(_gives_passages, members), key=lambda one: one.timestamp)
        self._below: dict[str | None, list[int]] = defaultdict(list)
        for place, giver in enumerate(self._givers):
            for span_id in self._climb(giver):
                self._below[span_id].append(place)

    def find_nearest(self, call: Record) -> tuple[Key, ...]:
        """Return the nearest that began before a call, in the order of their times."""
        chosen: set[int] = set()
        for span_id in self._climb(call):
            places = self._below.get(span_id, [])
            end = bisect_right(places, call.timestamp, key=lambda at: self._givers[at].timestamp)
            # Those of the level below are among them: as many more may have to be looked at.
            for place in reversed(places[max(0, end - MOST_SOURCES - len(chosen)) : end]):
                if len(chosen) == MOST_SOURCES:
                    break
                chosen.add(place)
        return tuple(_require_key(self._givers[place]) for place in sorted(chosen))

    def _climb(self, record: Record) -> Iterator[str | None]:
        """Yield the spans above a record, the lowest first, and `None` for the trace."""
        met: set[str] = set()
        span_id = record.parent_span_id
        while span_id is not None and span_id not in met and len(met) < _LEVELS:
            met.add(span_id)
            yield span_id
            span_id = self._parents.get(span_id)
        yield None


def _list_heirs(records: Sequence[Record]) -> list[tuple[Key, Key]]:
    """Return the pairs (function, call) of which the call inherits the function's context."""
    return [(_require_key(source), key) for key, source in find_heirs(records).items()]


def _find_ancestors(records: Iterable[Record], calls: Iterable[Record]) -> set[Key]:
    parents = {_require_key(one): (one.trace_id or "", one.parent_span_id or "") for one in records}
    above: set[Key] = set()
    for call in calls:
        key = parents[_require_key(call)]
        while key in parents and key not in above:
            above.add(key)
            key = parents[key]
    return above


def _choose_passages(record: Record, sources: Sequence[Record]) -> list[ContextItem]:
    if record.context:
        return [_name_source(item, EXPLICIT) for item in record.context]
    named = [item for one in sources if one.kind in FUNCTIONS for item in one.context or ()]
    if named:
        return [_name_source(item, EXPLICIT) for item in named]
    retrieved = [
        _name_source(item, RETRIEVAL)
        for one in sources
        if one.kind == RETRIEVAL
        for item in one.context or ()
    ]
    given = [ContextItem(text=text, source=TOOL) for text in _find_tool_results(record)]
    # What the call was shown of its tools says it better than what they returned at the time.
    returned = given or [
        ContextItem(text=one.output_data, source=TOOL)
        for one in sources
        if one.kind == TOOL and one.output_data
    ]
    return retrieved + returned


def _find_tool_results(record: Record) -> Iterator[str]:
    for message in record.input_messages or ():
        parts = message.get("parts")
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict) and part.get("type") == _RESULT_TYPE:
                # The conventions called it `result` at first.
                text = _show(part.get("response", part.get("result")))
                if text:
                    yield text


def _show(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode()


def _name_source(item: ContextItem, source: str) -> ContextItem:
    return item if item.source else msgspec.structs.replace(item, source=source)


def _drop_repeated(items: Iterable[ContextItem]) -> Iterator[ContextItem]:
    met: set[str] = set()
    for item in items:
        if item.text and item.text not in met:
            met.add(item.text)
            yield item


def _gives_passages(record: Record) -> bool:
    if record.kind == RETRIEVAL:
        return bool(record.context)
    return record.kind == TOOL and bool(record.output_data or record.context)


def _group_by_trace(records: Iterable[Record]) -> Iterator[list[Record]]:
    traces: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if get_key(record) is not None:
            traces[record.trace_id or ""].append(record)
    return (members for members in traces.values() if len(members) > 1)


def _require_key(record: Record) -> Key:
    return record.trace_id or "", record.span_id or ""
