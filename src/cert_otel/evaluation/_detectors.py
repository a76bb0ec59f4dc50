"""Loading classifiers of transformers: which labels they have, and how they are to be read.

A sequence classifier judges a premise and a hypothesis; a token classifier marks the tokens of
an answer. Which label means what is read from the model's own configuration or said by who
names the model, never assumed. A head that was not trained is refused: it would judge at random.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from cert_otel.errors import ConfigError, ModelError
from cert_otel.scoring._hub import without_telemetry
from cert_otel.scoring.loading import check_folder, explained, find_revision, without_progress_bars
from cert_otel.scoring.models import Dtype, find_device, find_dtype

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

Kind = Literal["sequence", "token"]

MODEL_SETTING: Final = "CERT_OTEL_NLI_MODEL"
LABEL_SETTING: Final = "CERT_OTEL_NLI_LABEL"

_SUPPORTED: Final = frozenset(
    {"entailment", "entailed", "entails", "supported", "support", "consistent", "grounded"}
)
"""What models call a hypothesis that the premise bears out."""
_CONTRADICTED: Final = frozenset({"contradiction", "contradicted", "refuted", "refutes"})
_UNSUPPORTED: Final = frozenset({"hallucination", "hallucinated", "unsupported", "ungrounded"})
"""What models call a token that the premise does not bear out."""
_POSITION_OF_TAG: Final = re.compile(r"^[bies]-")
_KINDS: Final[dict[str, Kind]] = {
    "ForSequenceClassification": "sequence",
    "ForTokenClassification": "token",
}
_CLASSES: Final[dict[Kind, Any]] = {
    "sequence": AutoModelForSequenceClassification,
    "token": AutoModelForTokenClassification,
}
DEFAULT_WINDOW: Final = 512
"""Tokens, for a model that names no limit."""
_UNLIMITED: Final = 1_000_000
"""Tokenizers name a larger number where they know no limit."""
_ALIASES: Final = {"{text1}": "{context}", "{text2}": "{answer}"}
"""As HHEM's configuration calls the parts of its prompt."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detector:
    """A classifier that is ready to judge."""

    name: str
    revision: str
    kind: Kind
    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    labels: tuple[int, ...]
    """Of a sequence classifier, the one that says supported; else those that say unsupported."""
    contradiction: int | None
    window: int
    """Tokens."""
    template: str | None
    """How context, question and answer become one text, where the model names it."""

    def classify(self, encodings: Sequence[Mapping[str, Any]]) -> list[Tensor]:
        """Return probabilities of each text, [labels] or [tokens, labels], on the CPU.

        Short of memory on a GPU, a batch is read by halves.
        """
        padding = self.tokenizer.pad_token_id
        if padding is None and len(encodings) > 1:
            return [row for encoding in encodings for row in self.classify([encoding])]
        try:
            return self._read(_pad(encodings, padding if isinstance(padding, int) else 0))
        except torch.OutOfMemoryError:
            if len(encodings) == 1:
                raise
        torch.cuda.empty_cache()
        middle = len(encodings) // 2
        return [*self.classify(encodings[:middle]), *self.classify(encodings[middle:])]

    def _read(self, tensors: dict[str, Tensor]) -> list[Tensor]:
        call: Callable[..., Any] = self.network  # its annotations are not usable
        on_device = {name: tensor.to(self.network.device) for name, tensor in tensors.items()}
        with torch.inference_mode():
            logits: Tensor = call(**on_device).logits.float()
        shares = logits.sigmoid() if logits.shape[-1] == 1 else logits.softmax(-1)
        return list(shares.cpu())


def _pad(encodings: Sequence[Mapping[str, Any]], padding: int) -> dict[str, Tensor]:
    longest = max(len(encoding["input_ids"]) for encoding in encodings)
    return {
        name: torch.tensor(
            [
                [
                    *encoding[name],
                    *[padding if name == "input_ids" else 0] * (longest - len(encoding[name])),
                ]
                for encoding in encodings
            ]
        )
        for name in encodings[0]
        if name != "offset_mapping"
    }


