"""One batch before a classifier: pairs of a hypothesis and a window of its context, read by length."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cert_otel.evaluation._sentences import (
    Premise,
    Sentence,
    cut_windows,
    halve,
    join_context,
    split_answer,
)
from cert_otel.evaluation._verdicts import Verdict
from cert_otel.evaluation.sample import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from cert_otel.evaluation._detectors import Detector
    from cert_otel.evaluation.sample import Finding, Sample

QUESTION_TOO_LONG: Final = "question_too_long"
TOO_LONG: Final = "longer_than_window"

_OVERLAP_SHARE: Final = 0.25
"""Of a window that the next one shows again, so that no sentence is seen in halves only."""
_HYPOTHESIS_SHARE: Final = 0.5
"""Of the model's window, at most; a longer hypothesis is judged in parts."""
_SLACK_TOKENS: Final = 8
"""A stretch of a text alone may be some tokens longer than within it."""
_BATCH_TOKENS: Final = 8_192
"""Padding included; enough to read the weights seldom."""
_PLACE: Final = re.compile(r"\{(context|question|answer)\}")


class _Pair(NamedTuple):
    """One hypothesis before one window of the context."""

    owner: int
    hypothesis: Sentence
    start: int
    """Of the window, in the joined context."""
    end: int


class _Reading(NamedTuple):
    """What the model says of one pair."""

    pair: _Pair
    support: float
    """Of a token classifier, that of the least supported token."""
    contradiction: float = 0.0
    tokens: tuple[tuple[int, int, float], ...] = ()
    """Of a token classifier: start, end and support of each, in the answer."""


class Reader:
    """Reads samples with one detector; not for several threads at once."""

    def __init__(self, detector: Detector, template: str, threshold: float) -> None:
        self._detector = detector
        self._template = template
        self._threshold = threshold
        tokenizer: Callable[..., Any] = detector.tokenizer  # typed as if it could not be called
        self._tokenize = partial(tokenizer, truncation=False, verbose=False)

    def measure(self, samples: Sequence[Sample]) -> list[Verdict]:
        """Return what the detector makes of each sample, in order."""
        premises = [join_context(sample.context) for sample in samples]
        outcomes = [
            self._pair_up(owner, sample, premise)
            for owner, (sample, premise) in enumerate(zip(samples, premises, strict=True))
        ]
        pairs = [pair for outcome in outcomes if not isinstance(outcome, str) for pair in outcome]
        readings: dict[int, list[_Reading]] = {}
        too_long = set()
        for pair, reading in zip(pairs, self._read_all(pairs, samples, premises), strict=True):
            if reading is None:
                too_long.add(pair.owner)
            else:
                readings.setdefault(pair.owner, []).append(reading)
        verdicts = []
        for owner, outcome in enumerate(outcomes):
            if isinstance(outcome, str):
                verdicts.append(Verdict(reason=outcome))
            elif owner in too_long:
                verdicts.append(Verdict(reason=TOO_LONG))
            else:
                verdicts.append(self._decide(samples[owner], premises[owner], readings[owner]))
        return verdicts

    def _pair_up(self, owner: int, sample: Sample, premise: Premise) -> list[_Pair] | str:
        """Return what is to be read for a sample, or why it cannot be."""
        answer = sample.answer
        whole = [Sentence(0, len(answer), answer)]
        parts = split_answer(sample) if self._detector.kind == "sequence" else whole
        offsets = self._tokenize(
            premise.text, add_special_tokens=False, return_offsets_mapping=True
        )["offset_mapping"]
        pairs = []
        for part in self._fit(parts):
            frame = self._render(sample, "", part)
            room = self._detector.window - self._count(*frame) - _SLACK_TOKENS
            if room < 1:
                return QUESTION_TOO_LONG
            overlap = int(room * _OVERLAP_SHARE)
            pairs += [
                _Pair(owner, part, start, end)
                for start, end in cut_windows(offsets, room=room, overlap=overlap)
            ]
        return pairs

    def _fit(self, parts: Sequence[Sentence]) -> Iterator[Sentence]:
        limit = int(self._detector.window * _HYPOTHESIS_SHARE)
        for part in parts:
            halves = halve(part) if self._count(part.text) > limit else ()
            yield from self._fit(halves) if halves else (part,)

    def _count(self, *texts: str) -> int:
        return len(self._tokenize(*texts)["input_ids"])

    def _render(self, sample: Sample, premise: str, hypothesis: Sentence) -> tuple[str, ...]:
        """Return the text or the pair of texts that the model reads."""
        values = {
            "context": premise,
            "question": sample.question or "",
            "answer": hypothesis.text,
        }
        text = _PLACE.sub(lambda place: values[place[1]], self._template).strip("\n")
        return (text,) if "{answer}" in self._template else (text, hypothesis.text)

    def _read_all(
        self, pairs: Sequence[_Pair], samples: Sequence[Sample], premises: Sequence[Premise]
    ) -> list[_Reading | None]:
        """Read pairs, in order; `None` for what is longer than the window after all."""
        encodings = [
            self._encode(
                self._render(
                    samples[pair.owner],
                    premises[pair.owner].text[pair.start : pair.end],
                    pair.hypothesis,
                )
            )
            for pair in pairs
        ]
        lengths = [len(encoding["input_ids"]) for encoding in encodings]
        readings: list[_Reading | None] = [None] * len(pairs)
        fitting = [i for i, length in enumerate(lengths) if length <= self._detector.window]
        for batch in _plan(fitting, lengths):
            rows = self._detector.classify([encodings[index] for index in batch])
            for index, row in zip(batch, rows, strict=True):
                readings[index] = self._interpret(pairs[index], encodings[index], row)
        return readings

    def _encode(self, texts: tuple[str, ...]) -> Any:
        return self._tokenize(*texts, return_offsets_mapping=True)

    def _interpret(self, pair: _Pair, encoding: Any, row: Tensor) -> _Reading:
        detector = self._detector
        if detector.kind == "sequence":
            against = detector.contradiction
            return _Reading(
                pair,
                float(row[list(detector.labels)].sum()),
                0.0 if against is None else float(row[against]),
            )
        tokens = tuple(
            (pair.hypothesis.start + start, pair.hypothesis.start + end, 1 - float(p))
            for (start, end), sequence, p in zip(
                encoding["offset_mapping"],
                encoding.sequence_ids(),
                row[:, list(detector.labels)].sum(1).tolist(),
                strict=False,  # the row is padded
            )
            if sequence == 1 and end > start
        )
        return _Reading(pair, min((one[2] for one in tokens), default=1.0), tokens=tokens)

    def _decide(self, sample: Sample, premise: Premise, readings: Sequence[_Reading]) -> Verdict:
        if self._detector.kind == "token":
            return _decide_on_tokens(sample.answer, readings, self._threshold)
        groups: dict[Sentence, list[_Reading]] = {}
        for reading in readings:
            groups.setdefault(reading.pair.hypothesis, []).append(reading)
        best = [max(group, key=lambda one: one.support) for group in groups.values()]
        evidence = tuple(
            _point_at(reading, groups[reading.pair.hypothesis], premise)
            for reading in best
            if reading.support < self._threshold
        )
        return Verdict(score=_clip(min(one.support for one in best)), evidence=evidence)


