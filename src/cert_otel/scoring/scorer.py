"""Scoring a backlog: every figure of every answer by one forward pass over packed texts."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np
import torch

from cert_otel.scoring import hidden, reduction
from cert_otel.scoring.onsets import find_onsets
from cert_otel.scoring.packing import plan_packs, split_text
from cert_otel.scoring.prompts import encode, leave_out_context
from cert_otel.scoring.token_scores import concatenate, summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cert_otel.records import ScoreStatus
    from cert_otel.scoring.hidden import StepVectors, Sums
    from cert_otel.scoring.networks import LoadedModel
    from cert_otel.scoring.packing import Pack, Piece
    from cert_otel.scoring.prompts import Encoded, Sample, Span
    from cert_otel.scoring.reduction import Reduction
    from cert_otel.scoring.token_scores import AnswerScore, TokenScores

CPU_BUDGET: Final = 2_048
"""Tokens a pass: enough to read the weights seldom, few enough for the caches."""
CUDA_BUDGET: Final = 16_384
OVERLAP_SHARE: Final = 0.5
"""Of the model's window: what a later piece of a long text sees before its first scored token."""

_ALLOCATION: Final = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "could not create a primitive",
    "could not create a memory",
)
"""How torch says it; the last two are oneDNN's, whose routines are compiled when first needed."""

_STATUS: Final[dict[str, ScoreStatus]] = {
    "cancelled": "skipped",
    "deadline": "skipped",
    "out_of_memory": "error",
}

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """What became of one sample; `score` and `tokens` are there if `status` is `scored`."""

    status: ScoreStatus
    reason: str | None = None
    """Of an error or a skip: `empty_completion`, `deadline`, `cancelled`, `out_of_memory`, …"""
    score: AnswerScore | None = None
    tokens: TokenScores | None = None
    vectors: StepVectors | None = None
    """Of question and steps, where they are asked for and there is a question."""
    offsets: tuple[Span, ...] = ()
    """The characters of the completion that each token covers; empty if unknown."""
    form: str | None = None
    """`chat` or `joined`: how prompt and completion were put together."""
    form_reason: str | None = None
    pieces: int = 1
    """Passes the text took; more than 1 where it is longer than the model's window."""
    cut_tokens: int = 0
    """Tokens on the left that the first scored token did not see, for want of window."""
    unscored_tokens: int = 0
    """Tokens of the completion that nothing precedes, so that nothing predicts them."""


class _Figures(NamedTuple):
    """What a pass says of one piece."""

    tokens: TokenScores
    sums: Sums | None


