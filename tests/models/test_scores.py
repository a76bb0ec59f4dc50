"""Bits a byte."""

from __future__ import annotations

import math

import pytest
import torch
from corpus import train_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from scores import Bits, add, neural_bits, spans
from train import Settings, make_model

TEXT = "Every position but the first is scored in exactly one window. " * 3
TOKENIZER = train_tokenizer(iter([TEXT]), vocabulary=290)
SETTINGS = Settings(minutes=None, steps=1, length=16, layers=1, hidden=128, vocabulary=290)


class TestSpans:
    @given(st.integers(0, 300), st.integers(2, 64))
    def test_each_position_is_scored_once(self, tokens: int, length: int) -> None:
        """All positions but the first are scored once, in order, in windows that fit."""
        windows = list(spans(tokens, length))

        assert [i for _, first, end in windows for i in range(first, end)] == list(range(1, tokens))
        assert all(end - start <= length for start, _, end in windows)
        assert all(first - start >= min(length // 2, first) for start, first, _ in windows)


class TestNeuralBits:
    def test_a_model_that_knows_nothing_is_uniform(self) -> None:
        """With all weights zero every token costs the logarithm of the vocabulary."""
        model = make_model(SETTINGS, TOKENIZER)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()

        bits = neural_bits(model, TOKENIZER, TEXT)

        assert bits.bytes == len(TEXT)
        assert bits.bits == pytest.approx(bits.symbols * math.log2(290), rel=1e-5)

    def test_a_short_text_is_one_pass(self) -> None:
        """A text within the window costs what the model's own loss says."""
        model = make_model(SETTINGS, TOKENIZER)
        ids = torch.tensor([TOKENIZER.encode("is scored").ids])
        with torch.no_grad():
            loss = model(ids, labels=ids).loss

        assert loss is not None
        bits = neural_bits(model, TOKENIZER, "is scored")
        assert bits.nats_per_symbol == pytest.approx(loss.item(), rel=1e-5)


class TestBits:
    def test_texts_add_up(self) -> None:
        """The figure of several texts is of their bytes together, not the mean of figures."""
        total = add([Bits(8.0, 1, 1), Bits(2.0, 9, 2)])

        assert total.per_byte == 1
        assert total.perplexity_per_byte == 2
        assert total.nats_per_symbol == pytest.approx(10 * math.log(2) / 3)