def _plan(indices: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield batches of texts of like length, longest first."""
    batch: list[int] = []
    for index in sorted(indices, key=lambda index: (-lengths[index], index)):
        if batch and (len(batch) + 1) * lengths[batch[0]] > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _point_at(best: _Reading, group: Sequence[_Reading], premise: Premise) -> Evidence:
    against = max(group, key=lambda one: one.contradiction)
    contradicted = against.contradiction > max(best.support, 1 - against.contradiction)
    finding: Finding = "contradicted" if contradicted else "missing"
    looked_at = (against if contradicted else best).pair
    item, start, end = premise.find_item(looked_at.start, looked_at.end) or (None, None, None)
    return Evidence(
        start=best.pair.hypothesis.start,
        end=best.pair.hypothesis.end,
        kind="span",
        finding=finding,
        context_item=item,
        context_start=start,
        context_end=end,
    )


def _decide_on_tokens(answer: str, readings: Sequence[_Reading], threshold: float) -> Verdict:
    support: dict[tuple[int, int], float] = {}
    for reading in readings:
        for start, end, value in reading.tokens:
            support[start, end] = max(value, support.get((start, end), 0.0))
    if not support:
        return Verdict(reason="no_tokens")
    spans: list[list[int]] = []
    joins = False
    for (start, end), value in sorted(support.items()):
        if value >= threshold:
            joins = False
        elif joins:
            spans[-1][1] = end
        else:
            spans.append([start, end])
            joins = True
    evidence = tuple(_mark(answer, start, end) for start, end in spans)
    return Verdict(score=_clip(min(support.values())), evidence=evidence)


def _mark(answer: str, start: int, end: int) -> Evidence:
    raw = answer[start:end]
    begin = start + len(raw) - len(raw.lstrip())
    return Evidence(start=begin, end=max(begin, start + len(raw.rstrip())), kind="span")


def _clip(score: float) -> float:
    """Undo what rounding adds beyond 0 and 1."""
    return min(max(score, 0.0), 1.0)
