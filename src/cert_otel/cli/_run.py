"""A run over a backlog: batch by batch, each written before the next is read."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cert_otel.cli._backlog import NO_IDS, write_results
from cert_otel.config import CAPTURE_CONTENT
from cert_otel.errors import InputError
from cert_otel.evaluation.contexts import get_key
from cert_otel.records import NO_CONTENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from cert_otel.cli._backlog import Backlog, Limits, Place
    from cert_otel.evaluation.contexts import Key
    from cert_otel.records import EvaluationRecord


class Run:
    """What makes results, by name and revision, at work on one backlog."""

    def __init__(self, backlog: Backlog, name: str, revision: str) -> None:
        """Find out what is to be done."""
        self.backlog = backlog
        self.name = name
        self.revision = revision
        self.results: dict[Key, EvaluationRecord] = backlog.find_results(name, revision)
        """The newest of each record, of this name and revision."""
        calls = [key for call in backlog.calls if (key := get_key(call)) is not None]
        self.wanted = [key for key in calls if key not in self.results]
        """What has no result yet."""
        self.passed_over = len(calls) - len(self.wanted)
        self.without_ids = sum(backlog.get_reason(c) == NO_IDS for c in backlog.calls)

    def work(
        self,
        judge: Callable[[Sequence[Place]], Sequence[EvaluationRecord]],
        limits: Limits,
        *,
        label: str,
        written: Callable[[Sequence[Place], Sequence[EvaluationRecord]], None] | None = None,
    ) -> None:
        """Make the results that are wanted, and write each batch as it is there.

        Args:
            judge: Makes one result for each record, in order.
            limits: Of a batch.
            label: What is being done, for the progress bar.
            written: Is told of each batch that is safely there.

        Raises:
            InputError: Results could not be written.
        """
        with show_progress(label, len(self.wanted)) as advance:
            for batch in self.backlog.read_batches(self.wanted, limits):
                made = judge(batch)
                write_results(
                    (place.scores, result) for place, result in zip(batch, made, strict=True)
                )
                self.results |= {(one.trace_id, one.span_id): one for one in made}
                if written is not None:
                    written(batch, made)
                advance(len(batch))


def refuse_nothing(path: Path, backlog: Backlog, *, done: str, instead: str = "") -> None:
    """Raise where nothing can be done: a run that does nothing is a mistake in the asking.

    Args:
        path: As the user named it.
        backlog: What was found there.
        done: What is done with content, for instance "scored".
        instead: What to do where there are no ids.
    """
    reasons = [backlog.get_reason(call) for call in backlog.calls]
    if all(reason == NO_IDS for reason in reasons):
        raise InputError(
            path,
            "none of its model calls has trace and span id, by which results are joined to them"
            + instead,
        )
    if all(reason in NO_CONTENT for reason in reasons):
        raise InputError(
            path,
            f"none of its {len(reasons):,} model calls has content, which is what is {done}; run "
            f"the application with {CAPTURE_CONTENT}=SPAN_ONLY (docs/capture.md)",
        )


@contextmanager
def show_progress(label: str, calls: int) -> Iterator[Callable[[int], None]]:
    """Draw a bar on stderr, if that is a terminal; yield what moves it on."""
    progress = Progress(
        TextColumn(label),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with progress:
        task = progress.add_task(label, total=calls)
        yield lambda count: progress.advance(task, count)
