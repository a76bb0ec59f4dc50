"""Lines to calls: the identity rules of docs/record.md, as pure functions on records.

They take records in any order and return them in one: by timestamp, trace and span. The queries
of `analysis/` state the same rules in SQL.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from cert_otel import semconv
from cert_otel.journal._trace import END_SLACK_US, Trace, find_nested, get_interval_us
from cert_otel.records import EvaluationRecord, Record, encode_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

R = TypeVar("R", Record, EvaluationRecord)

_COUNTED_KINDS: Final = frozenset({"inference", "embedding"})
"""The kinds that carry tokens and cost; of each, one call is one record."""
_CONTEXT_KINDS: Final = frozenset({"function", "chain", "agent"})
"""The kinds whose context may be known only when they end."""


def resolve(records: Iterable[Record], evaluations: Iterable[EvaluationRecord]) -> list[Record]:
    """Apply all rules: fold, mark duplicates, hand context down, join evaluations."""
    return join_evaluations(spread_context(mark_duplicates(fold(records))), evaluations)


def fold(records: Iterable[Record]) -> list[Record]:
    """Keep one record of each span: the latest scored one.

    A record without trace or span id is its own: only its equals are folded into it.
    """
    kept: dict[object, Record] = {}
    for record in records:
        key = _get_key(record) or encode_line(record)
        known = kept.get(key)
        kept[key] = record if known is None else _pick(known, record)
    return _in_order(kept.values())


def mark_duplicates(records: Iterable[Record]) -> list[Record]:
    """Set `duplicate_of` where nested spans are one call, for all but the one that counts.

    Args:
        records: Folded. What is marked already stays as it is and takes no part.
    """
    marked = _in_order(records)
    contest = [r for r in marked if r.kind in _COUNTED_KINDS and r.duplicate_of is None]
    changes = {
        key: {"duplicate_of": counting.span_id}
        for key, counting in _find_duplicates(_find_same_calls(marked, contest)).items()
    }
    return _change(marked, changes)


def spread_context(records: Iterable[Record]) -> list[Record]:
    """Give the context of a function, chain or agent to the last model call of its subtree.

    Args:
        records: Folded, duplicates marked. A call with a context of its own keeps it.
    """
    spread = _in_order(records)
    changes = {key: {"context": source.context} for key, source in find_heirs(spread).items()}
    return _change(spread, changes)


def find_heirs(records: Iterable[Record]) -> dict[tuple[str, str], Record]:
    """Return, by trace and span id, the model calls that inherit a context, and from whom."""
    return {
        (trace_id, span_id): source
        for trace_id, members in _group_by_trace(records).items()
        for span_id, source in _find_heirs(members).items()
    }


def join_evaluations(
    records: Iterable[Record], evaluations: Iterable[EvaluationRecord]
) -> list[Record]:
    """Put results that were written later into the records they are about.

    Of each scorer the latest scored result counts; results of several scorers are laid over
    the record in the order of their timestamps.
    """
    newest: dict[tuple[str, str], dict[str, EvaluationRecord]] = defaultdict(dict)
    for result in evaluations:
        of_span = newest[result.trace_id, result.span_id]
        known = of_span.get(result.scorer)
        of_span[result.scorer] = result if known is None else _pick(known, result)
    joined = _in_order(records)
    changes = {
        key: _lay_over(
            record, sorted(results.values(), key=lambda one: (one.timestamp, one.scorer))
        )
        for record in joined
        if (key := _get_key(record)) is not None and (results := newest.get(key))
    }
    return _change(joined, changes)


def _get_key(record: Record) -> tuple[str, str] | None:
    if record.trace_id and record.span_id:
        return record.trace_id, record.span_id
    return None


def _change(
    records: list[Record], changes: Mapping[tuple[str, str], dict[str, Any]]
) -> list[Record]:
    if not changes:
        return records
    return [
        record if change is None else msgspec.structs.replace(record, **change)
        for record in records
        for change in (changes.get((record.trace_id or "", record.span_id or "")),)
    ]


def _in_order(records: Iterable[Record]) -> list[Record]:
    def order(record: Record) -> tuple[datetime, str, str, bytes]:
        identity = b"" if _get_key(record) else encode_line(record)
        return record.timestamp, record.trace_id or "", record.span_id or "", identity

    return sorted(records, key=order)


def _pick(one: R, other: R) -> R:
    """Choose between two lines about one span; the same whatever their order."""
    rank_of_one, rank_of_other = _rank(one), _rank(other)
    if rank_of_one != rank_of_other:
        return one if rank_of_one > rank_of_other else other
    return max(one, other, key=encode_line)


def _rank(record: Record | EvaluationRecord) -> tuple[int, datetime]:
    if record.score_status is None:
        return 0, record.timestamp
    return (2 if record.score_status == "scored" else 1), record.timestamp


def _group_by_trace(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Group the records that have both ids; a span alone in its trace has no relations."""
    traces: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.trace_id and record.span_id:
            traces[record.trace_id].append(record)
    return {trace_id: members for trace_id, members in traces.items() if len(members) > 1}


def _find_duplicates(pairs: Iterable[tuple[Record, Record]]) -> dict[tuple[str, str], Record]:
    """Return, by its ids, for each record that does not count the one that does."""
    beaten: dict[tuple[str, str], Record] = {}
    for pair in pairs:
        loser, winner = sorted(pair, key=_get_weight)
        key = _get_ids(loser)
        best = beaten.get(key)
        if best is None or _get_weight(winner) > _get_weight(best):
            beaten[key] = winner
    return {key: _follow(winner, beaten) for key, winner in beaten.items()}


def _follow(record: Record, beaten: Mapping[tuple[str, str], Record]) -> Record:
    # Ends, since each winner weighs more than its loser.
    while (key := _get_ids(record)) in beaten:
        record = beaten[key]
    return record


