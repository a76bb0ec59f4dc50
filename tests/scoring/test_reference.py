"""The packaged reference model: a real language model, small, offline, and described truly."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "src" / "cert_otel" / "scoring" / "reference"
SAMPLE = Path(__file__).parent / "reference_sample" / "held_out.jsonl"
sys.path.insert(0, str(ROOT / "models" / "reference"))

from corpus import Document, as_turns  # noqa: E402 - the scripts are found by the line above
from export import render_card  # noqa: E402
from scores import Bits, add, neural_bits  # noqa: E402

tokenizer = AutoTokenizer.from_pretrained(FOLDER, local_files_only=True)
metrics: dict[str, Any] = json.loads((FOLDER / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def sample() -> list[Document]:
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    return [Document(**json.loads(line)) for line in lines]


@pytest.fixture(scope="module")
def bits(sample: list[Document]) -> Bits:
    model = AutoModelForCausalLM.from_pretrained(
        FOLDER, dtype=torch.bfloat16, local_files_only=True
    )
    backend = tokenizer.backend_tokenizer
    return add([neural_bits(model, backend, document.text) for document in sample])


class TestModel:
    def test_is_small(self) -> None:
        """All its files together are at most 12 MB, as the wheel carries them."""
        assert sum(path.stat().st_size for path in FOLDER.rglob("*")) <= 12_000_000

    def test_sample_is_held_out(self, sample: list[Document]) -> None:
        """The sample is what the figures name, and was never trained on."""
        assert all(document.is_held_out for document in sample)
        assert [document.file for document in sample] == metrics["held_out"]["sample"]["files"]

    def test_beats_the_5gram(self, bits: Bits) -> None:
        """On text that it never saw it needs fewer bits a byte than n-grams of the same training."""
        figures = metrics["held_out"]["sample"]

        assert bits.bytes == figures["bytes"]
        assert bits.per_byte < 0.97 * figures["token_5gram"] < figures["byte_5gram"] < 8

    def test_figures_are_those_of_the_files(self, bits: Bits) -> None:
        """The packaged weights give the figure that was written down, to a percent."""
        assert bits.per_byte == pytest.approx(metrics["held_out"]["sample"]["reference"], rel=0.01)


class TestTokenizer:
    @given(st.text())
    def test_any_text_comes_back(self, text: str) -> None:
        """A text is one beginning-of-text token and its bytes, in any language."""
        ids = tokenizer(text)["input_ids"]

        assert ids[0] == tokenizer.bos_token_id
        assert tokenizer.decode(ids[1:]) == text

    @given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
    def test_offsets_cover_the_text(self, text: str) -> None:
        """Tokens tell where in the text they stand, from its start to its end."""
        offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"][1:]

        assert not text or (offsets[0][0], offsets[-1][1]) == (0, len(text))


def render(*messages: dict[str, Any], add_generation_prompt: bool = False) -> str:
    """Return the text that the chat template makes of messages."""
    return str(
        tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=add_generation_prompt
        )
    )


class TestChatTemplate:
    def test_is_what_training_showed(self) -> None:
        """A conversation is rendered as the turns that the model saw in training."""
        rendered = render(
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Why?"},
            {"role": "assistant", "content": "Because."},
        )

        assert rendered == "<|bos|>" + as_turns("Be brief.\nWhy?\nBecause.")

    def test_generation_starts_the_assistant(self) -> None:
        """A prompt for generation ends with the assistant's token."""
        rendered = render({"role": "user", "content": "Hi"}, add_generation_prompt=True)

        assert rendered == "<|bos|><|user|>Hi<|end|><|assistant|>"

    @pytest.mark.parametrize(
        ("role", "token"),
        [("developer", "system"), ("function", "tool"), ("tool", "tool"), ("reviewer", "user")],
    )
    def test_every_role_has_a_token(self, role: str, token: str) -> None:
        """Roles by other names speak as the one they stand for, unknown ones as the user."""
        assert render({"role": role, "content": "Hi"}) == f"<|bos|><|{token}|>Hi<|end|>"

    def test_tool_calls_are_text(self) -> None:
        """A turn that only calls a tool shows the call as JSON."""
        call = {"type": "function", "function": {"name": "find", "arguments": {}}}

        rendered = render({"role": "assistant", "content": None, "tool_calls": [call]})

        assert rendered == f"<|bos|><|assistant|>{json.dumps([call])}<|end|>"


class TestCard:
    def test_says_what_was_measured(self) -> None:
        """The card is its template with the figures of `metrics.json`: making it again changes nothing."""
        assert render_card(metrics) == (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")

    def test_warns_first(self) -> None:
        """It says that it is a reference model, not for production, before anything else."""
        lines = (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8").splitlines()

        assert lines[1] == "# cert-otel reference model"
        assert lines[3].startswith("**A reference model, not for production.**")

    def test_names_the_code_that_trained(self) -> None:
        """Every part of the run has a whole and clean commit: no figure of code that nobody can read."""
        commits = [part["commit"] for part in metrics["training"]["parts"]]

        assert commits
        assert all(len(commit) == 40 and int(commit, 16) for commit in commits)
