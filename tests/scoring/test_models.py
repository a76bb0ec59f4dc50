"""Loading a model: from a folder, or an error that says what to do."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from tests.scoring.hub import COMMIT
from tests.scoring.reference import TEMPLATE, build_network, build_tokenizer

from cert_otel.errors import (
    ConfigError,
    HubUnreachableError,
    MissingExtraError,
    ModelNotFoundError,
    ModelTooLargeError,
    RemoteCodeError,
    TokenizerMismatchError,
    UnsupportedModelError,
)
from cert_otel.scoring import models
from cert_otel.scoring.loading import fingerprint
from cert_otel.scoring.models import find_device, find_dtype, load_model
from cert_otel.scoring.networks import prepare
from cert_otel.scoring.prompts import Sample
from cert_otel.scoring.scorer import TokenScorer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scoring.hub import Hub

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as transformers writes it."""
    path = tmp_path_factory.mktemp("model")
    build_network("qwen2").save_pretrained(path)
    build_tokenizer().save_pretrained(path)
    return path


def copy_folder(folder: Path, to: Path, **changed: Any) -> Path:
    """Copy a model folder, with fields of its config changed."""
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    config = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps({**config, **changed}))
    return to


class TestLoadModel:
    def test_a_folder(self, folder: Path) -> None:
        """A folder loads, offline, and scores as the network that was saved."""
        model = load_model(folder, dtype="float32", offline=True)
        sample = Sample(prompt="Hi", completion="It rains.")

        (loaded,) = TokenScorer(model).score([sample])
        saved = prepare(build_network("qwen2"), build_tokenizer(), name="saved")
        (expected,) = TokenScorer(saved).score([sample])

        assert loaded.tokens is not None
        assert expected.tokens is not None
        assert np.array_equal(loaded.tokens.nll, expected.tokens.nll)
        assert (model.name, model.revision) == (str(folder), fingerprint(folder))
        assert (model.device, model.dtype, model.packs) == (CPU, "float32", True)
        assert model.tokenizer.chat_template == TEMPLATE
        assert model.template_hash == saved.template_hash != None  # noqa: E711 - in one look

    def test_quiet(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Loading prints nothing: no progress bar."""
        load_model(folder, dtype="float32")

        assert capfd.readouterr() == ("", "")

    def test_no_such_folder(self) -> None:
        """A path that is no folder is said to be none; the hub is not asked."""
        with pytest.raises(ModelNotFoundError, match="/none/here: no such folder"):
            load_model("/none/here")

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        """A folder without a model is named."""
        with pytest.raises(ModelNotFoundError, match=r"it has no config\.json"):
            load_model(tmp_path)

    def test_offline(self) -> None:
        """A model that is not on this machine, and nobody may be asked."""
        with pytest.raises(HubUnreachableError, match="offline was asked for; download it"):
            load_model("cert-otel-tests/none", offline=True)

    def test_remote_code(self, folder: Path, tmp_path: Path) -> None:
        """Code that comes with a model is not run, and the error says how to allow it."""
        auto = {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.OwnModel"}
        path = copy_folder(folder, tmp_path, model_type="own", auto_map=auto)
        (path / "own.py").write_text("raise SystemExit('was run')")

        with pytest.raises(RemoteCodeError, match="allow_remote_code="):
            load_model(path)
        with pytest.raises(RemoteCodeError):
            load_model(path, allow_remote_code={"another/model"})

    def test_unknown_architecture(self, folder: Path, tmp_path: Path) -> None:
        """An architecture that this transformers does not have."""
        path = copy_folder(folder, tmp_path, model_type="of-next-year")

        with pytest.raises(UnsupportedModelError, match=r"transformers 5\S+ cannot load it"):
            load_model(path)

    def test_another_tokenizer(self, folder: Path, tmp_path: Path) -> None:
        """A tokenizer with more tokens than the model has rows is another model's."""
        path = copy_folder(folder, tmp_path)
        tokenizer = build_tokenizer()
        tokenizer.add_tokens([f"extra{index}" for index in range(100)])
        tokenizer.save_pretrained(path)

        with pytest.raises(TokenizerMismatchError, match="has token 361, the model 301"):
            load_model(path)

    def test_too_large(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A model that does not fit is not loaded; what would fit is said."""
        monkeypatch.setattr(models, "count_free_bytes", lambda _: 250_000)

        with pytest.raises(ModelTooLargeError, match="would fit: dtype='bfloat16'") as raised:
            load_model(folder, dtype="float32")

        assert raised.value.free_bytes == 250_000 < raised.value.needed_bytes < 500_000

    def test_far_too_large(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where nothing would fit, a smaller model is what is left."""
        monkeypatch.setattr(models, "count_free_bytes", lambda _: 1_000)

        with pytest.raises(ModelTooLargeError, match="choose a smaller model"):
            load_model(folder)

    def test_quantization(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Eight and four bits need their package, and there are no others."""
        monkeypatch.setitem(sys.modules, "bitsandbytes", None)

        with pytest.raises(ConfigError, match="neither 8bit nor 4bit"):
            load_model(folder, quantization="2bit")  # type: ignore[arg-type]  # the case
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(MissingExtraError, match=r"pip install 'cert-otel\[quant\]'"):
            load_model(folder, quantization="8bit")


class TestHub:
    def test_the_commit_is_recorded(self, folder: Path, hub: Hub) -> None:
        """A model of the hub has its commit as revision, whichever way it was named."""
        hub.put_into_cache("someone/tiny", folder)

        newest = load_model("someone/tiny", offline=True)
        named = load_model("someone/tiny", revision=COMMIT, offline=True)

        assert newest.revision == named.revision == COMMIT

    def test_no_such_model(self, hub: Hub) -> None:
        """A hub that answers and has no such model is told from one that does not answer."""
        with pytest.raises(ModelNotFoundError, match="no such model on the hub"):
            load_model("cert-otel-tests/none")
        assert hub.asked


class TestFindDevice:
    @pytest.mark.parametrize(
        ("device", "problem"),
        [("gpu", "none of auto, cpu, cuda"), ("cuda:x", "none of"), ("cuda:99", "CUDA devices")],
    )
    def test_not_there(self, device: str, problem: str) -> None:
        """A device that is unknown or absent is a wrong setting, with what to set."""
        with pytest.raises(ConfigError, match=problem):
            find_device(device)

    def test_there(self) -> None:
        """The CPU always is; `auto` finds something."""
        assert find_device("cpu") == CPU
        assert find_device("auto").type in {"cpu", "cuda", "mps"}


class TestFindDtype:
    @pytest.mark.parametrize(
        ("able", "dtype"), [({"avx512_bf16": True}, torch.bfloat16), ({}, torch.float32)]
    )
    def test_auto(
        self, able: dict[str, bool], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On a CPU that computes in bfloat16 that is chosen, else float32."""
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)

        assert find_dtype("auto", CPU) == dtype

    def test_named(self) -> None:
        """A named dtype is taken; another name is a wrong setting."""
        assert find_dtype("float64", CPU) == torch.float64
        with pytest.raises(ConfigError, match="dtype: 'int8' is none of auto, bfloat16"):
            find_dtype("int8", CPU)  # type: ignore[arg-type]  # the case


class TestFingerprint:
    def test_content_and_names(self, tmp_path: Path) -> None:
        """Any byte of a small file, a name and a size change it; hidden files do not."""
        (tmp_path / "a").write_bytes(b"1")
        first = fingerprint(tmp_path)
        (tmp_path / ".cache").write_bytes(b"1")
        assert fingerprint(tmp_path) == first

        (tmp_path / "a").write_bytes(b"2")
        second = fingerprint(tmp_path)
        (tmp_path / "a").rename(tmp_path / "b")

        assert len({first, second, fingerprint(tmp_path)}) == 3
        assert first.startswith("sha256:")

    def test_large_files(self, tmp_path: Path) -> None:
        """Of a large file its ends count, at least."""
        size = 20 << 20
        prints = set()
        for place in (None, 0, size - 1):
            content = bytearray(size)
            if place is not None:
                content[place] = 1
            (tmp_path / "weights").write_bytes(content)
            prints.add(fingerprint(tmp_path))

        assert len(prints) == 3
