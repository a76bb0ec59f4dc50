"""From what a backend answered to what a monitor answers: gates, phase space, errors."""

from __future__ import annotations

import logging
import math
import threading
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec
import numpy as np

from cert_otel.errors import ConfigError
from cert_otel.scoring import monitor_types as types
from cert_otel.scoring.backends import scored as reasons
from cert_otel.scoring.calibration import Calibration, find_calibration
from cert_otel.scoring.defaults import REFERENCE_NOTE
from cert_otel.scoring.embedding import SentenceEmbedder
from cert_otel.scoring.gates import LEVEL, PERPLEXITY_LIMIT, compute_cert_gates, vote
from cert_otel.scoring.paths import measure_paths
from cert_otel.scoring.prompts import find_question
from cert_otel.scoring.token_scores import SURPRISING_P

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from cert_otel.scoring.backends.scored import Generated, Request, Scored, TokenFigures
    from cert_otel.scoring.embedding import Embedder
    from cert_otel.scoring.gates import Votes
    from cert_otel.scoring.phase_space import PhaseTrajectory
    from cert_otel.scoring.prompts import Sample

EmbedderSetting = Literal["packaged", "hidden"]

NO_QUESTION: Final = "no question to measure from"
NO_EMBEDDER: Final = "no embedder"
NO_STATES: Final = "no hidden states: no question before the answer, or another kind of backend"

_logger = logging.getLogger(__name__)

_LARGEST_NLL: Final = math.log(np.finfo(np.float64).max)


class Gates(msgspec.Struct, frozen=True, kw_only=True):
    """Limits and calibrations; a calibration counts for its own route, scorer and revision."""

    perplexity_limit: float = PERPLEXITY_LIMIT
    level: float = LEVEL
    route: str | None = None
    calibrations: tuple[Calibration, ...] = ()

    def vote(self, scored: Scored) -> Votes:
        """Ask the gates about an answer that was scored."""
        if scored.score is None:
            raise ValueError("nothing was scored")
        calibration = None
        if self.route is not None and scored.scorer is not None:
            calibration = find_calibration(
                self.calibrations,
                route=self.route,
                scorer=scored.scorer,
                scorer_revision=scored.revision,
            )
        return vote(
            scored.score, calibration, perplexity_limit=self.perplexity_limit, level=self.level
        )


class Phase(NamedTuple):
    """A trajectory, or why there is none."""

    trajectory: PhaseTrajectory | None
    reason: str | None = None


class PhaseMeter:
    """Measures answers by an embedder that is loaded at the first use, or by hidden states."""

    def __init__(self, embedder: Embedder | EmbedderSetting | None) -> None:
        self._embedder = embedder
        self._problem: str | None = NO_EMBEDDER if embedder is None else None
        self._lock = threading.Lock()

    def measure(self, samples: Sequence[Sample], results: Sequence[Scored]) -> list[Phase]:
        """Measure answers that were scored, in order, in one call of the embedder."""
        if self._embedder == "hidden":
            return [_measure_states(scored) for scored in results]
        embedder = self._get_embedder()
        if embedder is None:
            return [Phase(None, self._problem)] * len(samples)
        try:
            asked = [(find_question(sample), sample.completion) for sample in samples]
            paths = measure_paths(asked, embedder)
        except Exception as problem:  # a host boundary: figures over tokens stand without it
            _logger.debug("embedding failed", exc_info=True)
            return [Phase(None, f"{type(problem).__name__}: {problem}")] * len(samples)
        return [Phase(path, NO_QUESTION if path is None else None) for path in paths]

    def _get_embedder(self) -> Embedder | None:
        with self._lock:
            if isinstance(self._embedder, str):
                try:
                    self._embedder = SentenceEmbedder()
                except ConfigError as problem:
                    self._embedder, self._problem = None, str(problem)
            return self._embedder


def _measure_states(scored: Scored) -> Phase:
    if scored.vectors is None:
        return Phase(None, NO_STATES)
    return Phase(scored.vectors.measure())


def to_analysis(
    request: Request, scored: Scored, phase: Phase, gates: Gates, *, timestamp: datetime
) -> types.TrajectoryAnalysis:
    """Assemble the analysis of an answer that was scored."""
    score = scored.score
    if score is None:
        raise ValueError("nothing was scored")
    votes = gates.vote(scored)
    return types.TrajectoryAnalysis(
        model_name=scored.scorer,
        model_revision=scored.revision,
        note=REFERENCE_NOTE if scored.reference_model else None,
        backend=scored.backend,
        prompt=request.sample.prompt,
        generated_text=request.sample.completion,
        passed_quality_check=_decide(votes),
        flags=votes.flags,
        abstained=votes.abstained,
        cert_passed=_find_cert_passed(scored.tokens),
        avg_perplexity=score.perplexity,
        max_perplexity=_exp(score.nll_max),
        avg_entropy=score.entropy_mean,
        max_entropy=score.entropy_max,
        final_surprise=_sum_surprise(scored.tokens),
        generation_steps=score.tokens or None,
        score=score,
        calibration=votes.calibration,
        phase_space=phase.trajectory,
        phase_space_reason=phase.reason,
        metrics=tuple(_list_metrics(request.sample.completion, scored)),
        form=scored.form,
        form_reason=scored.form_reason,
        pieces=scored.pieces,
        cut_tokens=scored.cut_tokens,
        timestamp=timestamp,
    )


