"""What backends take and give: a request with its sample, and its figures with their source."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, runtime_checkable

import msgspec
import numpy as np

from cert_otel.scoring.prompts import Sample  # noqa: TC001 - msgspec resolves the annotations
from cert_otel.scoring.token_scores import AnswerScore, TokenScores, summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cert_otel.records import ScoreStatus
    from cert_otel.scoring.hidden import StepVectors
    from cert_otel.scoring.prompts import Span
    from cert_otel.scoring.token_scores import Floats, Ints

CANCELLED: Final = "cancelled"
DEADLINE: Final = "deadline"
EMPTY: Final = "empty_completion"
MODEL_NOT_LOADED: Final = "model_not_loaded"
STILL_LOADING: Final = "the model is still loading; ask again later"
NOT_FINITE: Final = "not_finite"
NO_LOGPROBS: Final = "no_logprobs"
OUT_OF_MEMORY: Final = "out_of_memory"
REFUSED: Final = "refused"
TOO_LONG: Final = "prompt_too_long"
UNAVAILABLE: Final = "backend_unavailable"

_FINAL: Final = frozenset({CANCELLED, DEADLINE, EMPTY})
"""Reasons that another backend would give as well."""


class ProviderLogprobs(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider itself said of the tokens of its answer; natural logarithms."""

    mean: float
    min: float | None = None
    token_count: int | None = None
    tokens: tuple[float, ...] = ()
    """Of each token, where they are known; else there are only the figures above."""
    model: str | None = None
    """The model that answered."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One answer to score, with what is known of it already."""

    sample: Sample
    logprobs: ProviderLogprobs | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenFigures:
    """As `TokenScores`, where a column that the backend cannot give is `None`."""

    nll: Floats
    entropy: Floats | None = None
    topk_entropy: Floats | None = None
    tail_mass: Floats | None = None
    prob_gap: Floats | None = None
    logit_gap: Floats | None = None
    margin: Floats | None = None
    rank: Ints | None = None

    @classmethod
    def of(cls, scores: TokenScores) -> TokenFigures:
        """Take over complete figures."""
        return cls(**{field.name: getattr(scores, field.name) for field in fields(scores)})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """What became of one request; `score` is there if `status` is `scored`."""

    status: ScoreStatus
    backend: str
    """Name of the backend that made it."""
    reason: str | None = None
    """Of an error or a skip, as `scorer.Result` names it, or one of the names above."""
    detail: str | None = None
    """What happened, in words."""
    scorer: str | None = None
    """The model."""
    revision: str | None = None
    reference_model: bool = False
    """The model is the packaged one, which is not for production."""
    score: AnswerScore | None = None
    tokens: TokenFigures | None = None
    offsets: tuple[Span, ...] = ()
    """The characters of the completion that each token covers; empty if unknown."""
    form: str | None = None
    form_reason: str | None = None
    pieces: int = 1
    cut_tokens: int = 0
    vectors: StepVectors | None = None
    """Of question and steps, of a backend that was told to embed them."""

    @property
    def is_final(self) -> bool:
        """Whether no other backend needs to be asked."""
        return self.status == "scored" or self.reason in _FINAL


def never() -> bool:
    """Say that nobody has cancelled."""
    return False


class Backend(Protocol):
    """Turns requests into figures. May be called by several threads at once."""

    @property
    def name(self) -> str:
        """As results name it: `local`, `openai-compatible`, `provider`."""

    @property
    def configuration(self) -> str:
        """Whatever changes the figures, as a text: part of the key of cached results."""

    def score(
        self,
        requests: Sequence[Request],
        *,
        deadline: float | None = None,
        is_cancelled: Callable[[], bool] = never,
    ) -> list[Scored]:
        """Score requests: one result each, in order.

        Args:
            requests: What a single one cannot be scored for is its own result.
            deadline: A reading of `time.monotonic`; what is not done by then is skipped.
            is_cancelled: Asked between steps.

        Raises:
            CertOtelError: The backend as a whole cannot answer.
        """

    def close(self) -> None:
        """Give back what it holds: memory, connections."""


class Generated(NamedTuple):
    """A text that a model wrote, or why there is none."""

    text: str | None
    tokens: int
    """Written so far; of a prompt that is too long, the prompt's."""
    reason: str | None = None
    """`deadline`, `cancelled`, `out_of_memory`, `prompt_too_long` or `model_not_loaded`; `None`
    with a text."""
    limit: int | None = None
    """Tokens that a prompt may have at most, where it has more."""


@runtime_checkable
class TextGenerator(Protocol):
    """A backend that writes texts as well."""

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_new_tokens: int,
        temperature: float,
        deadline: float | None = None,
        is_cancelled: Callable[[], bool] = never,
    ) -> list[Generated]:
        """Write a completion of each prompt, in order; generation ends at the deadline."""


def summarise_figures(figures: TokenFigures) -> AnswerScore:
    """Reduce the tokens of one answer; what a missing column would give is `None`."""
    unknown = np.zeros_like(figures.nll)
    columns: dict[str, Any] = {
        field.name: unknown if (column := getattr(figures, field.name)) is None else column
        for field in fields(figures)
    }
    score = summarise(TokenScores(**columns))
    without: dict[str, Any] = {}
    if figures.entropy is None:
        without = {"entropy_mean": None, "entropy_max": None, "onset_entropy": None, "windows": ()}
    if figures.prob_gap is None:
        without["gap_mean"] = None
    return msgspec.structs.replace(score, **without)
