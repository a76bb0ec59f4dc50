"""Prompts: their versions, what is filled in, and the codes of their markers."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cert_otel.evaluation.prompts import Prompt, load_prompt, make_code

RELEASED = {"judge-1": "af21dc725150", "supported-1": "98281c1a87ea"}


class TestVersions:
    @pytest.mark.parametrize("name", RELEASED)
    def test_a_released_wording_stays(self, name: str) -> None:
        """Scores of one version come from one wording: a change needs a new version."""
        assert load_prompt(name).hash == RELEASED[name]

    def test_the_hash_tells_system_from_user(self) -> None:
        """Words that move from one message to the other are another prompt."""
        assert Prompt("p", "a b", "c").hash != Prompt("p", "b", "c a").hash
        assert Prompt("p", "a").hash != Prompt("p", "a", "").hash


class TestFill:
    @given(st.text(), st.text())
    def test_values_are_not_filled_in_turn(self, context: str, answer: str) -> None:
        """What stands in braces in a value is part of it."""
        prompt = Prompt("p", "<{context}|{answer}>")

        filled = prompt.fill({"context": "{answer}" + context, "answer": answer})

        assert filled == "<{answer}" + context + "|" + answer + ">"


class TestMakeCode:
    @given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
    def test_is_of_the_texts(self, one: list[str], other: list[str]) -> None:
        """The same texts have the same code, and others another, however they are cut."""
        assume(one != other)
        prompt = load_prompt("judge-1")

        assert make_code(prompt, *one) == make_code(prompt, *one)
        assert make_code(prompt, *one) != make_code(prompt, *other)
