"""Evaluators of another package, installed for one test."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MODULE = "somebodys_evaluators"
SOURCE = '''
"""Evaluators that look for words of the answer in the context."""

from cert_otel.errors import ConfigError
from cert_otel.evaluation.sample import Evidence, Judgement


class Words:
    """The share of the answer's words that are in the context."""

    name = "words"

    def judge(self, samples):
        return [self.judge_one(sample) for sample in samples]

    def judge_one(self, sample):
        made = {"name": self.name, "evaluator": "somebodys_evaluators", "revision": "1"}
        context = " ".join(item.text for item in sample.context)
        if not context:
            return Judgement(score=None, reason="no_context", **made)
        words = sample.answer.split()
        if not words:
            return Judgement(score=None, reason="empty_answer", **made)
        missing = [word for word in words if word not in context]
        evidence = tuple(
            Evidence(start=at, end=at + len(word), kind="term")
            for word in missing
            for at in [sample.answer.index(word)]
        )
        score = 1 - len(missing) / len(words)
        return Judgement(score=score, evidence=evidence, latency_ms=0.5, **made)


class Breaks(Words):
    """Fails on every answer with the word "break"."""

    name = "breaks"

    def judge(self, samples):
        if any("break" in sample.answer for sample in samples):
            raise RuntimeError("secret text of the answer")
        return super().judge(samples)


class Short(Words):
    """Forgets the last answer."""

    name = "short"

    def judge(self, samples):
        return super().judge(samples)[:-1]


def refuse():
    raise ConfigError("SOMEBODYS_MODEL", "is not set")


def fall():
    raise OSError("no such library")


def make_nothing():
    return object()
'''


def write_package(site: Path, **factories: str) -> None:
    """Write a package that names evaluators, `name="Factory"` each, as pip installs it."""
    info = site / "somebodys-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{MODULE}.py").write_text(SOURCE, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys\nVersion: 1.0\n")
    points = "".join(f"{name} = {MODULE}:{made}\n" for name, made in factories.items())
    (info / "entry_points.txt").write_text(f"[cert_otel_evaluator]\n{points}")


@pytest.fixture
def somebodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a package that names evaluators."""

    def install(**factories: str) -> None:
        site = tmp_path / "site"
        write_package(site, **factories)
        monkeypatch.syspath_prepend(str(site))
        importlib.invalidate_caches()

    yield install
    sys.modules.pop(MODULE, None)
