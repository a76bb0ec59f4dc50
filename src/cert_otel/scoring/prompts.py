"""A recorded call as token ids: the model's own chat template, or prompt and completion joined.

Prompt and completion become tokens together, as one text; a token is scored when it ends inside
the completion. Where one token would straddle the border, both sides become tokens apart, which
is how the model that wrote the completion saw them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec
import numpy as np
from jinja2 import TemplateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from cert_otel.scoring.packing import Ids

Form = Literal["chat", "joined"]
Template = Literal["auto", "none"]
"""`auto` is the model's chat template where it has one; `none` joins prompt and completion."""
Span = tuple[int, int]

NO_TEMPLATE: Final = "no chat template"

_logger = logging.getLogger(__name__)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What to score: a completion, and what came before it as messages or as one text."""

    completion: str
    prompt: str | None = None
    """One user message to a model with a chat template. Not read where there are messages."""
    messages: tuple[dict[str, Any], ...] = ()
    """`role` with `content`, or with the `parts` of `gen_ai.input.messages`."""
    tools: tuple[dict[str, Any], ...] = ()
    template: Template = "auto"
    """With `none`, prompt and completion become tokens apart: their ids are joined."""
    context: str | None = None
    """A part of the prompt or messages: the completion is read without it as well, for
    `context_gain`."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A sample as tokens."""

    ids: Ids
    """[tokens]."""
    scored_from: int
    """Index of the first token that is scored."""
    offsets: tuple[Span, ...]
    """The characters of the completion that each scored token covers; empty if unknown."""
    form: Form
    reason: str | None = None
    """Why the form is `joined`."""
    unscored: int = 0
    """1 if the first token of the completion has nothing before it, not even a start token."""
    question: Span | None = None
    """The tokens of the question where it stands in the prompt, as a half-open range."""


class _Text(NamedTuple):
    prompt: str
    completion: str
    form: Form
    reason: str | None = None
    apart: bool = False
    question: Span | None = None
    """The characters of the question in the prompt."""


def encode(tokenizer: PreTrainedTokenizerBase, samples: Sequence[Sample]) -> list[Encoded]:
    """Turn samples into tokens, in order; in one call of the tokenizer for each form."""
    texts = [_locate(_render(tokenizer, sample), find_question(sample)) for sample in samples]
    encoded: list[Encoded | None] = [None] * len(texts)
    for index, text in enumerate(texts):
        if text.apart:
            encoded[index] = _encode_apart(tokenizer, text)
    for form in ("chat", "joined"):
        chosen = [i for i, text in enumerate(texts) if text.form == form and not text.apart]
        for index, result in zip(
            chosen, _encode(tokenizer, [texts[i] for i in chosen]), strict=True
        ):
            encoded[index] = result
    return [result for result in encoded if result is not None]


def find_question(sample: Sample) -> str | None:
    """Return the last user message, or the prompt."""
    messages, joined = flatten_messages(sample)
    of_users = [str(one["content"]) for one in messages if one.get("role") == "user"]
    return next((text for text in reversed(of_users) if text.strip()), joined) or None


def leave_out_context(sample: Sample) -> Sample | None:
    """Return a sample without its context; `None` where it has none, or none of its texts does."""
    if not sample.context:
        return None
    messages, _ = flatten_messages(sample)
    bare = tuple(
        {**one, "content": str(one["content"]).replace(sample.context, "")} for one in messages
    )
    if bare == tuple(messages):
        return None
    return msgspec.structs.replace(sample, prompt=None, messages=bare, context=None)


def _locate(text: _Text, question: str | None) -> _Text:
    # Templates may strip a message, and do not change it otherwise.
    wanted = _clean(question or "").strip()
    begin = text.prompt.rfind(wanted) if wanted else -1
    return text if begin < 0 else text._replace(question=(begin, begin + len(wanted)))


def _find_tokens(span: Span | None, offsets: list[Span]) -> Span | None:
    """Return the range of the tokens that end within a range of characters."""
    if span is None or not offsets:
        return None
    first, last = (
        int(place) for place in np.searchsorted([end for _, end in offsets], span, "right")
    )
    return (first, last) if first < last else None


def _render(tokenizer: PreTrainedTokenizerBase, sample: Sample) -> _Text:
    completion = _clean(sample.completion)
    messages, joined = flatten_messages(sample)
    if not messages:
        return _Text("", completion, "joined", "no prompt")
    if sample.template == "none":
        return _Text(joined, completion, "joined", "template none", apart=True)
    if not tokenizer.chat_template:
        return _Text(joined, completion, "joined", NO_TEMPLATE)
    try:
        prompt = tokenizer.apply_chat_template(
            messages, tools=list(sample.tools) or None, tokenize=False, add_generation_prompt=True
        )
    except (TemplateError, TypeError, KeyError, ValueError) as problem:
        _logger.debug("chat template refused", exc_info=True)
        return _Text(joined, completion, "joined", f"the chat template refused: {problem}")
    return _Text(_clean(str(prompt)), completion, "chat")


