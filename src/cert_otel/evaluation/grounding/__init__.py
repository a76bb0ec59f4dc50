"""Whether a context bears out an answer: terms, numbers, dates, names, and the question.

The way of a sample: `tokens`, `sentences`, `quantities`, `dates` and `names` read a text into a
`reading`; `coverage`, `checks`, `negation` and `question` compare the answer with its context;
`features` holds the figures that come of it, `evidence` the stretches that are not borne out,
`evaluator` the score. docs/evaluation-grounding.md says it in prose.
"""

from cert_otel.evaluation.grounding.evaluator import GroundingEvaluator
from cert_otel.evaluation.grounding.features import (
    Examination,
    GroundingFeatures,
    examine,
    measure,
)

__all__ = ["Examination", "GroundingEvaluator", "GroundingFeatures", "examine", "measure"]