class TokenScorer:
    """Scores samples with one model; not for several threads at once."""

    def __init__(
        self,
        model: LoadedModel,
        *,
        budget: int | None = None,
        max_tokens: int | None = None,
        share: bool = True,
        embed_steps: bool = False,
        reduce: Reduction = reduction.reduce_tokens,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up.

        Args:
            model: Ready to read.
            budget: Tokens a pass; else what suits the device.
            max_tokens: Longest text that is read at once, at most the model's window.
            share: Compute common beginnings once.
            embed_steps: Give the vectors of question and steps as well, out of the same pass.
            reduce: How states become figures.
            clock: In seconds; deadlines are readings of it.
        """
        self.model = model
        self.window = min(max_tokens or model.window, model.window)
        self.budget = budget or (CUDA_BUDGET if model.device.type == "cuda" else CPU_BUDGET)
        self.share = share
        self.embed_steps = embed_steps
        self._reduce = reduce
        self._clock = clock
        self._on_cpu: LoadedModel | None = None

    def score(
        self,
        samples: Sequence[Sample],
        *,
        deadline: float | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> list[Result]:
        """Score samples: one result each, in their order, whatever happens to single ones.

        Args:
            samples: Of any length; one that is longer than the window takes several passes. One
                with a context is read a second time without it, in the same packs.
            deadline: A reading of the clock. No pass begins after it; what is not done by
                then is skipped.
            is_cancelled: Asked before each pass.
        """
        bare = [_find_bare(sample) for sample in samples]
        texts = [*samples, *(one for one in bare if one is not None)]
        results = self._score(texts, deadline, is_cancelled)
        others = iter(results[len(samples) :])
        return [
            result if one is None else _add_gain(result, next(others))
            for result, one in zip(results, bare, strict=False)  # the others follow
        ]

    def _score(
        self,
        samples: Sequence[Sample],
        deadline: float | None,
        is_cancelled: Callable[[], bool],
    ) -> list[Result]:
        encoded = self._encode(samples)
        pieces = [
            piece
            for owner, text in enumerate(encoded)
            if not isinstance(text, Exception)
            for piece in self._split(owner, text, samples[owner].completion)
        ]
        parts: dict[int, _Figures | str] = {}
        for pack in self._plan(pieces):
            stop = self._find_stop(deadline, is_cancelled)
            outcome = _fail(pack, stop) if stop else self._run(pack, self.model)
            for piece, figures in outcome:
                parts[id(piece)] = figures
        return [
            _to_result(sample, text, own, [parts[id(piece)] for piece in own])
            for sample, text, own in zip(
                samples, encoded, _group(pieces, len(samples)), strict=True
            )
        ]

    def _encode(self, samples: Sequence[Sample]) -> list[Encoded | Exception]:
        try:
            return list(encode(self.model.tokenizer, samples))
        except Exception:  # a host boundary: one sample that no tokenizer takes is one error
            _logger.debug("encoding the samples one by one", exc_info=True)
        return [self._encode_one(sample) for sample in samples]

    def _encode_one(self, sample: Sample) -> Encoded | Exception:
        try:
            return encode(self.model.tokenizer, [sample])[0]
        except Exception as problem:  # noqa: BLE001 - see _encode
            return problem

    def _split(self, owner: int, text: Encoded, completion: str) -> list[Piece]:
        overlap = int(self.window * OVERLAP_SHARE)
        pieces = split_text(owner, text.ids, text.scored_from, window=self.window, overlap=overlap)
        return hidden.attach_groups(pieces, text, completion) if self.embed_steps else pieces

    def _plan(self, pieces: Sequence[Piece]) -> Iterator[Pack]:
        if self.model.packs:
            return plan_packs(pieces, budget=self.budget, share=self.share)
        return plan_packs(pieces, budget=1, share=False)

    def _find_stop(self, deadline: float | None, is_cancelled: Callable[[], bool]) -> str | None:
        if is_cancelled():
            return "cancelled"
        return "deadline" if deadline is not None and self._clock() >= deadline else None

    def _run(self, pack: Pack, model: LoadedModel) -> Iterator[tuple[Piece, _Figures | str]]:
        """Yield the figures of each piece; short of memory by halves, then on the CPU."""
        try:
            figures = self._read(pack, model)
        except (RuntimeError, MemoryError) as problem:
            if not _is_allocation(problem):
                raise
            figures = None
        if figures is not None:
            yield from zip(pack.pieces, figures, strict=True)
            return
        if model.device.type == "cuda":
            torch.cuda.empty_cache()
        for half in pack.halves():
            yield from self._run(half, model)
        if len(pack.pieces) == 1:
            other = self._find_cpu(model)
            yield from self._run(pack, other) if other else _fail(pack, "out_of_memory")

    def _read(self, pack: Pack, model: LoadedModel) -> list[_Figures]:
        sums: Sequence[Sums | None] = [None] * len(pack.pieces)
        with torch.inference_mode():
            if self.embed_steps:
                tokens = model.read_tokens(pack)
                sums = hidden.add_up(tokens, pack)
                states = tokens[torch.from_numpy(pack.rows).to(tokens.device)]
            else:
                states = model.read(pack)
            targets = torch.from_numpy(pack.targets).to(states.device)
            scores = self._reduce(states, model.head, targets)
        return list(map(_Figures, _cut(scores, pack), sums))

    def _find_cpu(self, model: LoadedModel) -> LoadedModel | None:
        if model.device.type == "cpu":
            return None
        if self._on_cpu is None:
            self._on_cpu = self.model.on_cpu()
        return self._on_cpu


def _find_bare(sample: Sample) -> Sample | None:
    try:
        return leave_out_context(sample)
    except Exception:  # a host boundary: the sample itself is one error, when it is encoded
        _logger.debug("no messages that could be read", exc_info=True)
        return None


def _add_gain(result: Result, without: Result) -> Result:
    """Return a result with what the context gave; as it is where one of both was not scored."""
    if result.score is None or without.score is None:
        return result
    if result.score.nll_mean is None or without.score.nll_mean is None:
        return result
    gain = without.score.nll_mean - result.score.nll_mean
    return replace(result, score=msgspec.structs.replace(result.score, context_gain=gain))


def _is_allocation(problem: Exception) -> bool:
    if isinstance(problem, MemoryError | torch.OutOfMemoryError):
        return True
    return any(sign in str(problem) for sign in _ALLOCATION)


def _fail(pack: Pack, reason: str) -> Iterator[tuple[Piece, str]]:
    return ((piece, reason) for piece in pack.pieces)


def _cut(scores: TokenScores, pack: Pack) -> list[TokenScores]:
    ends = np.cumsum([0, *(piece.scored for piece in pack.pieces)])
    return [scores[begin:end] for begin, end in pairwise(ends)]


def _group(pieces: Sequence[Piece], owners: int) -> list[list[Piece]]:
    groups: list[list[Piece]] = [[] for _ in range(owners)]
    for piece in pieces:
        groups[piece.owner].append(piece)
    return groups


def _to_result(
    sample: Sample,
    text: Encoded | Exception,
    pieces: Sequence[Piece],
    parts: Sequence[_Figures | str],
) -> Result:
    if isinstance(text, Exception):
        return Result(status="error", reason=f"tokenizer: {type(text).__name__}: {text}")
    made = partial(
        Result,
        form=text.form,
        form_reason=text.reason,
        pieces=len(pieces),
        cut_tokens=text.scored_from - pieces[0].scored_from if pieces else 0,
        unscored_tokens=text.unscored,
    )
    if not pieces:
        return made(status="skipped", reason="empty_completion")
    reasons = [part for part in parts if isinstance(part, str)]
    if reasons:
        return made(status=_STATUS[reasons[0]], reason=reasons[0])
    figures = [part for part in parts if not isinstance(part, str)]
    tokens = concatenate([part.tokens for part in figures])
    if not tokens.is_finite():
        return made(status="error", reason="not_finite")
    score = summarise(tokens, onsets=find_onsets(sample.completion, text.offsets))
    vectors = hidden.join(pieces, [part.sums for part in figures])
    return made(status="scored", score=score, tokens=tokens, vectors=vectors, offsets=text.offsets)
