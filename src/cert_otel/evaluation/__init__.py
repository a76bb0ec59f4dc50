"""Is an answer borne out by what it was given? Scores in [0, 1], each with its evidence.

`sample.py` holds what evaluators take and give; docs/evaluation.md says what each one measures,
and what it cannot see. `Evaluator` is loaded when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cert_otel.evaluation.evaluator import Evaluator

__all__ = ["Evaluator"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from cert_otel.evaluation.evaluator import Evaluator  # noqa: PLC0415 - only who asks pays

    return Evaluator
