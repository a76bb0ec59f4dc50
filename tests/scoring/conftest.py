"""Small models, loaded once a session."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
import torch
from tests.scoring.hub import Hub
from tests.scoring.reference import Reference, build_network, build_tokenizer

from cert_otel.scoring.networks import LoadedModel, prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def load() -> Callable[[str], LoadedModel]:
    """Return what makes a model ready to score, by the name of its configuration."""

    @cache
    def load(name: str) -> LoadedModel:
        return prepare(build_network(name), build_tokenizer(), name=name)

    return load


@pytest.fixture(scope="session")
def refer() -> Callable[[str], Reference]:
    """Return what makes the reference of a model, by the same name."""
    return cache(lambda name: Reference(build_network(name)))


@pytest.fixture(scope="session")
def model(load: Callable[[str], LoadedModel]) -> LoadedModel:
    """Return a model of the kind that is scored with most."""
    return load("qwen2")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Return a hub without a model, and an empty cache."""
    (tmp_path / "hub").mkdir()
    with Hub(tmp_path / "hub") as server:
        server.take_over(monkeypatch)
        yield server


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
