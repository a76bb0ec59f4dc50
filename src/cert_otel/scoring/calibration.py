"""What is usual on a route: how often answers surprise the scorer, and how high they peak.

Both are fitted from answers already scored, so that a new one is compared with answers of its own
length. Nothing here reads or writes a file: `encode_calibrations` and `decode_calibrations` are
the JSON that hosts store.

Length. Of n tokens the share that surprises scatters less the longer the answer is, and the
largest of n entropies grows with n; a fixed threshold fails long answers or passes short ones.
Hence P(K >= k surprises of n) is beta-binomial, and P(peak <= x of n) is F(x)^(n^g): with g = 1
tokens are independent, with g = 0 a long answer peaks no higher than a short one. F has no form
of its own, and g is fitted like a coefficient of Cox's regression, in which peaks take the place
of times and run backwards.
"""

from __future__ import annotations

import hashlib
import math
from datetime import datetime  # noqa: TC003 - msgspec resolves the annotations at run time
from typing import TYPE_CHECKING, Annotated, Final, Literal, Protocol

import msgspec
import numpy as np

from cert_otel.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

MIN_ANSWERS: Final = 100
"""Fewer say nothing about the 99th percentile."""
_GROWTH_MAX: Final = 2.0
"""Beyond 1 peaks grow faster than those of independent tokens: late parts are harder."""
_KEPT_PEAKS: Final = 256
"""Points of F that are stored, dense at the top; neighbours differ by 4 % at most."""
_BISECTIONS: Final = 50

