"""The training of the reference model, on a toy text."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

import pytest
import torch
from corpus import Document, encode_document, train_tokenizer
from export import read_run
from hypothesis import given
from hypothesis import strategies as st
from train import (
    WARM_UP,
    Run,
    Settings,
    batches,
    load_checkpoint,
    main,
    make_model,
    make_optimizers,
    rate_factor,
    save_checkpoint,
    train,
)

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "The gate is the mean of what was said.\nIt is said once, and then once more.\n" * 8
TOKENIZER = train_tokenizer(iter([TEXT]), vocabulary=290)
DOCUMENTS = [encode_document(TOKENIZER, Document("s", f"{i}.md", TEXT)) for i in range(6)]
SETTINGS = Settings(
    minutes=None, steps=3, length=32, short_length=8, batch_rows=4, micro_rows=2, layers=1, hidden=128,
    vocabulary=290,
)  # fmt: skip


def start() -> Run:
    model = make_model(SETTINGS, TOKENIZER)
    return Run(model, make_optimizers(model, SETTINGS))


def losses(run: Run, steps: int) -> list[float]:
    """Train for some steps, or to the end of the schedule."""
    stream = batches(DOCUMENTS, SETTINGS, first_step=run.step)
    with ThreadPoolExecutor(2) as pool:
        rows = islice(train(run, stream, SETTINGS, pool), steps)
        return [row["loss_nats_per_token"] for row in rows]


class TestTrain:
    def test_three_steps_learn_something(self) -> None:
        """The schedule ends after its steps, and the loss is lower than before them."""
        run = start()

        seen = losses(run, 10)

        assert len(seen) == run.step == 3
        assert seen[2] < seen[0] - 0.1

    def test_a_resumed_run_is_the_same_run(self, tmp_path: Path) -> None:
        """Stopped after two steps and resumed, a run ends with the weights of one that was not."""
        whole, stopped, resumed = start(), start(), start()
        expected = losses(whole, 3)
        first = losses(stopped, 2)
        save_checkpoint(stopped, tmp_path)
        load_checkpoint(resumed, tmp_path)

        assert first + losses(resumed, 3) == expected
        for ours, theirs in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
            assert torch.equal(ours, theirs)


class TestSchedule:
    @given(st.floats(0, 1))
    def test_is_a_share_of_the_peak(self, progress: float) -> None:
        """The rate is never above its peak nor below zero."""
        assert 0 <= rate_factor(progress) <= 1

    def test_warms_up_and_decays_to_nothing(self) -> None:
        """It starts near zero, reaches the peak after the warm-up and ends at zero."""
        assert rate_factor(0) == pytest.approx(0.01)
        assert rate_factor(WARM_UP) == 1
        assert rate_factor(1) == pytest.approx(0)

    def test_windows_grow_to_those_of_the_model(self) -> None:
        """Windows are short while most is learned, and at the end as long as the model's."""
        assert SETTINGS.length_at(0) == 8
        assert SETTINGS.length_at(0.9) == 32

    def test_follows_the_clock_or_the_steps(self) -> None:
        """Minutes make the run end by the clock, steps by the count."""
        by_clock = Settings(minutes=2, steps=None)
        by_steps = Settings(minutes=None, steps=10)

        assert by_clock.progress(step=9, elapsed_s=60) == pytest.approx(0.5)
        assert by_steps.progress(step=9, elapsed_s=60) == pytest.approx(0.9)


class TestCommand:
    def test_leaves_what_export_reads(self, tmp_path: Path) -> None:
        """From prose to a folder with log, checkpoint, tokenizer and the code that trained."""
        data = tmp_path / "prose.jsonl.gz"
        with gzip.open(data, "wt", encoding="utf-8") as file:
            for i in range(30):
                file.write(json.dumps({"source": "s", "file": f"{i}.md", "text": TEXT}) + "\n")
        out = tmp_path / "run"

        main([
            "--data", str(data), "--out", str(out), "--steps", "2", "--length", "32", "--short-length", "8",
            "--layers", "1", "--hidden", "128", "--vocabulary", "290",
        ])  # fmt: skip

        model, tokenizer, settings = read_run(out)
        log = (out / "log.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["step"] for line in log] == [1, 2]
        assert model.config.vocab_size == tokenizer.get_vocab_size() == settings.vocabulary
        part = json.loads((out / "parts.jsonl").read_text(encoding="utf-8"))
        assert part["from_step"] == 0
        assert len(part["commit"].removesuffix("-dirty")) == 40
