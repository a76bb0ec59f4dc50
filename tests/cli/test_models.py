"""`cert models`: what is here, what would fit, and nobody is asked."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tests.scoring.hub import COMMIT, Hub
from tests.scoring.reference import build_network

from cert_otel.cli import main
from cert_otel.scoring import models as scoring_models
from cert_otel.scoring.defaults import ON_CPU, REFERENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Let the hub's cache be an empty folder of the test."""
    (tmp_path / "hub").mkdir()
    with Hub(tmp_path / "hub") as server:
        server.take_over(monkeypatch)
        yield server
    assert server.asked == []


@pytest.fixture
def list_models(
    capsys: pytest.CaptureFixture[str], hub: Hub
) -> Callable[..., dict[str, dict[str, Any]]]:
    """Run the command; return its models by name."""
    del hub

    def run(*folders: Path) -> dict[str, dict[str, Any]]:
        assert main(["models", *map(str, folders), "--format", "json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        return {model["name"]: model for model in printed["models"]}

    return run


class TestModels:
    """Each model with what it needs."""

    def test_a_folder(self, scorer: Path, list_models: Callable[..., dict[str, Any]]) -> None:
        """Its parameters are counted from the headers of its weights."""
        model = list_models(scorer)[str(scorer)]

        assert (model["source"], model["fits"], model["problem"]) == ("folder", True, None)
        parameters = build_network("qwen2").num_parameters()
        assert model["parameters"] == parameters
        assert model["needed_bytes"] in (2 * parameters, 4 * parameters)

    def test_the_cache_of_the_hub(
        self, scorer: Path, hub: Hub, list_models: Callable[..., dict[str, Any]]
    ) -> None:
        """By name and commit; what predicts no token is left out."""
        hub.put_into_cache("someone/tiny", scorer)
        hub.put_into_cache("someone/embedder", scorer)
        snapshot = hub.cache / "models--someone--embedder" / "snapshots" / COMMIT
        (snapshot / "config.json").write_text('{"architectures": ["BertModel"]}')
        found = list_models()

        assert (found["someone/tiny"]["source"], found["someone/tiny"]["revision"]) == (
            "cache",
            COMMIT,
        )
        assert "someone/embedder" not in found

    def test_what_fits_in_fewer_bits(
        self, scorer: Path, hub: Hub, list_models: Callable[..., dict[str, Any]]
    ) -> None:
        """The layers shrink; embeddings and head do not, and are told apart by their rows."""
        del hub
        model = list_models(scorer)[str(scorer)]

        network: Any = build_network("qwen2")
        ends = 2 * network.get_input_embeddings().weight.numel()
        assert model["embedding_parameters"] == ends
        width_bytes = model["needed_bytes"] // model["parameters"]
        layers = model["parameters"] - ends
        assert model["needed_bytes_8bit"] == int(1.1 * layers + width_bytes * ends)
        assert model["needed_bytes_4bit"] == int(0.6 * layers + width_bytes * ends)
        assert (model["fits_8bit"], model["fits_4bit"]) == (True, True)

    def test_what_would_fit(self, list_models: Callable[..., dict[str, Any]]) -> None:
        """Models that are suggested, and not here, with what they would need."""
        suggested = list_models()[ON_CPU]

        assert suggested["source"] == "hub"
        assert suggested["needed_bytes"] >= 2 * 494_000_000

    @pytest.mark.parametrize(
        ("files", "problem"),
        [
            ({}, "no config.json: not a folder of a model"),
            ({"config.json": '{"architectures": ["BertModel"]}'}, "not a causal language model"),
            ({"config.json": '{"architectures": ["LlamaForCausalLM"]}'}, "no weights"),
            (
                {
                    "config.json": '{"architectures": ["LlamaForCausalLM"]}',
                    "model.safetensors.index.json": '{"weight_map": {"a": "x-1.safetensors"}}',
                },
                "incomplete: 1 files of weights are missing",
            ),
        ],
    )
    def test_a_folder_that_is_none(
        self,
        files: dict[str, str],
        problem: str,
        tmp_path: Path,
        list_models: Callable[..., dict[str, Any]],
    ) -> None:
        """What is wrong with it is said."""
        folder = tmp_path / "folder"
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)

        assert list_models(folder)[str(folder)]["problem"] == problem

    def test_a_folder_that_is_not_there(
        self, tmp_path: Path, list_models: Callable[..., dict[str, Any]]
    ) -> None:
        """It is listed with that."""
        assert list_models(tmp_path / "no")[str(tmp_path / "no")]["problem"] == "no such folder"

    @pytest.mark.parametrize("header", [b"", b"\xff" * 8, b"\2\0\0\0\0\0\0\0[]"])
    def test_weights_that_are_none(
        self, header: bytes, scorer: Path, tmp_path: Path, list_models: Callable[..., Any]
    ) -> None:
        """Their parameters are not known, nor whether they fit."""
        folder = shutil.copytree(scorer, tmp_path / "broken")
        (folder / "model.safetensors").write_bytes(header)
        model = list_models(folder)[str(folder)]

        assert (model["parameters"], model["needed_bytes"], model["fits"]) == (None, None, None)


class TestChoice:
    """Who names no model gets the best that is here and fits."""

    def test_is_what_the_cache_has(
        self, scorer: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The suggested model if it was downloaded; else the packaged one."""
        assert choose(capsys) == REFERENCE

        hub.put_into_cache(ON_CPU, scorer)
        assert choose(capsys) == ON_CPU

    def test_fits(
        self,
        scorer: Path,
        hub: Hub,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """One that is here and too large is passed over."""
        hub.put_into_cache(ON_CPU, scorer)
        monkeypatch.setattr(scoring_models, "count_free_bytes", lambda _: 1_000)

        assert choose(capsys) == REFERENCE


def choose(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the model that would score."""
    assert main(["models", "--format", "json"]) == 0
    chosen: str = json.loads(capsys.readouterr().out)["chosen"]
    return chosen


class TestTable:
    """What people see."""

    @pytest.mark.parametrize(
        ("free_gb", "fits"), [(20, "yes"), (10, "in 8bit"), (7, "in 4bit"), (5, "no")]
    )
    def test_how_a_model_fits(
        self,
        free_gb: int,
        fits: str,
        hub: Hub,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """As it is, else in how many bits."""
        del hub
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(scoring_models, "count_free_bytes", lambda _: free_gb * 10**9)
        monkeypatch.setattr(scoring_models, "find_dtype", lambda _, __: torch.bfloat16)
        assert main(["models"]) == 0

        (row,) = [line for line in capsys.readouterr().out.splitlines() if "7B" in line]
        assert " ".join(row.partition(" M ")[2].split()) == f"15.2 GB 9.4 GB 6.1 GB {fits}"

    def test_the_device_of_the_settings(
        self, hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is looked at is where it would run."""
        del hub
        monkeypatch.setenv("CERT_OTEL_SCORER_DEVICE", "cuda:99")
        assert main(["models"]) == 2

        assert "CUDA devices" in capsys.readouterr().err

    def test_the_machine_and_the_models(
        self,
        scorer: Path,
        hub: Hub,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Device and memory, the model that would be taken, and a row for each."""
        monkeypatch.setenv("COLUMNS", "400")
        hub.put_into_cache("someone/tiny", scorer)
        assert main(["models", str(scorer)]) == 0

        facts, _, table = capsys.readouterr().out.partition("\n\n")
        assert [line.split()[0] for line in facts.splitlines()] == ["device", "fits", "chosen"]
        assert f"chosen  {REFERENCE}" in facts
        assert len(table.splitlines()) == 6
        assert "hub cache" in table