def _decide(votes: Votes) -> bool | None:
    outcomes = {one.outcome for one in votes.votes}
    if "flagged" in outcomes:
        return False
    return True if "passed" in outcomes else None


def _find_cert_passed(tokens: TokenFigures | None) -> bool | None:
    if tokens is None or tokens.topk_entropy is None or tokens.tail_mass is None:
        return None
    return compute_cert_gates(tokens.nll, tokens.topk_entropy, tokens.tail_mass).cert_passed


def _sum_surprise(tokens: TokenFigures | None) -> float | None:
    return None if tokens is None else float(_select_surprises(tokens).sum())


def _select_surprises(tokens: TokenFigures) -> NDArray[np.float64]:
    """Return nll where p < 0.1, and 0 elsewhere."""
    nll = tokens.nll.astype(np.float64)
    return np.where(nll > -math.log(SURPRISING_P), nll, 0.0)


def _list_metrics(completion: str, scored: Scored) -> Iterator[types.TokenMetrics]:
    tokens = scored.tokens
    if tokens is None:
        return
    texts: list[str | None] = [completion[begin:end] for begin, end in scored.offsets]
    texts = texts or [None] * len(tokens.nll)
    rows = zip(
        texts,
        tokens.nll.tolist(),
        *(
            [None] * len(tokens.nll) if column is None else column.tolist()
            for column in (
                tokens.entropy,
                tokens.topk_entropy,
                tokens.prob_gap,
                tokens.logit_gap,
                tokens.rank,
            )
        ),
        _select_surprises(tokens).cumsum().tolist(),
        strict=True,
    )
    for step, (text, nll, entropy, topk_entropy, prob_gap, logit_gap, rank, surprise) in enumerate(
        rows
    ):
        yield types.TokenMetrics(
            step=step,
            token=text,
            nll=nll,
            perplexity=_exp(nll),
            entropy=entropy,
            top_k_entropy=topk_entropy,
            prob_gap=prob_gap,
            logit_gap=logit_gap,
            rank=rank,
            cumulative_surprise=surprise,
        )


def _exp(nll: float | None) -> float | None:
    return math.exp(nll) if nll is not None and nll < _LARGEST_NLL else None


_ERRORS: Final[dict[str, type[types.AnalysisError]]] = {
    reasons.EMPTY: types.InvalidInput,
    reasons.MODEL_NOT_LOADED: types.ModelNotLoaded,
    reasons.NOT_FINITE: types.ScoringFailed,
    reasons.NO_LOGPROBS: types.BackendUnavailable,
    reasons.OUT_OF_MEMORY: types.CPUFallbackFailed,
    reasons.REFUSED: types.ScoringFailed,
    reasons.UNAVAILABLE: types.BackendUnavailable,
}

_MESSAGES: Final = {
    reasons.EMPTY: "the answer is empty: there is nothing to score",
    reasons.NOT_FINITE: "the model's figures are no numbers: its weights are broken, or its dtype",
    reasons.OUT_OF_MEMORY: "no memory to score it; free some, or choose a smaller model",
}


def to_error(scored: Scored, timeout_s: float) -> types.AnalysisError:
    """Turn what could not be scored into an error."""
    reason = scored.reason or reasons.UNAVAILABLE
    if reason in (reasons.CANCELLED, reasons.DEADLINE):
        return types.GenerationTimeout(
            message=f"not scored within {timeout_s:g} s; raise timeout, or give fewer texts",
            timeout_s=timeout_s,
        )
    if reason.startswith("tokenizer"):
        return types.InvalidInput(message=reason)
    message = scored.detail or _MESSAGES.get(reason, reason)
    return _ERRORS.get(reason, types.ScoringFailed)(message=message)


def to_generation_error(generated: Generated, timeout_s: float) -> types.AnalysisError:
    """Turn a completion that was not written into an error."""
    if generated.reason is None:
        return types.ScoringFailed(
            message="the model ended its answer before the first word: there is nothing to score"
        )
    if generated.reason == reasons.MODEL_NOT_LOADED:
        return types.ModelNotLoaded(message=reasons.STILL_LOADING)
    if generated.reason == reasons.OUT_OF_MEMORY:
        return types.GPUOutOfMemoryError(
            message="no memory to write the answer; lower max_new_tokens, or use_8bit=True"
        )
    if generated.reason == reasons.TOO_LONG:
        limit = generated.limit or 0
        return types.PromptTooLong(
            message=f"the prompt has {generated.tokens} tokens, and the model's window leaves it "
            f"{limit}; shorten it, or lower max_new_tokens",
            length=generated.tokens,
            limit=limit,
            unit="tokens",
        )
    return types.GenerationTimeout(
        message=f"ended after {timeout_s:g} s, with {generated.tokens} tokens written; raise "
        "timeout, or lower max_new_tokens",
        timeout_s=timeout_s,
    )