_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_NotNegative = Annotated[float, msgspec.Meta(ge=0)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class ScoredAnswer(Protocol):
    """The figures of an answer that gates look at: an `AnswerScore`, or a record's trajectory."""

    @property
    def tokens(self) -> int | None:
        """Completion tokens."""

    @property
    def perplexity(self) -> float | None:
        """exp(mean nll)."""

    @property
    def surprise_rate(self) -> float | None:
        """Share of tokens with p < 0.1."""

    @property
    def entropy_max(self) -> float | None:
        """Nats."""


class SurpriseModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Surprises of an answer: beta-binomial, as answers differ in how surprising they are."""

    mean: _Share
    """Share of all tokens that surprise."""
    dispersion: _NotNegative
    """1 / (alpha + beta) of the beta distribution: 0 where answers do not differ."""
    answers: _Count

    def tail(self, rate: float, tokens: int) -> float:
        """Return the probability of at least this rate in a usual answer of so many tokens."""
        return _beta_binomial_tail(
            round(rate * tokens), tokens, mean=self.mean, dispersion=self.dispersion
        )


class PeakModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The largest entropy of an answer, given its length."""

    growth: _NotNegative
    """g: an answer of n tokens peaks like n^g independent ones."""
    peaks: tuple[float, ...]
    """Nats, descending."""
    hazards: tuple[_NotNegative, ...]
    """-ln F just below each peak, ascending."""
    answers: _Count

    def __post_init__(self) -> None:
        if not self.peaks or len(self.peaks) != len(self.hazards):
            raise ValueError("peaks and hazards must be of one length, and not empty")

    def tail(self, peak: float, tokens: int) -> float:
        """Return the probability of at least this peak in a usual answer of so many tokens."""
        at_least = int(np.searchsorted(-np.asarray(self.peaks), -peak, side="right"))
        hazard = self.hazards[at_least - 1] if at_least else 0.0
        return -math.expm1(-(float(tokens) ** self.growth) * hazard)

    def resolves(self, level: float, tokens: int) -> bool:
        """Tell whether the answers that were fitted suffice for this percentile and length."""
        return self.tail(self.peaks[0], tokens) <= 1 - level


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is usual on one route, as one scorer sees it."""

    v: Literal[1] = 1
    route: str
    """As the host names it; answers of different routes are not compared."""
    scorer: str
    scorer_revision: str | None = None
    fitted_at: datetime
    """Aware."""
    answers: _Count
    tokens: _Count
    surprise: SurpriseModel | None = None
    """`None`: too few answers."""
    peak: PeakModel | None = None
    """Likewise."""

    @property
    def id(self) -> str:
        """Names this calibration in results: twelve digits of the hash of its content."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:12]


def fit_calibration(
    answers: Iterable[ScoredAnswer],
    *,
    route: str,
    scorer: str,
    scorer_revision: str | None = None,
    fitted_at: datetime,
) -> Calibration:
    """Fit what is usual, from answers of one route that are on the whole as they should be.

    Args:
        answers: With fewer than `MIN_ANSWERS` that have the figure, its model is `None`.
        route: Any name of the traffic that is alike: a service, a function, a model.
        scorer: The model that scored all of them.
        scorer_revision: Its revision.
        fitted_at: Now, aware.
    """
    seen = [answer for answer in answers if answer.tokens]
    return Calibration(
        route=route,
        scorer=scorer,
        scorer_revision=scorer_revision,
        fitted_at=fitted_at,
        answers=len(seen),
        tokens=sum(answer.tokens or 0 for answer in seen),
        surprise=_fit_surprise([(answer.surprise_rate, answer.tokens or 0) for answer in seen]),
        peak=_fit_peak([(answer.entropy_max, answer.tokens or 0) for answer in seen]),
    )


def find_calibration(
    calibrations: Iterable[Calibration], *, route: str, scorer: str, scorer_revision: str | None
) -> Calibration | None:
    """Return the latest of this very route, scorer and revision; there is no other to use."""
    wanted = (route, scorer, scorer_revision)
    fitting = [
        one for one in calibrations if (one.route, one.scorer, one.scorer_revision) == wanted
    ]
    return max(fitting, key=lambda one: one.fitted_at, default=None)


def encode_calibrations(calibrations: Sequence[Calibration]) -> bytes:
    """Encode calibrations as JSON, one a line, so that files can be compared."""
    return b"".join(msgspec.json.encode(one) + b"\n" for one in calibrations)


def decode_calibrations(data: bytes, *, path: Path | str) -> tuple[Calibration, ...]:
    """Decode what `encode_calibrations` made.

    Args:
        data: Content of the file.
        path: Where it came from, for the error.

    Raises:
        InputError: When it is not a file of calibrations.
    """
    try:
        return tuple(_DECODER.decode_lines(data))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(path, f"no calibration: {error}") from error


_DECODER: Final = msgspec.json.Decoder(Calibration)


def _find_complete(pairs: Sequence[tuple[float | None, int]]) -> tuple[Floats, Floats] | None:
    """Return values and tokens of the answers that have the value, if they are enough."""
    complete = [pair for pair in pairs if pair[0] is not None and math.isfinite(pair[0])]
    if len(complete) < MIN_ANSWERS:
        return None
    values, tokens = np.asarray(complete, dtype=np.float64).T
    return values, tokens


def _fit_surprise(pairs: Sequence[tuple[float | None, int]]) -> SurpriseModel | None:
    complete = _find_complete(pairs)
    if complete is None:
        return None
    rates, tokens = complete
    counts = np.rint(rates * tokens)
    mean = (float(counts.sum()) + 0.5) / (float(tokens.sum()) + 1)  # never 0 nor 1
    squares = (counts - tokens * mean) ** 2 / (tokens * mean * (1 - mean))

    def excess(correlation: float) -> float:
        # Pearson's chi-square of the beta-binomial, which the right correlation makes n - 1.
        return float((squares / (1 + (tokens - 1) * correlation)).sum()) - (len(counts) - 1)

    correlation = _find_root(excess, 0.0, 0.999)
    return SurpriseModel(mean=mean, dispersion=correlation / (1 - correlation), answers=len(counts))


def _fit_peak(pairs: Sequence[tuple[float | None, int]]) -> PeakModel | None:
    complete = _find_complete(pairs)
    if complete is None:
        return None
    peaks, tokens = complete
    order = np.argsort(peaks, kind="stable")
    peaks, lengths = peaks[order], np.log(tokens[order])
    growth = _fit_growth(peaks, lengths)
    # Breslow's estimate of the hazard, backwards: 1 / weight of all that peak no higher.
    steps = 1 / _sum_up_to(peaks, np.exp(growth * lengths))
    hazards = np.cumsum(steps[::-1])
    ranks = np.unique(np.geomspace(1, len(peaks), _KEPT_PEAKS).astype(int)) - 1
    return PeakModel(
        growth=growth,
        peaks=tuple(map(float, peaks[::-1][ranks])),
        hazards=tuple(map(float, hazards[ranks])),
        answers=len(peaks),
    )


def _fit_growth(peaks: Floats, lengths: Floats) -> float:
    """Return the g at which long answers are as often the highest as they should be."""
    if np.ptp(lengths) == 0:
        return 1.0  # answers of one length say nothing; independence is the assumption left

    def score(growth: float) -> float:
        # Derivative of Cox's partial likelihood, which decreases.
        weights = np.exp(growth * lengths)
        expected = _sum_up_to(peaks, weights * lengths) / _sum_up_to(peaks, weights)
        return float((lengths - expected).sum())

    return _find_root(score, 0.0, _GROWTH_MAX)


def _sum_up_to(peaks: Floats, values: Floats) -> Floats:
    """Sum the values of all peaks that are not higher; peaks ascend, equal ones are together."""
    last = np.searchsorted(peaks, peaks, side="right") - 1
    sums: Floats = np.cumsum(values)[last]
    return sums


def _find_root(decreasing: Callable[[float], float], low: float, high: float) -> float:
    """Bisect; the nearer end where there is no root between."""
    if decreasing(low) <= 0:
        return low
    if decreasing(high) >= 0:
        return high
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if decreasing(middle) > 0 else (low, middle)
    return (low + high) / 2


def _beta_binomial_tail(count: int, tokens: int, *, mean: float, dispersion: float) -> float:
    """Return P(K >= count), from ratios of neighbours: exact, with dispersion 0 binomial."""
    if count <= 0:
        return 1.0
    drawn = np.arange(tokens, dtype=np.float64)
    none = np.log((1 - mean + drawn * dispersion) / (1 + drawn * dispersion)).sum()
    ratios = np.log((tokens - drawn) / (drawn + 1)) + np.log(
        (mean + drawn * dispersion) / (1 - mean + (tokens - drawn - 1) * dispersion)
    )
    logs = none + np.cumsum(ratios)
    return min(1.0, float(np.exp(logs[count - 1 :]).sum()))
