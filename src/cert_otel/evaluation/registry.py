"""Evaluators by name: our own, and those that other packages name as entry points.

Nothing is imported before it is asked for: some of ours need torch, and others' may need anything.
"""

from __future__ import annotations

import difflib
import importlib
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

from cert_otel.errors import ConfigError
from cert_otel.evaluation.sample import SampleEvaluator

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from importlib.metadata import EntryPoint

GROUP: Final = "cert_otel_evaluator"
"""Entry point group: a name, and a factory without arguments."""
SETTING: Final = "evaluators"

_OWN: Final[Mapping[str, str]] = {
    "grounding": "cert_otel.evaluation.grounding:GroundingEvaluator",
    "semantic": "cert_otel.evaluation.semantic:SemanticEvaluator",
    "nli": "cert_otel.evaluation.nli:NLIEvaluator",
    "p_supported": "cert_otel.evaluation.p_supported:PSupportedEvaluator",
    "exact": "cert_otel.evaluation.exact:ExactEvaluator",
    "trajectory": "cert_otel.evaluation.trajectory:TrajectoryEvaluator",
    "judge": "cert_otel.evaluation.judge:JudgeEvaluator",
}


def list_evaluators() -> list[str]:
    """Return the names of all evaluators that are installed."""
    return sorted({*_OWN, *_find_others()})


def make_evaluators(names: Sequence[str]) -> list[SampleEvaluator]:
    """Make the evaluators of these names, in order.

    Raises:
        ConfigError: A name is unknown or there twice, or what it names cannot be used.
    """
    if not names:
        raise ConfigError(SETTING, f"none is named; there are {', '.join(list_evaluators())}")
    check_names(names)
    return [make_evaluator(name) for name in names]


def check_names(names: Sequence[str]) -> None:
    """Look whether there are evaluators of these names; none is made.

    Raises:
        ConfigError: A name is unknown or there twice.
    """
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(SETTING, f"{', '.join(repeated)} is named twice")
    there = list_evaluators()
    for name in names:
        if name not in there:
            raise ConfigError(SETTING, _describe_unknown(name, there))


def make_evaluator(name: str) -> SampleEvaluator:
    """Make one evaluator.

    Raises:
        ConfigError: There is none of this name, or what it names cannot be used.
    """
    if name in _OWN:
        module, _, factory = _OWN[name].partition(":")
        made = getattr(importlib.import_module(module), factory)()
    else:
        made = _make_other(name)
    if not isinstance(made, SampleEvaluator):
        raise ConfigError(SETTING, f"{name} is no evaluator: it wants `name` and `judge`")
    return made


def _make_other(name: str) -> object:
    others = _find_others()
    if name not in others:
        raise ConfigError(SETTING, _describe_unknown(name, {*_OWN, *others}))
    point = others[name]
    try:
        return point.load()()
    except ConfigError:
        raise
    except Exception as error:
        # Somebody else's code: whatever it raises, the name that led to it helps most.
        raise ConfigError(
            SETTING, f"{name} ({point.value}) cannot be made: {type(error).__name__}: {error}"
        ) from error


def _find_others() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in _OWN}


def _describe_unknown(name: str, known: Iterable[str]) -> str:
    there = sorted(known)
    close = difflib.get_close_matches(name, there, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{name!r} is unknown; {hint}there are {', '.join(there)}"
