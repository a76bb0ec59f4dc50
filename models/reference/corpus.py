"""The text that the reference model learns: documents, their split, its tokens, its windows."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

HELD_OUT_PERCENT = 5
TURNS_PERCENT = (
    10  # documents whose paragraphs are shown as turns, so that the role tokens mean something
)
VOCABULARY = 6144
BOS, EOS, PAD, END = "<|bos|>", "<|eos|>", "<|pad|>", "<|end|>"
ROLES = ("system", "user", "assistant", "tool")
SPECIAL_TOKENS = (BOS, EOS, PAD, END, *(f"<|{role}|>" for role in ROLES))
BOS_ID = SPECIAL_TOKENS.index(BOS)  # special tokens take the first numbers, in this order
TURN_ORDER = ("system", "user", "assistant", "user", "tool", "assistant")


@dataclass(frozen=True, slots=True)
class Document:
    """One file of prose."""

    source: str
    file: str
    text: str

    @property
    def bucket(self) -> int:
        """SHA-256 of the file's name modulo 100: what decides its part, whatever else is there."""
        return int.from_bytes(hashlib.sha256(self.file.encode()).digest()[:8]) % 100

    @property
    def is_held_out(self) -> bool:
        """Never seen in training, by the tokenizer neither."""
        return self.bucket < HELD_OUT_PERCENT

    @property
    def is_english(self) -> bool:
        """Not one of the few translations, which a model of English is not judged by."""
        return sum(map(str.isascii, self.text)) > len(self.text) / 2

    @property
    def has_turns(self) -> bool:
        """Shown in training as a conversation."""
        return HELD_OUT_PERCENT <= self.bucket < HELD_OUT_PERCENT + TURNS_PERCENT


def read_documents(path: Path) -> list[Document]:
    """Read gzipped JSON lines with `source`, `file` and `text`."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [Document(row["source"], row["file"], row["text"]) for row in rows]


def split(documents: Sequence[Document]) -> tuple[list[Document], list[Document]]:
    """Training and held-out documents."""
    return (
        [document for document in documents if not document.is_held_out],
        [document for document in documents if document.is_held_out],
    )


def train_tokenizer(texts: Iterator[str], *, vocabulary: int = VOCABULARY) -> Tokenizer:
    """Learn a byte-level BPE: any text is tokens, and tokens are exactly the text's bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, token_id(tokenizer, BOS))]
    )
    return tokenizer


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """Number of a token that the tokenizer must have."""
    number = tokenizer.token_to_id(token)
    if number is None:
        raise ValueError(f"the tokenizer has no {token}: it is not one of the reference model")
    return number


def as_turns(text: str) -> str:
    """Show the paragraphs of a text as the turns of a conversation, in the form of the chat template."""
    turns = enumerate(text.split("\n"))
    return "".join(f"<|{TURN_ORDER[i % len(TURN_ORDER)]}|>{turn}{END}" for i, turn in turns)


def encode_document(tokenizer: Tokenizer, document: Document) -> NDArray[np.uint16]:
    """Tokens of a training document between the beginning-of-text and end-of-text tokens."""
    text = as_turns(document.text) if document.has_turns else document.text
    return np.array([*tokenizer.encode(text).ids, token_id(tokenizer, EOS)], dtype=np.uint16)


def windows(
    documents: Sequence[NDArray[np.uint16]], *, length: int, seed: int, epoch: int
) -> NDArray[np.uint16]:
    """Pack one epoch into rows of `length` tokens without padding.

    Documents are put in another order, cut at another offset and the rows shuffled for every
    epoch, and for the same seed and epoch always alike: a resumed run sees what it would have seen.
    """
    random = np.random.default_rng([seed, epoch])
    stream = np.concatenate([documents[i] for i in random.permutation(len(documents))])
    stream = stream[random.integers(min(length, len(stream) - length + 1)) :]
    rows = stream[: len(stream) // length * length].reshape(-1, length)
    return rows[random.permutation(len(rows))]