def flatten_messages(sample: Sample) -> tuple[list[dict[str, Any]], str]:
    """Return the messages of a sample as chat templates read them, and their texts joined."""
    messages = [_flatten(message) for message in sample.messages]
    if not messages and sample.prompt is not None:
        messages = [{"role": "user", "content": sample.prompt}]
    joined = "\n".join(str(message["content"]) for message in messages if message["content"])
    return messages, _clean(sample.prompt if not sample.messages and sample.prompt else joined)


def _flatten(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message as chat templates read it: the text of its parts as `content`."""
    if "parts" not in message:
        return {**message, "content": _join_content(message.get("content"))}
    texts: list[str] = []
    calls = []
    for part in message["parts"]:
        if part.get("type") == "tool_call":
            function = {"name": part.get("name"), "arguments": part.get("arguments") or {}}
            calls.append({"type": "function", "function": function})
        else:
            texts.append(_to_text(part))
    content = "\n".join(text for text in texts if text)
    flat = {"role": message.get("role", "user"), "content": content}
    return {**flat, "tool_calls": calls} if calls else flat


def _join_content(content: str | list[dict[str, Any]] | None) -> str:
    """Return the text of a content that may be a list, of which images are left out."""
    if isinstance(content, list):
        return "\n".join(str(part["text"]) for part in content if part.get("text"))
    return content or ""


def _to_text(part: dict[str, Any]) -> str:
    content = part.get("content", part.get("response", part.get("result")))
    if content is None or isinstance(content, str):
        return content or ""
    return msgspec.json.encode(content).decode()


def _clean(text: str) -> str:
    """Replace lone surrogates, which no tokenizer takes, one character by one."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _encode(tokenizer: PreTrainedTokenizerBase, texts: list[_Text]) -> list[Encoded]:
    if not texts:
        return []
    if not tokenizer.is_fast:
        return [_encode_apart(tokenizer, text) for text in texts]
    batch = tokenizer(
        [text.prompt + text.completion for text in texts],
        add_special_tokens=texts[0].form == "joined",
        return_offsets_mapping=True,
        verbose=False,
    )
    return [
        _cut(tokenizer, text, ids, offsets)
        for text, ids, offsets in zip(
            texts, batch["input_ids"], batch["offset_mapping"], strict=True
        )
    ]


def _cut(
    tokenizer: PreTrainedTokenizerBase, text: _Text, ids: list[int], offsets: list[Span]
) -> Encoded:
    border = len(text.prompt)
    inside = [index for index, (_, end) in enumerate(offsets) if end > border]
    if not inside:
        return _finish(tokenizer, text, ids, len(ids), ())
    first, last = inside[0], inside[-1]
    if offsets[first][0] < border:
        return _encode_apart(tokenizer, text)
    spans = tuple(
        (max(begin - border, 0), end - border) for begin, end in offsets[first : last + 1]
    )
    # A tokenizer's own end token, after the text, is nothing that the answer said.
    question = _find_tokens(text.question, offsets[:first])
    encoded = _finish(tokenizer, text, ids[: last + 1], first, spans)
    return replace(encoded, question=question)


def _encode_apart(tokenizer: PreTrainedTokenizerBase, text: _Text) -> Encoded:
    before = tokenizer(
        text.prompt,
        add_special_tokens=text.form == "joined",
        return_offsets_mapping=tokenizer.is_fast,
        verbose=False,
    )
    prompt = before["input_ids"]
    completion = tokenizer(
        text.completion,
        add_special_tokens=False,
        return_offsets_mapping=tokenizer.is_fast,
        verbose=False,
    )
    if prompt and prompt[-1] == tokenizer.eos_token_id and text.form == "joined":
        prompt = prompt[:-1]
    spans = tuple(completion.get("offset_mapping", ()))
    question = _find_tokens(text.question, list(before.get("offset_mapping", ()))[: len(prompt)])
    ids = prompt + completion["input_ids"]
    return replace(_finish(tokenizer, text, ids, len(prompt), spans), question=question)


def _finish(
    tokenizer: PreTrainedTokenizerBase,
    text: _Text,
    ids: list[int],
    first: int,
    spans: tuple[Span, ...],
) -> Encoded:
    if first == 0 and tokenizer.bos_token_id is not None:
        ids, first = [tokenizer.bos_token_id, *ids], 1
    unscored = 1 if first == 0 and ids else 0
    return Encoded(
        ids=np.asarray(ids, dtype=np.int64),
        scored_from=first + unscored,
        offsets=spans[unscored:],
        form=text.form,
        reason=text.reason,
        unscored=unscored,
    )
