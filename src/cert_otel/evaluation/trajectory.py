"""The scorer's figures against what is usual on the route: how surprising is this answer?

Gates that are not calibrated do not vote, and where none votes there is no score. The text is
not looked at: an answer that surprises nobody may be wrong (docs/gates.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cert_otel.errors import ConfigError
from cert_otel.evaluation._verdicts import EMPTY_ANSWER, Identity, Verdict, judge_batch
from cert_otel.scoring.calibration import find_calibration
from cert_otel.scoring.gates import LEVEL, PERPLEXITY_LIMIT, vote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cert_otel.evaluation.sample import Judgement, Sample
    from cert_otel.scoring.calibration import Calibration

METHOD: Final = "gates-1"
UNCALIBRATED: Final = "uncalibrated"
NO_TRAJECTORY: Final = "no_trajectory"
NO_FIGURES: Final = "no_figures"
"""The scorer measured neither surprises nor entropies."""


class TrajectoryEvaluator:
    """Scores how usual an answer is: the share of usual answers that surprise at least as much.

    Of the calibrated gates the worst counts, each for the answer's own length. An answer with a
    perplexity beyond the fixed limit scores 0. It fails beyond the gates' level, not below the
    middle: half of the usual answers score less than 0.5.
    """

    name: Final = "trajectory"

    def __init__(
        self,
        calibrations: Sequence[Calibration] = (),
        *,
        scorer: str | None = None,
        scorer_revision: str | None = None,
        perplexity_limit: float = PERPLEXITY_LIMIT,
        level: float = LEVEL,
    ) -> None:
        """Set up.

        Args:
            calibrations: Of routes; a sample is judged by the one of its own.
            scorer: The model that measured the trajectories; `None` is that of the calibrations.
            scorer_revision: Likewise.
            perplexity_limit: Fails from here on.
            level: Percentile of usual answers beyond which one fails, in (0, 1).

        Raises:
            ConfigError: When the calibrations are of several scorers, and none is named.
        """
        self._calibrations = tuple(calibrations)
        self._scorer = (scorer, scorer_revision)
        if scorer is None:
            self._scorer = _find_scorer(self._calibrations)
        self._perplexity_limit = perplexity_limit
        self._level = level

    def judge(self, samples: Sequence[Sample]) -> list[Judgement]:
        """Judge a batch: one judgement per sample, in order."""
        identity = Identity(self.name, self._scorer[0] or "cert-otel", METHOD, 1 - self._level)
        return judge_batch(
            samples,
            lambda batch: [self._compare(sample) for sample in batch],
            identity,
            find_skip=_find_skip_reason,
        )

    def _compare(self, sample: Sample) -> Verdict:
        scorer, revision = self._scorer
        calibration = find_calibration(
            self._calibrations,
            route=sample.route or "",
            scorer=scorer or "",
            scorer_revision=revision,
        )
        if calibration is None or sample.trajectory is None:
            return Verdict(reason=UNCALIBRATED)
        votes = vote(
            sample.trajectory,
            calibration,
            perplexity_limit=self._perplexity_limit,
            level=self._level,
        )
        shares = [1 - one.percentile for one in votes.votes if one.percentile is not None]
        if not shares:
            seen = any(one.value is not None for one in votes.votes if one.gate != "perplexity")
            return Verdict(reason=UNCALIBRATED if seen else NO_FIGURES)
        score = 0.0 if "perplexity" in votes.flags else min(max(min(shares), 0.0), 1.0)
        return Verdict(score=score, calibration=calibration.id)


def _find_scorer(calibrations: Sequence[Calibration]) -> tuple[str | None, str | None]:
    scorers = {(one.scorer, one.scorer_revision) for one in calibrations}
    if len(scorers) > 1:
        names = ", ".join(sorted(f"{name} {revision or ''}".strip() for name, revision in scorers))
        raise ConfigError("scorer", f"the calibrations are of {names}: name one of them")
    return next(iter(scorers), (None, None))


def _find_skip_reason(sample: Sample) -> str | None:
    if not sample.answer.strip():
        return EMPTY_ANSWER
    return NO_TRAJECTORY if sample.trajectory is None else None