def _get_ids(record: Record) -> tuple[str, str]:
    return record.trace_id or "", record.span_id or ""


def _get_weight(record: Record) -> tuple[bool, datetime, float, str]:
    """Of nested calls the innermost with usage weighs most."""
    return (_has_usage(record), *_get_place(record))


def _get_place(record: Record) -> tuple[datetime, float, str]:
    """Of nested records the inner one comes later: it starts later or, at once, is shorter."""
    return record.timestamp, -(record.latency_ms or 0), record.span_id or ""


def _has_usage(record: Record) -> bool:
    tokens = record.tokens
    return tokens is not None and (tokens.prompt is not None or tokens.completion is not None)


def _find_same_calls(
    records: Iterable[Record], contest: Sequence[Record]
) -> Iterator[tuple[Record, Record]]:
    """Yield the pairs (outer, inner) that are one call."""
    traces = _group_by_trace(records)
    taking_part = {_get_ids(record) for record in contest}
    for trace_id, members in _group_by_trace(contest).items():
        trace = Trace(traces[trace_id])
        for inner in members:
            for outer in trace.find_around(inner):
                if _get_ids(outer) in taking_part and _is_same_call(outer, inner):
                    yield outer, inner
        for group in _group_by_response(members):
            yield from trace.find_contained(group, group)
    for group in _group_by_response(contest):
        nested = find_nested(group) if len({_get_scope(r) for r in group}) > 1 else ()
        yield from (pair for pair in nested if _get_scope(pair[0]) != _get_scope(pair[1]))


def _get_scope(record: Record) -> str:
    """Return who recorded a call; empty for our own instrumentors."""
    return str(record.metadata.get(semconv.SCOPE_NAME) or "")


def _group_by_response(records: Iterable[Record]) -> Iterator[list[Record]]:
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.response_id and _get_key(record) is not None:
            groups[record.kind, record.response_id].append(record)
    return (group for group in groups.values() if len(group) > 1)


def _is_same_call(outer: Record, inner: Record) -> bool:
    """Whether a record and its ancestor are one call: by response id, else by model and time."""
    if outer.kind != inner.kind:
        return False
    if outer.response_id and inner.response_id:
        return outer.response_id == inner.response_id
    models = {outer.model, outer.request_model} - {None}
    return not models.isdisjoint((inner.model, inner.request_model)) and _is_within(outer, inner)


def _is_within(outer: Record, inner: Record) -> bool:
    around, within = get_interval_us(outer), get_interval_us(inner)
    if around is None or within is None:
        return False
    return around[0] <= within[0] and within[1] <= around[1] + END_SLACK_US


def _find_heirs(members: Sequence[Record]) -> dict[str, Record]:
    """Return, by span id, the model calls that inherit a context and the record it comes from."""
    sources = [r for r in members if r.kind in _CONTEXT_KINDS and r.context]
    calls = [r for r in members if r.kind == "inference" and r.duplicate_of is None]
    if not sources or not calls:
        return {}
    last: dict[str, tuple[Record, Record]] = {}
    for source, call in _find_subtrees(Trace(members), sources, calls):
        known = last.get(source.span_id or "")
        if known is None or _get_place(call) > _get_place(known[1]):
            last[source.span_id or ""] = source, call
    # Sources in the order of their start, so that the nearest is the last to be set.
    pairs = sorted(last.values(), key=lambda pair: _get_place(pair[0]))
    return {call.span_id or "": source for source, call in pairs if not call.context}


def _find_subtrees(
    trace: Trace, sources: Sequence[Record], calls: Sequence[Record]
) -> Iterator[tuple[Record, Record]]:
    """Yield the pairs (source, call) of which the call is in the source's subtree."""
    with_context = {record.span_id for record in sources}
    lost: list[Record] = []
    for call in calls:
        above = [source for source in trace.find_around(call) if source.span_id in with_context]
        yield from ((source, call) for source in above)
        if not above:
            lost.append(call)
    by_call: dict[str, list[tuple[Record, Record]]] = defaultdict(list)
    for source, call in trace.find_contained(sources, lost):
        by_call[call.span_id or ""].append((source, call))
    # Two functions that ran at once: which of them the call belongs to, nobody knows.
    yield from (pairs[0] for pairs in by_call.values() if len(pairs) == 1)


def _lay_over(record: Record, results: Sequence[EvaluationRecord]) -> dict[str, Any]:
    """Return the fields that `results`, oldest first, change."""
    evaluations = {evaluation.name: evaluation for evaluation in record.evaluations}
    changes: dict[str, Any] = {}
    for result in results:
        evaluations.update(
            (new.name, new)
            for new in result.evaluations
            if new.score is not None or new.name not in evaluations
        )
        changes |= _get_measured(result)
    changes["evaluations"] = list(evaluations.values())
    last = max(results, key=_rank)
    if last.score_status == "scored" or record.score_status != "scored":
        changes |= {"score_status": last.score_status, "score_reason": last.score_reason}
        if record.trajectory is None:
            changes.setdefault("scorer", last.scorer)
            changes.setdefault("scorer_revision", last.scorer_revision)
    return changes


def _get_measured(result: EvaluationRecord) -> dict[str, Any]:
    """Return what `result` measured; a threshold goes with its confidence."""
    measured: dict[str, Any] = {}
    if result.confidence is not None:
        measured["confidence"] = result.confidence
        measured["threshold"] = result.threshold
        measured["passed"] = result.passed
    if result.trajectory is not None:
        measured["trajectory"] = result.trajectory
        measured["scorer"] = result.scorer
        measured["scorer_revision"] = result.scorer_revision
    return measured
