"""One question to a causal model about many samples, answered by the logits of Yes and No."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch

from cert_otel.errors import ConfigError
from cert_otel.evaluation._sentences import cut_windows, join_context
from cert_otel.evaluation._verdicts import Verdict
from cert_otel.evaluation.prompts import make_code
from cert_otel.scoring.packing import Piece, plan_packs
from cert_otel.scoring.prompts import Sample as PromptSample
from cert_otel.scoring.prompts import encode
from cert_otel.scoring.scorer import CPU_BUDGET, CUDA_BUDGET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from cert_otel.evaluation.prompts import Prompt
    from cert_otel.evaluation.sample import Sample
    from cert_otel.scoring.networks import LoadedModel
    from cert_otel.scoring.packing import Pack

YES: Final = ("Yes", "yes", "YES", " Yes", " yes")
NO: Final = ("No", "no", "NO", " No", " no")
"""Ways of writing an answer, of which the first token counts."""
TOO_LONG: Final = "longer_than_window"
OUT_OF_MEMORY: Final = "out_of_memory"
NOT_FINITE: Final = "not_finite"

_OVERLAP_SHARE: Final = 0.25
_SLACK_TOKENS: Final = 8
"""A stretch of a text alone may be some tokens longer than within it."""


class _Window(NamedTuple):
    """One text that is read: a sample with a window of its context."""

    owner: int
    context: str


class YesOrNo:
    """Asks one model with one prompt; not for several threads at once."""

    def __init__(
        self, model: LoadedModel, prompt: Prompt, *, max_tokens: int | None = None
    ) -> None:
        self._model = model
        self._prompt = prompt
        # The last token is the answer's, which is not read.
        self._window = min(max_tokens or model.window, model.window) - 1
        tokenizer: Callable[..., Any] = model.tokenizer  # typed as if it could not be called
        self._tokenize = tokenizer
        yes, no = _find_first(tokenizer, YES), _find_first(tokenizer, NO)
        if not (yes - no and no - yes):
            raise ConfigError("model", f"{model.name}: its tokenizer does not tell Yes from No")
        self._rows = torch.tensor([*sorted(yes - no), *sorted(no - yes)], device=model.device)
        self._yes = len(yes - no)

    def measure(self, samples: Sequence[Sample]) -> list[Verdict]:
        """Return p(Yes) / (p(Yes) + p(No)) for each sample, in order."""
        windows = [
            window for owner, sample in enumerate(samples) for window in self._cut(owner, sample)
        ]
        pieces = self._encode(samples, windows)
        found: dict[int, list[float | str]] = {}
        for pack in self._plan([piece for piece in pieces if piece is not None]):
            for owner, p in self._read(pack):
                found.setdefault(owner, []).append(p)
        too_long = {w.owner for w, piece in zip(windows, pieces, strict=True) if piece is None}
        return [
            Verdict(reason=TOO_LONG) if owner in too_long else _decide(found.get(owner, []))
            for owner in range(len(samples))
        ]

    def _cut(self, owner: int, sample: Sample) -> list[_Window]:
        text = join_context(sample.context).text
        frame = self._encode_texts([(sample, "")])[0]
        room = self._window - frame.scored_from - _SLACK_TOKENS
        if room < 1 or not self._model.tokenizer.is_fast:
            return [_Window(owner, text)]  # without offsets it is read whole, or not at all
        offsets = self._tokenize(
            _clean(text), add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )["offset_mapping"]
        ranges = cut_windows(offsets, room=room, overlap=int(room * _OVERLAP_SHARE))
        return [_Window(owner, text[start:end]) for start, end in ranges]

    def _encode(self, samples: Sequence[Sample], windows: Sequence[_Window]) -> list[Piece | None]:
        """Return what is read of each window; `None` for what does not fit the model's."""
        encoded = self._encode_texts([(samples[one.owner], one.context) for one in windows])
        return [
            Piece(window.owner, text.ids[: text.scored_from + 1], text.scored_from)
            if text.scored_from <= self._window
            else None
            for window, text in zip(windows, encoded, strict=True)
        ]

    def _encode_texts(self, texts: Sequence[tuple[Sample, str]]) -> Sequence[Any]:
        asked = [
            PromptSample(prompt=self._fill(sample, context), completion=YES[0])
            for sample, context in texts
        ]
        return encode(self._model.tokenizer, asked)

    def _fill(self, sample: Sample, context: str) -> str:
        question = sample.question or "(none)"
        values = {
            "context": context,
            "question": question,
            "answer": sample.answer,
            # Its own, so that answers to one context begin alike and are computed once.
            "context_code": make_code(self._prompt, context),
            "code": make_code(self._prompt, context, question, sample.answer),
        }
        return self._prompt.fill(values) + "\n"

    def _plan(self, pieces: Sequence[Piece]) -> Iterator[Pack]:
        if not self._model.packs:
            return plan_packs(pieces, budget=1, share=False)
        budget = CUDA_BUDGET if self._model.device.type == "cuda" else CPU_BUDGET
        return plan_packs(pieces, budget=budget)

    def _read(self, pack: Pack) -> Iterator[tuple[int, float | str]]:
        """Yield the figure of each piece; short of memory by halves."""
        try:
            shares = self._compute(pack)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
        else:
            yield from zip((piece.owner for piece in pack.pieces), shares.tolist(), strict=True)
            return
        halves = pack.halves()
        for half in halves:
            yield from self._read(half)
        if not halves:
            yield from ((piece.owner, OUT_OF_MEMORY) for piece in pack.pieces)

    def _compute(self, pack: Pack) -> Tensor:
        with torch.inference_mode():
            states = self._model.read(pack)
            logits = self._model.head.select(self._rows).logits(states).double()
            yes, no = logits[:, : self._yes], logits[:, self._yes :]
            return torch.sigmoid(yes.logsumexp(1) - no.logsumexp(1)).cpu()


def _find_first(tokenizer: Callable[..., Any], texts: Sequence[str]) -> set[int]:
    ids = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts)
    return {tokens[0] for tokens in ids if tokens}


def _clean(text: str) -> str:
    """Replace lone surrogates, one character by one, so that offsets stay."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _decide(found: Sequence[float | str]) -> Verdict:
    reasons = [one for one in found if isinstance(one, str)]
    shares = [one for one in found if not isinstance(one, str)]
    if reasons or not shares:
        return Verdict(reason=reasons[0] if reasons else TOO_LONG)
    if not all(map(math.isfinite, shares)):
        return Verdict(reason=NOT_FINITE)
    return Verdict(score=max(shares))
