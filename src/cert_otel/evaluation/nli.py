"""Entailment models and span detectors: does the context bear out each part of an answer?

`NLIEvaluator` runs a classifier of transformers, by name or folder. docs/evaluators.md lists
detectors with their licences and published figures, and how each is run.
"""

from __future__ import annotations

import threading
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

from cert_otel.config import get_config
from cert_otel.errors import ConfigError
from cert_otel.evaluation._entailment import Reader
from cert_otel.evaluation._verdicts import Identity, judge_batch

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from cert_otel.evaluation._detectors import Detector
    from cert_otel.evaluation.sample import Judgement, Sample
    from cert_otel.scoring.models import Dtype

THRESHOLD: Final = 0.5
METHOD: Final = "nli-1"
"""Changes when the same model would give other scores."""
MODEL_SETTING: Final = "CERT_OTEL_NLI_MODEL"
PAIR: Final = "{context}"
"""How sequence classifiers get the premise; the answer is the second text of the pair."""
ASKED: Final = "{question}\n\n{context}"
"""Likewise, how token classifiers do."""


class NLIEvaluator:
    """Scores an answer by the part of it that the context supports least; thread-safe.

    A sequence classifier judges sentence by sentence, a token classifier token by token; each
    part counts with the window of the context that supports it best. Nothing is cut: a context
    that is longer than the model's window becomes several that overlap.
    """

    name: Final = "nli"

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        label: str | None = None,
        template: str | None = None,
        tokenizer: str | Path | None = None,
        device: str = "auto",
        dtype: Dtype = "float32",
        revision: str | None = None,
        offline: bool = False,
        max_tokens: int | None = None,
        allow_remote_code: Collection[str] = (),
        threshold: float = THRESHOLD,
    ) -> None:
        """Set up; the model is loaded with the first batch.

        Args:
            model: Name on the hub or a folder; `None` is `CERT_OTEL_NLI_MODEL`.
            label: The label that says supported, of a token classifier unsupported, where its
                name does not tell; `None` is `CERT_OTEL_NLI_LABEL`.
            template: The text before the answer, with `{context}` and, if it is wanted,
                `{question}`; with `{answer}` it is the whole text.
            tokenizer: Name or folder, where the model has none of its own.
            device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
            dtype: Half precision moves scores by some thousandths.
            revision: Of the hub: a commit, tag or branch; else the newest.
            offline: Read what is on this machine and ask nobody.
            max_tokens: Longest text that is read at once; beyond the model's window only where its
                positions are relative.
            allow_remote_code: Names of models whose own code may run.
            threshold: Of the label, and below which a part is evidence.
        """
        settings = {
            "tokenizer": tokenizer,
            "device": device,
            "dtype": dtype,
            "revision": revision,
            "offline": offline,
            "max_tokens": max_tokens,
            "allow_remote_code": allow_remote_code,
        }
        self._load = cache(partial(_load, model, label, settings))
        self._template = template
        self._threshold = threshold
        # Tokenizers keep state, and one forward pass keeps the device busy.
        self._lock = threading.Lock()

    def judge(self, samples: Sequence[Sample]) -> list[Judgement]:
        """Judge a batch: one judgement per sample, in order.

        Raises:
            ConfigError: When there is no such model, or it is no detector.
        """
        with self._lock:
            detector = self._load()
            template = _find_template(self._template, detector)
            identity = Identity(
                self.name, detector.name, f"{METHOD} {detector.revision}", self._threshold
            )
            reader = Reader(detector, template, self._threshold)
            return judge_batch(samples, reader.measure, identity)


def _load(model: str | Path | None, label: str | None, settings: dict[str, Any]) -> Detector:
    configured = get_config()
    name = model or configured.nli_model
    if name is None:
        raise ConfigError(
            MODEL_SETTING, "names no model: the evaluator nli needs a name on the hub or a folder"
        )
    try:
        from cert_otel.evaluation._detectors import (  # noqa: PLC0415 - seconds of torch
            load_detector,
        )
    except ModuleNotFoundError as missing:
        raise ConfigError(
            MODEL_SETTING, f"{missing.name} is not installed: pip install 'cert-otel[score]'"
        ) from None
    return load_detector(name, label=label or configured.nli_label, **settings)


def _find_template(given: str | None, detector: Detector) -> str:
    template = given or detector.template or (PAIR if detector.kind == "sequence" else ASKED)
    if "{context}" not in template:
        raise ConfigError("template", f"{template!r} has no {{context}}")
    if detector.kind == "token" and "{answer}" in template:
        raise ConfigError(
            "template", "a token classifier gets the answer behind it: leave {answer} out"
        )
    return template
