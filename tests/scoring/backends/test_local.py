"""A model on this machine, loaded when it is first needed."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.scoring.hub import COMMIT, Hub
from tests.scoring.reference import build_network, build_tokenizer

from cert_otel.errors import HubUnreachableError, ModelNotFoundError, ModelTooLargeError
from cert_otel.scoring import defaults
from cert_otel.scoring.backends.local import LOAD_AGAIN_AFTER_S, LocalBackend
from cert_otel.scoring.backends.scored import Request, TextGenerator
from cert_otel.scoring.prompts import Sample
from cert_otel.scoring.scorer import TokenScorer

if TYPE_CHECKING:
    from pathlib import Path

    from cert_otel.scoring.networks import LoadedModel

REQUESTS = [
    Request(sample=Sample(prompt=f"What is {n}+{n}?", completion=f"It is {2 * n}."))
    for n in range(6)
]


class Clock:
    """Goes where it is set."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as transformers writes it."""
    path = tmp_path_factory.mktemp("model")
    build_network("qwen2").save_pretrained(path)
    build_tokenizer().save_pretrained(path)
    return path


class TestScore:
    def test_is_the_token_scorer(self, model: LoadedModel) -> None:
        """Figures, source and form are those of the scorer and its model."""
        expected = TokenScorer(model).score([one.sample for one in REQUESTS])
        backend = LocalBackend(lambda: model, configuration="tiny")

        results = backend.score(REQUESTS)

        assert [one.score for one in results] == [one.score for one in expected]
        assert {(one.backend, one.scorer, one.form) for one in results} == {
            ("local", "qwen2", "chat")
        }
        assert results[0].tokens is not None
        assert results[0].tokens.entropy is not None

    def test_by_several_threads(self, model: LoadedModel) -> None:
        """Threads get what each would get alone."""
        backend = LocalBackend(lambda: model, configuration="tiny")
        expected = [one.score for one in backend.score(REQUESTS)]
        found: list[object] = [None] * len(REQUESTS)

        def work(index: int) -> None:
            found[index] = backend.score([REQUESTS[index]])[0].score

        threads = [threading.Thread(target=work, args=(n,)) for n in range(len(REQUESTS))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        for one, alone in zip(found, expected, strict=True):
            assert getattr(one, "perplexity") == pytest.approx(alone and alone.perplexity)  # noqa: B009 - found holds objects

    def test_of_a_busy_model(self, model: LoadedModel) -> None:
        """Who waits for the model past the deadline gets that as a result."""
        begun, over = threading.Event(), threading.Event()

        def wait() -> bool:
            begun.set()
            over.wait()
            return False

        backend = LocalBackend(lambda: model, configuration="tiny")
        backend.preload()
        holder = threading.Thread(
            target=backend.score, args=(REQUESTS,), kwargs={"is_cancelled": wait}
        )
        holder.start()
        begun.wait()

        scored = backend.score(REQUESTS, deadline=time.monotonic() + 0.01)

        over.set()
        holder.join()
        assert {one.reason for one in scored} == {"deadline"}

    def test_while_it_is_loading(self, model: LoadedModel) -> None:
        """Who waits for it to be loaded past the deadline is told to come again."""
        begun, over = threading.Event(), threading.Event()

        def load() -> LoadedModel:
            begun.set()
            over.wait()
            return model

        backend = LocalBackend(load, configuration="tiny")
        holder = threading.Thread(target=backend.preload)
        holder.start()
        begun.wait()

        scored = backend.score(REQUESTS, deadline=time.monotonic() + 0.01)
        written = backend.generate(["Hi"], max_new_tokens=4, temperature=0, deadline=0.0)

        over.set()
        holder.join()
        assert {one.reason for one in scored} == {"model_not_loaded"}
        assert written[0].reason == "model_not_loaded"


class TestLoading:
    def test_is_put_off(self, model: LoadedModel) -> None:
        """Nothing is loaded before the first use, and once until `close`."""
        loaded = []

        def load() -> LoadedModel:
            loaded.append(model)
            return model

        backend = LocalBackend(load, configuration="tiny")
        assert loaded == []
        backend.score(REQUESTS)
        backend.score(REQUESTS)
        assert len(loaded) == 1
        backend.close()
        backend.score(REQUESTS)
        assert len(loaded) == 2

    def test_that_fails(self) -> None:
        """For five seconds the same error comes at once; then loading is tried again."""
        clock = Clock()
        attempts = []

        def load() -> LoadedModel:
            attempts.append(clock.now_s)
            raise ModelNotFoundError("tiny", "no such folder")

        backend = LocalBackend(load, configuration="tiny", clock=clock)
        for _ in range(3):
            with pytest.raises(ModelNotFoundError):
                backend.score(REQUESTS)
        clock.now_s = LOAD_AGAIN_AFTER_S
        with pytest.raises(ModelNotFoundError):
            backend.score(REQUESTS)

        assert attempts == [0.0, 5.0]

    def test_also_writes(self, model: LoadedModel) -> None:
        """It is a backend that writes answers."""
        backend = LocalBackend(lambda: model, configuration="tiny")

        (written,) = backend.generate(["Hi"], max_new_tokens=3, temperature=0)

        assert isinstance(backend, TextGenerator)
        assert written.text is not None


class TestDefaults:
    def test_the_packaged_model(self, folder: Path) -> None:
        """By its name the packaged model is loaded, and bears that name."""
        model = defaults.load(defaults.REFERENCE, device="cpu", reference=folder)

        assert (model.name, defaults.is_reference(model.name)) == (defaults.REFERENCE, True)

    def test_nothing_is_here(
        self, folder: Path, hub: Hub, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Where Qwen2.5 is not in the cache the packaged model scores, with a warning."""
        model = defaults.load(device="cpu", reference=folder)

        assert model.name == defaults.REFERENCE
        assert "reference model, not for production" in caplog.text
        assert hub.asked == []

    def test_what_is_here(self, folder: Path, hub: Hub) -> None:
        """Who names no model gets Qwen2.5 out of the cache, and nobody is asked for a newer one."""
        hub.put_into_cache(defaults.ON_CPU, folder)

        model = defaults.load(device="cpu")

        assert (model.name, model.revision) == (defaults.ON_CPU, COMMIT)
        assert hub.asked == []

    def test_what_does_not_fit(
        self, folder: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A model that is here and too large is passed over; one that is named is an error."""
        hub.put_into_cache(defaults.ON_CPU, folder)
        sizes = iter([1_000, 10**9, 1_000])
        monkeypatch.setattr("cert_otel.scoring.models.count_free_bytes", lambda _: next(sizes))

        assert defaults.load(device="cpu", reference=folder).name == defaults.REFERENCE
        with pytest.raises(ModelTooLargeError):
            defaults.load(defaults.ON_CPU, device="cpu")

    def test_a_name(self, folder: Path, hub: Hub) -> None:
        """A model that is named and here is loaded at once; the hub is asked for others alone."""
        hub.put_into_cache("someone/tiny", folder)

        assert defaults.load("someone/tiny", device="cpu").name == "someone/tiny"
        with pytest.raises(HubUnreachableError):
            defaults.load("someone/other", device="cpu", offline=True)
        assert hub.asked == []
        with pytest.raises(ModelNotFoundError, match="no such model on the hub"):
            defaults.load("someone/other", device="cpu")
        assert hub.asked

    def test_a_folder(self, folder: Path) -> None:
        """It is what is loaded, by its own name, and nothing else in its place."""
        assert defaults.load(folder, device="cpu").name == folder.name
        with pytest.raises(ModelNotFoundError, match="no such folder"):
            defaults.load(folder / "none", device="cpu")

    def test_what_is_scored_by_it_says_so(self, folder: Path) -> None:
        """Every result of the packaged model is marked."""
        backend = LocalBackend(
            lambda: defaults.load(defaults.REFERENCE, device="cpu", reference=folder),
            configuration="reference",
        )

        results = backend.score(REQUESTS)

        assert all(one.reference_model for one in results)
        assert np.unique([one.scorer for one in results]).tolist() == [defaults.REFERENCE]
