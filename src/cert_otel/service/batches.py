"""What is judged at once: texts of like length, as many as a pass of the model takes well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cert_otel.service.judging import Case
    from cert_otel.service.limits import Limits

CHARACTERS_A_TOKEN: Final = 4
"""Of English, roughly: batches need no better estimate."""


def estimate_tokens(case: Case) -> int:
    """Estimate how long a text a scoring model reads for a case."""
    record = case.record
    parts = [str(message) for message in record.input_messages or ()] or [record.input_data or ""]
    return (sum(map(len, parts)) + len(record.output_data or "")) // CHARACTERS_A_TOKEN


def make_batches(cases: Sequence[Case], limits: Limits) -> Iterator[list[int]]:
    """Yield the indexes of each batch, the shortest texts first; a longer one than the limit is alone."""
    lengths = [estimate_tokens(case) for case in cases]
    batch: list[int] = []
    tokens = 0
    for index in sorted(range(len(cases)), key=lengths.__getitem__):
        if batch and (len(batch) >= limits.records or tokens + lengths[index] > limits.tokens):
            yield batch
            batch, tokens = [], 0
        batch.append(index)
        tokens += lengths[index]
    if batch:
        yield batch
