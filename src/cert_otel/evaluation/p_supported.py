"""The scoring model as judge: Yes against No to "is the answer supported by the context?".

One prefill, nothing is generated: the two answers' logits are read at the last position of the
prompt. Only a model that follows instructions can say it: the packaged reference model is
refused.
"""

from __future__ import annotations

import threading
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cert_otel.config import get_config
from cert_otel.errors import CertOtelError, ConfigError
from cert_otel.evaluation._verdicts import Identity, judge_batch
from cert_otel.evaluation.prompts import load_prompt
from cert_otel.scoring import defaults

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cert_otel.evaluation.sample import Judgement, Sample
    from cert_otel.scoring.networks import LoadedModel
    from cert_otel.scoring.quantization import Quantization

PROMPT: Final = "supported-1"
THRESHOLD: Final = 0.5
SETTING: Final = "CERT_OTEL_SCORER_MODEL"


class PSupportedEvaluator:
    """Scores with p(Yes) / (p(Yes) + p(No)) of a causal language model; thread-safe.

    A context that is longer than the model's window is read in windows that overlap, and the
    one that supports the answer best counts.
    """

    name: Final = "p_supported"

    def __init__(
        self,
        model: LoadedModel | str | Path | None = None,
        *,
        device: str = "auto",
        quantization: Quantization | None = None,
        revision: str | None = None,
        offline: bool = False,
        max_tokens: int | None = None,
        threshold: float = THRESHOLD,
    ) -> None:
        """Set up; a model that is named is loaded with the first batch.

        Args:
            model: A name on the hub or a folder, or one that is loaded already, so that the
                scorer's memory serves both; `None` is `CERT_OTEL_SCORER_MODEL`, else the best
                that is here.
            device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
            quantization: Weights of 8 or 4 bits, to save memory.
            revision: Of the hub: a commit, tag or branch; else the newest.
            offline: Never ask the hub.
            max_tokens: Longest text that is read at once, at most the model's window.
            threshold: Of the label.
        """
        self._load = cache(
            partial(
                _load,
                model,
                device=device,
                quantization=quantization,
                revision=revision,
                offline=offline,
            )
        )
        self._max_tokens = max_tokens
        self._threshold = threshold
        # One pass keeps the device busy, and tokenizers keep state.
        self._lock = threading.Lock()

    def judge(self, samples: Sequence[Sample]) -> list[Judgement]:
        """Judge a batch: one judgement per sample, in order.

        Raises:
            ConfigError: When there is no model, or it is the reference model.
        """
        with self._lock:
            model = self._load()
            from cert_otel.evaluation._yes_or_no import (  # noqa: PLC0415 - seconds of torch
                YesOrNo,
            )

            prompt = load_prompt(PROMPT)
            asker = YesOrNo(model, prompt, max_tokens=self._max_tokens)
            revision = f"{PROMPT} {prompt.hash} {model.revision}"
            identity = Identity(self.name, model.name, revision, self._threshold)
            return judge_batch(samples, asker.measure, identity)


def _load(
    model: LoadedModel | str | Path | None,
    *,
    device: str,
    quantization: Quantization | None,
    revision: str | None,
    offline: bool,
) -> LoadedModel:
    loaded = model
    if loaded is None or isinstance(loaded, str | Path):
        name = loaded or get_config().scorer_model
        _refuse_reference(None if name is None else str(name))
        try:
            loaded = defaults.load(
                name,
                device=device,
                quantization=quantization,
                revision=revision,
                offline=offline,
            )
        except ConfigError:
            raise
        except CertOtelError as problem:
            raise ConfigError(SETTING, str(problem)) from problem
    _refuse_reference(loaded.name)
    return loaded


def _refuse_reference(name: str | None) -> None:
    folder = str(defaults.REFERENCE_FOLDER)
    if defaults.is_reference(name) or name == folder:
        raise ConfigError(
            SETTING,
            "the reference model is too small to judge: its Yes and No mean nothing; the evaluator"
            " p_supported needs a model that follows instructions, by name or folder, for"
            f" instance {defaults.ON_CPU}",
        )
