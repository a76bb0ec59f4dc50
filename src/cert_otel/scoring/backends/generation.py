"""Writing completions with a scoring model, within a time: generation ends at the deadline."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from cert_otel.scoring import attention
from cert_otel.scoring.backends.scored import (
    CANCELLED,
    DEADLINE,
    OUT_OF_MEMORY,
    TOO_LONG,
    Generated,
    never,
)
from cert_otel.scoring.prompts import Sample, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

    from cert_otel.scoring.networks import LoadedModel
    from cert_otel.scoring.packing import Ids
    from cert_otel.scoring.prompts import Encoded

BATCH: Final = 8
"""Prompts that are continued together."""


class Stop(StoppingCriteria):
    """Ends generation at a reading of the clock, or when it is cancelled."""

    def __init__(
        self,
        deadline: float | None,
        *,
        is_cancelled: Callable[[], bool] = never,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reason: str | None = None
        """Why generation was ended; `None` if it was not."""
        self._deadline = deadline
        self._is_cancelled = is_cancelled
        self._clock = clock

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:  # noqa: ARG002 - asked after each token, with all of them
        """Tell for each text of the batch whether it ends here."""
        self.look()
        stops = self.reason is not None
        return torch.full((input_ids.shape[0],), stops, device=input_ids.device, dtype=torch.bool)

    def look(self) -> str | None:
        """Look at the clock, and return why to end."""
        if self._is_cancelled():
            self.reason = CANCELLED
        elif self._deadline is not None and self._clock() >= self._deadline:
            self.reason = DEADLINE
        return self.reason


def generate(
    model: LoadedModel,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    temperature: float,
    stop: Stop,
) -> list[Generated]:
    """Write a completion of each prompt, in order.

    Args:
        model: Its own generation settings hold, but for what is given here.
        prompts: One user message each, or the text to continue for a model without a template.
        max_new_tokens: Of each completion.
        temperature: 0 takes the likeliest token each time.
        stop: Looked at after each token of a batch; what is not done by then has no text.
    """
    samples = [Sample(prompt=prompt, completion="") for prompt in prompts]
    texts = [_drop_end(model, encoded) for encoded in encode(model.tokenizer, samples)]
    results: dict[int, Generated] = {}
    fitting = []
    for index, ids in enumerate(texts):
        limit = max(model.window - max_new_tokens, 0)
        if len(ids) > limit:
            results[index] = Generated(None, len(ids), TOO_LONG, limit)
        else:
            fitting.append(index)
    settings = _make_settings(model, max_new_tokens, temperature)
    with _generating(model.network):
        fitting.sort(key=lambda index: len(texts[index]))
        for begin in range(0, len(fitting), BATCH):
            indices = fitting[begin : begin + BATCH]
            batch = [texts[index] for index in indices]
            outcome = _run(model, batch, settings, stop)
            results.update(zip(indices, outcome, strict=True))
    return [results[index] for index in range(len(prompts))]


def _drop_end(model: LoadedModel, prompt: Encoded) -> Ids:
    """Return the prompt without the end token that some tokenizers append to any text."""
    ids = prompt.ids
    ended = prompt.form == "joined" and len(ids) > 1 and ids[-1] == model.tokenizer.eos_token_id
    return ids[:-1] if ended else ids


def _make_settings(model: LoadedModel, max_new_tokens: int, temperature: float) -> dict[str, Any]:
    settings: dict[str, Any] = {"max_new_tokens": max_new_tokens, "do_sample": temperature > 0}
    if temperature > 0:
        settings["temperature"] = temperature
    return {**settings, "pad_token_id": _find_padding(model)}


def _find_padding(model: LoadedModel) -> int:
    """Return a token to pad with; which one matters not, as padding is masked."""
    tokenizer = model.tokenizer
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if isinstance(token, int):
            return token
    return 0


@contextmanager
def _generating(network: PreTrainedModel) -> Iterator[None]:
    """Attend as transformers does: our attention reads packs and knows no cache."""
    before = network.config._attn_implementation  # noqa: SLF001 - transformers has no public reader
    if before == attention.NAME:
        network.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        if before == attention.NAME:
            network.set_attn_implementation(before)


def _run(
    model: LoadedModel, batch: Sequence[Ids], settings: dict[str, Any], stop: Stop
) -> list[Generated]:
    if reason := stop.look():
        return [Generated(None, 0, reason)] * len(batch)
    try:
        return _write(model, batch, settings, stop)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
    if len(batch) == 1:
        return [Generated(None, 0, OUT_OF_MEMORY)]
    middle = len(batch) // 2
    return [
        *_run(model, batch[:middle], settings, stop),
        *_run(model, batch[middle:], settings, stop),
    ]


def _write(
    model: LoadedModel, batch: Sequence[Ids], settings: dict[str, Any], stop: Stop
) -> list[Generated]:
    longest = max(map(len, batch))
    ids = torch.full((len(batch), longest), settings["pad_token_id"], dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(batch):
        ids[row, longest - len(tokens) :] = torch.from_numpy(tokens)
        mask[row, longest - len(tokens) :] = 1
    network: Any = model.network  # what transformers annotates of generate is not usable
    with torch.inference_mode():
        written = network.generate(
            ids.to(model.device),
            attention_mask=mask.to(model.device),
            stopping_criteria=StoppingCriteriaList([stop]),
            **settings,
        )
    return [_read(model, row[longest:], stop) for row in written.cpu()]


def _read(model: LoadedModel, tokens: Tensor, stop: Stop) -> Generated:
    end = model.network.generation_config.eos_token_id
    ends = set(end) if isinstance(end, list) else {end}
    ids = tokens.tolist()
    length = next((index for index, token in enumerate(ids) if token in ends), None)
    if length is None and stop.reason:
        return Generated(None, len(ids), stop.reason)
    text = model.tokenizer.decode(ids[:length], skip_special_tokens=True)
    return Generated(str(text), len(ids) if length is None else length)