def load_detector(
    name_or_folder: str | Path,
    *,
    label: str | None = None,
    tokenizer: str | Path | None = None,
    device: str = "auto",
    dtype: Dtype = "float32",
    revision: str | None = None,
    offline: bool = False,
    max_tokens: int | None = None,
    allow_remote_code: Collection[str] = (),
) -> Detector:
    """Load a classifier with its tokenizer, and find out how it is to be read.

    Args:
        name_or_folder: A name of the hub, or a folder that transformers wrote.
        label: The label that says supported, of a token classifier unsupported, where its
            name does not tell.
        tokenizer: Name or folder of another model's, where it has none of its own.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        dtype: Half precision moves scores by some thousandths.
        revision: Of the hub: a commit, tag or branch; else the newest.
        offline: Read what is on this machine and ask nobody.
        max_tokens: Longest text that is read at once; beyond the model's window only where its
            positions are relative.
        allow_remote_code: Names of models whose own code may run.

    Raises:
        ConfigError: The model is not there, or is no detector; says what to do.
    """
    name = str(name_or_folder)
    where = {
        "revision": revision,
        "local_files_only": offline,
        "trust_remote_code": name in allow_remote_code,
    }
    target = find_device(device)
    try:
        check_folder(name)
        with without_telemetry(), without_progress_bars(), explained(name, offline=offline):
            config = AutoConfig.from_pretrained(name, **where)
            kind = _find_kind(name, config)
            own = str(tokenizer or getattr(config, "foundation", None) or name)
            encoder = AutoTokenizer.from_pretrained(own, **(where if own == name else {}))
            network, information = _CLASSES[kind].from_pretrained(
                name,
                config=config,
                dtype=find_dtype(dtype, target),
                output_loading_info=True,
                **where,
            )
    except ModelError as problem:
        raise ConfigError(MODEL_SETTING, str(problem)) from problem
    _check(name, encoder, information)
    network.to(target).train(mode=False)
    names = {int(index): str(text) for index, text in config.id2label.items()}
    return Detector(
        name=name,
        revision=find_revision(name, revision),
        kind=kind,
        network=network,
        tokenizer=encoder,
        labels=_find_labels(name, kind, names, label),
        contradiction=next((i for i, text in names.items() if _plain(text) in _CONTRADICTED), None),
        window=_find_window(config, encoder, max_tokens),
        template=_find_template(config),
    )


def _find_kind(name: str, config: PreTrainedConfig) -> Kind:
    architectures = getattr(config, "architectures", None) or ()
    for architecture in architectures:
        for ending, kind in _KINDS.items():
            if str(architecture).endswith(ending):
                return kind
    raise ConfigError(
        MODEL_SETTING,
        f"{name}: has no classification head ({', '.join(architectures) or 'no architecture'}),"
        " so that it would judge at random; name a model that was trained for entailment or"
        " hallucination",
    )


def _check(
    name: str, tokenizer: PreTrainedTokenizerBase, information: dict[str, Sequence[str]]
) -> None:
    missing = sorted(information.get("missing_keys") or ())
    if missing:
        raise ConfigError(
            MODEL_SETTING,
            f"{name}: {len(missing)} weights are missing, {missing[0]} for one, so that it would"
            " judge at random; its files are incomplete, or it has no trained head",
        )
    if not tokenizer.is_fast:
        raise ConfigError(
            MODEL_SETTING, f"{name}: its tokenizer tells no offsets; it needs a tokenizer.json"
        )


def _find_labels(
    name: str, kind: Kind, names: dict[int, str], label: str | None
) -> tuple[int, ...]:
    wanted = _SUPPORTED if kind == "sequence" else _UNSUPPORTED
    if label is not None:
        wanted = frozenset({_plain(label)})
    found = tuple(index for index, text in names.items() if _plain(text) in wanted)
    if not found or (kind == "sequence" and len(found) > 1):
        meaning = "entailment" if kind == "sequence" else "hallucination"
        problem = f"is not one label of {name}" if label else f"{name} has no label of {meaning}"
        raise ConfigError(
            LABEL_SETTING,
            f"{f'{label!r} ' if label else ''}{problem}; its labels are"
            f" {', '.join(names.values())}; name the one that means it, as its card says",
        )
    return found


def _plain(label: str) -> str:
    return _POSITION_OF_TAG.sub("", label.strip().lower())


def _find_window(
    config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, max_tokens: int | None
) -> int:
    positions = getattr(config, "max_position_embeddings", None)
    if max_tokens and (
        positions is None or getattr(config, "position_biased_input", True) is False
    ):
        return max_tokens  # positions are relative: T5, DeBERTa-v3
    if positions and "roberta" in config.model_type:
        positions -= 2  # the first two are padding's
    named = tokenizer.model_max_length if tokenizer.model_max_length < _UNLIMITED else None
    limits = [limit for limit in (positions, named, max_tokens) if limit]
    return min(limits, default=DEFAULT_WINDOW)


def _find_template(config: PreTrainedConfig) -> str | None:
    prompt = getattr(config, "prompt", None)
    if not isinstance(prompt, str) or not all(alias in prompt for alias in _ALIASES):
        return None
    for alias, name in _ALIASES.items():
        prompt = prompt.replace(alias, name)
    return prompt
