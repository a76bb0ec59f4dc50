"""What of some files is still to be scored or evaluated: found in one pass, read again in batches.

Between the passes memory holds the calls without their texts, so a file may be larger than it.
Every batch of results is written before the next one is read: whoever is killed loses one batch,
and the next run goes on behind it.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

import msgspec

from cert_otel.errors import InputError
from cert_otel.evaluation.contexts import ContextJoin, Key, forget_texts, get_key
from cert_otel.journal import (
    JSONLWriter,
    find_journal_files,
    fold,
    get_scores_path,
    join_evaluations,
    mark_duplicates,
    read_lines,
)
from cert_otel.journal.translation import Translation, list_records
from cert_otel.records import EvaluationRecord, Record, encode_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

NO_IDS: Final = "no_ids"
"""Reason of a call that no result can be written about, for want of trace and span id."""

_CREATED: Final = (os.O_RDWR | os.O_CREAT, 0o600)
_CHARACTERS_A_TOKEN: Final = 4
"""Of English, roughly: batches need no better estimate."""


class Limits(NamedTuple):
    """How much is scored before it is written."""

    records: int
    tokens: int


class Place(NamedTuple):
    """A record with its texts, and where its result goes."""

    record: Record
    scores: Path
    sources: Sequence[Record] = ()
    """What its context may be taken from, if the backlog knows of such records."""


class Backlog:
    """The model calls of some files, each once, and the results that there are for them."""

    kinds: ClassVar = frozenset({"inference"})
    """Records that may be wanted."""

    def __init__(
        self, paths: Sequence[Path], find_skip_reason: Callable[[Record], str | None]
    ) -> None:
        """Read the files.

        Args:
            paths: As for `cert_otel.journal.read_journal`.
            find_skip_reason: Why a record cannot be scored; `None` if it can.

        Raises:
            InputError: There is nothing at a path, or no model call.
        """
        found = {file.resolve(): file for path in paths for file in find_journal_files(path)}
        self.files = list(found.values())
        self.evaluations: list[EvaluationRecord] = []
        self._find_skip_reason = find_skip_reason
        self._readable: set[Key] = set()
        self._reasons: dict[Key, str] = {}
        self._measured_already: list[EvaluationRecord] = []
        slim = [self._look(record) for record, _ in self._read(keep=self.evaluations.append)]
        counted = mark_duplicates(fold(slim))
        self.calls = self._find_calls(counted)
        self._sources = self._find_sources(counted)
        if not self.calls:
            names = ", ".join(map(str, paths))
            raise InputError(
                names, "holds no model call; only those have answers to score or evaluate"
            )

    def _find_calls(self, records: Sequence[Record]) -> list[Record]:
        """Return what gets a result; `records` are folded, and without their texts."""
        return [one for one in records if one.kind == "inference" and one.duplicate_of is None]

    def _find_sources(self, _records: Sequence[Record]) -> Mapping[Key, tuple[Key, ...]]:
        """Return the records that are read together with a call."""
        return {}

    def find_scores(self) -> list[Path]:
        """Return the files of results that there are."""
        beside = (get_scores_path(file) for file in self.files)
        return [path for path in beside if path.exists()]

    def get_reason(self, call: Record) -> str | None:
        """Return why a call cannot be scored; `None` if it can."""
        key = get_key(call)
        if key is None:
            return NO_IDS
        return None if key in self._readable else self._reasons[key]

    def find_results(self, scorer: str, revision: str) -> dict[Key, EvaluationRecord]:
        """Return the results of this scorer and revision, the newest of each record.

        An error is no result: what failed is tried again. What the service or a merge left in the
        record itself is one.
        """
        own = [
            one
            for one in (*self._measured_already, *self.evaluations)
            if (one.scorer, one.scorer_revision) == (scorer, revision)
            and one.score_status in ("scored", "skipped")
        ]
        own.sort(key=lambda one: (one.score_status == "scored", one.timestamp))
        return {(one.trace_id, one.span_id): one for one in own}

    def read_batches(self, wanted: Iterable[Key], limits: Limits) -> Iterator[list[Place]]:
        """Read records again, with their texts: each of `wanted` once, in the order of files."""
        batch: list[Place] = []
        tokens = 0
        for place in self._read_places(wanted):
            batch.append(place)
            tokens += _estimate_tokens(place.record)
            if len(batch) >= limits.records or tokens >= limits.tokens:
                yield batch
                batch, tokens = [], 0
        if batch:
            yield batch

    def _read_places(self, wanted: Iterable[Key]) -> Iterator[Place]:
        left = set(wanted)
        join = ContextJoin(left, self._sources)
        found: dict[Key, Path] = {}
        for record, file in self._read(keep=_drop):
            key = get_key(record)
            if key in left and not self._is_best(record, key):
                continue
            if key is not None and key in left:
                found.setdefault(key, get_scores_path(file))
            yield from _place(join.add(record), found)
        yield from _place(join.get_rest(), found)

    def _look(self, record: Record) -> Record:
        """Note whether a record can be scored, and forget its texts."""
        key = get_key(record)
        if key is not None and record.kind in self.kinds:
            reason = self._find_skip_reason(record)
            if reason is None:
                self._readable.add(key)
            else:
                self._reasons[key] = reason
        measured = _find_measured(record)
        if measured is not None:
            self._measured_already.append(measured)
        return forget_texts(record)

    def _is_best(self, record: Record, key: Key) -> bool:
        """Of several lines about one call, one that has the texts is read."""
        if record.kind not in self.kinds:
            return False
        return key not in self._readable or self._find_skip_reason(record) is None

    def _read(self, keep: Callable[[EvaluationRecord], object]) -> Iterator[tuple[Record, Path]]:
        translation = Translation(self.files)
        for file in self.files:
            for line in translation.read(file):
                for record in list_records(line):
                    if isinstance(record, Record):
                        yield record, file
                    else:
                        keep(record)
        last = next(
            (file for file in reversed(self.files) if not _is_of_results(file)), self.files[-1]
        )
        yield from ((record, last) for record in translation.get_rest())

    def write_merged(self, file: BinaryIO, results: Iterable[EvaluationRecord]) -> int:
        """Write every record with its results in it; return how many records.

        Results whose span has no record here follow as they are.
        """
        by_key: dict[Key, list[EvaluationRecord]] = {}
        for one in (*self.evaluations, *results):
            by_key.setdefault((one.trace_id, one.span_id), []).append(one)
        met: set[Key] = set()
        count = 0
        for record, _ in self._read(keep=_drop):
            key = get_key(record)
            own = by_key.get(key, []) if key else []
            file.write(b"".join(map(encode_line, join_evaluations([record], own))))
            count += 1
            met.update([key] if key else [])
        for key in by_key.keys() - met:
            file.write(b"".join(map(encode_line, by_key[key])))
        return count


def _find_measured(record: Record) -> EvaluationRecord | None:
    """Return what a scorer measured, if it stands in the record."""
    if record.trajectory is None or record.scorer is None or get_key(record) is None:
        return None
    return EvaluationRecord(
        timestamp=record.timestamp,
        trace_id=record.trace_id or "",
        span_id=record.span_id or "",
        scorer=record.scorer,
        scorer_revision=record.scorer_revision,
        trajectory=record.trajectory,
    )


def _place(
    joined: Iterable[tuple[Record, list[Record]]], found: Mapping[Key, Path]
) -> Iterator[Place]:
    for record, sources in joined:
        yield Place(record, found[record.trace_id or "", record.span_id or ""], sources)


def write_results(results: Iterable[tuple[Path, EvaluationRecord]]) -> None:
    """Append results, those of one file in one write.

    Raises:
        InputError: They could not be written.
    """
    lines: dict[Path, list[bytes]] = {}
    for path, result in results:
        lines.setdefault(path, []).append(encode_line(result))
    for path, own in lines.items():
        lost, error = JSONLWriter(path).append(own)
        if error is not None:
            problem = f"{lost} results could not be written: {error.strerror}; what is there stays"
            raise InputError(path, f"{problem}, and the next run goes on behind it")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep a second run from scoring the same file at the same time.

    Raises:
        InputError: There is nothing to read, another run is at it, or results cannot be written.
    """
    next(read_lines(find_journal_files(path)[0]), None)
    with lock_results(path):
        yield


@contextmanager
def lock_results(path: Path) -> Iterator[None]:
    """Keep others from writing results of this journal, which need not be there yet.

    Raises:
        InputError: Another run is at it, or results cannot be written.
    """
    scores = get_scores_path(path)
    try:
        # Not the journal: who rotates it locks it, and the application is not to wait for us.
        descriptor = os.open(*((path, os.O_RDONLY) if path.is_dir() else (scores, *_CREATED)))
    except OSError as error:
        raise InputError(scores, f"cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InputError(
            scores, "another cert score, evaluate or serve is at it; wait for its end"
        ) from None
    try:
        yield
    finally:
        if not path.is_dir() and not os.fstat(descriptor).st_size:
            scores.unlink(missing_ok=True)
        os.close(descriptor)


def _is_of_results(file: Path) -> bool:
    return file.name.endswith(get_scores_path(file).name[len(file.name) :])


def _estimate_tokens(record: Record) -> int:
    messages = len(msgspec.json.encode(record.input_messages or record.input_data))
    return (messages + len(record.output_data or "")) // _CHARACTERS_A_TOKEN


def _drop(_: EvaluationRecord) -> None:
    """Keep no result: those that were there at first count."""
