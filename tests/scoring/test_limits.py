"""What is long, much or strange: each has a stated result, and takes no other along."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cert_otel.scoring.prompts import Sample, encode
from cert_otel.scoring.scorer import TokenScorer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scoring.reference import Reference

    from cert_otel.scoring.networks import LoadedModel

ROOT = Path(__file__).parent.parent.parent


class TestLength:
    def test_a_hundred_thousand_tokens(self, model: LoadedModel) -> None:
        """Every token of a text far beyond the window is scored, in pieces whose number is said."""
        text = Sample(prompt="Once", completion="upon a time " * 8_400)

        (result,) = TokenScorer(model).score([text])

        assert result.status == "scored"
        assert result.tokens is not None
        assert len(result.tokens) == len(text.completion) > 100_000
        assert result.pieces == 24

    def test_ten_thousand_texts(self, model: LoadedModel) -> None:
        """Results come in the order of the samples, one each."""
        samples = [Sample(prompt=f"{n}", completion="x" * (n % 7)) for n in range(10_000)]

        results = TokenScorer(model, budget=16_384).score(samples)

        lengths = [len(result.tokens) if result.tokens else 0 for result in results]
        assert lengths == [n % 7 for n in range(10_000)]
        assert {result.status for result in results} == {"scored", "skipped"}


class TestScripts:
    @pytest.mark.parametrize(
        "text",
        [
            "👩‍👩‍👧 yes 🇪🇺!",
            "是的,今天下雨。",
            "はい、雨です。",
            "نعم، إنها تمطر",
            "e\u0301te\u0301",
            "\x00\ufffd",
        ],
    )
    def test_every_script(
        self, model: LoadedModel, refer: Callable[[str], Reference], text: str
    ) -> None:
        """Emoji, CJK and what is written from right to left are scored as the reference does."""
        sample = Sample(prompt="雨?", completion=text)

        (result,) = TokenScorer(model).score([sample])
        (encoded,) = encode(model.tokenizer, [sample])

        assert result.tokens is not None
        expected = refer("qwen2").score(encoded.ids, encoded.scored_from)
        np.testing.assert_allclose(result.tokens.nll, expected["nll"], atol=1e-5)
        covered = "".join(text[start:end] for start, end in dict.fromkeys(result.offsets))
        assert covered == text


class TestMemoryCap:
    def test_what_fits_is_scored(self) -> None:
        """Under a real cap a text too large is an error, and the small ones beside it are scored."""
        done = subprocess.run(
            [sys.executable, Path(__file__).with_name("memory_cap.py")],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "MALLOC_ARENA_MAX": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        first, *others = json.loads(done.stdout)
        assert first == ["error", "out_of_memory"]
        assert others == [["scored", None]] * 40
