"""`HamiltonianMonitor`: what it answers, how long it takes, and that it never raises."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.scoring.reference import build_network, build_tokenizer

from cert_otel.errors import BackendError, ConfigError, ModelNotFoundError
from cert_otel.records import Trajectory
from cert_otel.scoring import defaults
from cert_otel.scoring.backends.local import LocalBackend
from cert_otel.scoring.backends.provider import ProviderBackend
from cert_otel.scoring.backends.scored import (
    Generated,
    ProviderLogprobs,
    Request,
    Scored,
    never,
)
from cert_otel.scoring.calibration import fit_calibration
from cert_otel.scoring.embedding import Embeddings
from cert_otel.scoring.monitor import HamiltonianMonitor
from cert_otel.scoring.monitor_types import (
    AnalysisError,
    BackendUnavailable,
    GenerationTimeout,
    GPUOutOfMemoryError,
    InvalidInput,
    ModelNotLoaded,
    PromptTooLong,
    ScoringFailed,
    TrajectoryAnalysis,
)
from cert_otel.scoring.networks import LoadedModel, prepare
from cert_otel.scoring.prompts import Sample
from cert_otel.scoring.token_scores import AnswerScore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

ANSWER = "Rome is in Italy. Italy is in Europe. It has 2.8 million people."


class CountingBackend:
    """Scores everything the same, and counts."""

    name = "counting"
    configuration = "counting"

    def __init__(self, *, perplexity: float | None = 2.0, problem: Exception | None = None) -> None:
        self.perplexity = perplexity
        self.problem = problem
        self.scored = 0

    def score(
        self,
        requests: Sequence[Request],
        *,
        deadline: float | None = None,  # noqa: ARG002 - of the protocol
        is_cancelled: Callable[[], bool] = never,  # noqa: ARG002 - likewise
    ) -> list[Scored]:
        """Do as a backend does."""
        if self.problem is not None:
            raise self.problem
        self.scored += len(requests)
        score = AnswerScore(tokens=3, perplexity=self.perplexity)
        return [Scored(status="scored", backend=self.name, score=score) for _ in requests]

    def close(self) -> None:
        """Do nothing."""


class WritingBackend(CountingBackend):
    """Writes what the test wants."""

    def __init__(self, written: Generated | Exception) -> None:
        super().__init__()
        self.written = written

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_new_tokens: int,  # noqa: ARG002 - of the protocol, like the rest
        temperature: float,  # noqa: ARG002
        deadline: float | None = None,  # noqa: ARG002
        is_cancelled: Callable[[], bool] = never,  # noqa: ARG002
    ) -> list[Generated]:
        """Do as a backend does that writes."""
        if isinstance(self.written, Exception):
            raise self.written
        return [self.written for _ in prompts]


class LetterEmbedder:
    """Embeds by the letters that occur."""

    name = "letters"
    revision = None

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """Do as an embedder does."""
        rows = np.asarray([np.bincount(list(text.encode()), minlength=256) for text in texts])
        vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return Embeddings(vectors.astype(np.float32), (0,) * len(texts))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of a model without a chat template, as GPT-2 is."""
    path = tmp_path_factory.mktemp("gpt2")
    network = build_network("gpt2")
    network.generation_config.eos_token_id = None  # random weights would end at once
    network.save_pretrained(path)
    build_tokenizer(template=None).save_pretrained(path)
    return path


@pytest.fixture
def monitor(folder: Path) -> Iterator[HamiltonianMonitor]:
    with HamiltonianMonitor(folder, device="cpu", embedder=LetterEmbedder()) as made:
        yield made


def make(**settings: Any) -> HamiltonianMonitor:
    """Make a monitor that needs no model."""
    return HamiltonianMonitor(**{"backends": [CountingBackend()], "embedder": None, **settings})


def analysed(outcome: TrajectoryAnalysis | AnalysisError) -> TrajectoryAnalysis:
    assert isinstance(outcome, TrajectoryAnalysis), outcome
    return outcome


class TestScore:
    """Text that is there already."""

    def test_has_the_names_that_cert_users_know(self, monitor: HamiltonianMonitor) -> None:
        """Each name is there, with a figure that does not depend on the length of the answer."""
        result = analysed(monitor.score("Where is Rome?", ANSWER))

        assert result.score is not None
        assert result.passed_quality_check is False
        assert result.flags == ("perplexity",)
        assert result.avg_perplexity == result.score.perplexity
        assert result.avg_entropy == result.score.entropy_mean
        assert result.max_entropy == result.score.entropy_max
        assert result.generated_text == ANSWER
        assert len(result.metrics) == result.generation_steps == result.score.tokens
        assert result.final_surprise == pytest.approx(result.metrics[-1].cumulative_surprise)
        assert "".join(one.token or "" for one in result.metrics) == ANSWER

    def test_embeds_by_the_states_of_the_model(self, folder: Path) -> None:
        """With `hidden` no embedder is loaded: the pass that scores has the vectors."""
        with HamiltonianMonitor(folder, device="cpu", embedder="hidden") as monitor:
            result = analysed(monitor.score("Where is Rome?", ANSWER))
            alone = analysed(monitor.score(None, ANSWER))

        assert result.phase_space is not None
        assert result.phase_space.steps == 3
        assert alone.phase_space is None
        assert "no question before the answer" in (alone.phase_space_reason or "")

    def test_measures_the_phase_space(self, monitor: HamiltonianMonitor) -> None:
        """The answer's steps are measured from the question."""
        result = analysed(monitor.score("Where is Rome?", ANSWER))

        assert result.phase_space is not None
        assert result.phase_space.steps == 3
        assert result.trajectory.energy_mean == result.phase_space.energy_mean

    def test_without_a_question(self, monitor: HamiltonianMonitor) -> None:
        """Without a question there is no phase space, and the result says why."""
        result = analysed(monitor.score(None, ANSWER))

        assert (result.phase_space, result.phase_space_reason) == (
            None,
            "no question to measure from",
        )

    def test_of_any_length(self, monitor: HamiltonianMonitor) -> None:
        """The limit of characters is `analyze`'s alone."""
        result = analysed(monitor.score("x" * 10_001, ANSWER))

        assert result.cut_tokens > 0

    def test_a_batch_keeps_the_order(self, monitor: HamiltonianMonitor) -> None:
        """One result each, and one that cannot be scored takes no other along."""
        samples = [
            Sample(prompt="a", completion="One."),
            Sample(prompt="b", completion=""),
            Sample(prompt="c", completion="Three."),
        ]

        first, second, third = monitor.score_batch(samples)

        assert analysed(first).generated_text == "One."
        assert isinstance(second, InvalidInput)
        assert analysed(third).generated_text == "Three."

    def test_what_all_gates_abstain_from(self) -> None:
        """Nothing passed where nothing voted."""
        result = analysed(make(backends=[CountingBackend(perplexity=None)]).score("a", "b"))

        assert result.passed_quality_check is None

    def test_calibrated_gates_vote(self) -> None:
        """A calibration of the route and scorer makes its gates vote; of another route, none."""
        usual = [Trajectory(tokens=40, surprise_rate=0.0, entropy_max=2.0) for _ in range(200)]
        calibration = fit_calibration(
            usual, route="support", scorer="gpt-4o", fitted_at=datetime.now(UTC)
        )
        surprising = ProviderLogprobs(mean=-3.0, tokens=(-3.0,) * 40, model="gpt-4o")

        def score(route: str) -> TrajectoryAnalysis:
            monitor = make(backends=[ProviderBackend()], route=route, calibrations=[calibration])
            return analysed(monitor.score("a", "b", logprobs=surprising))

        assert score("support").flags == ("surprise_rate",)
        assert score("support").calibration == calibration.id
        assert score("sales").flags == ()

    def test_by_the_provider(self) -> None:
        """Logprobs on the record are a backend; what it lacks the next one scores."""
        monitor = make(backends=[ProviderBackend(), CountingBackend()])

        by_provider = analysed(monitor.score("a", "b", logprobs=ProviderLogprobs(mean=-0.1)))
        by_other = analysed(monitor.score("a", "c"))

        assert (by_provider.backend, by_other.backend) == ("provider", "counting")
        assert by_provider.avg_entropy is None

    def test_by_several_threads(self, monitor: HamiltonianMonitor) -> None:
        """Threads get what each would get alone."""
        texts = [f"Number {n}." for n in range(8)]
        expected = [analysed(one).avg_perplexity for one in map(monitor.score, texts, texts)]
        monitor.clear_cache()
        found: dict[int, float | None] = {}

        def work(index: int) -> None:
            text = texts[index]
            found[index] = analysed(monitor.score(text, text)).avg_perplexity

        threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [found[index] for index in range(8)] == pytest.approx(expected)


class TestAnalyze:
    """Answers that are written here."""

    def test_writes_and_scores(self, monitor: HamiltonianMonitor) -> None:
        """A model without a chat template continues the prompt, and that is scored."""
        result = analysed(monitor.analyze("Once upon a time", max_new_tokens=8))

        assert result.generated_text
        assert (result.form, result.form_reason) == ("joined", "no chat template")
        assert result.avg_perplexity is not None

    def test_a_batch_keeps_the_order(self, monitor: HamiltonianMonitor) -> None:
        """One result each; prompts that are refused stand in their place."""
        outcomes = monitor.analyze_batch(["One", "", "Three"], max_new_tokens=8, temperature=0)

        assert [getattr(one, "prompt", None) for one in outcomes] == ["One", None, "Three"]
        assert isinstance(outcomes[1], InvalidInput)

    def test_from_a_coroutine(self, monitor: HamiltonianMonitor) -> None:
        """The event loop runs on while an answer is written."""

        async def work() -> list[TrajectoryAnalysis | AnalysisError]:
            return list(
                await asyncio.gather(
                    *(
                        monitor.analyze_async(prompt, max_new_tokens=4, temperature=0)
                        for prompt in ("One", "Three")
                    )
                )
            )

        outcomes = asyncio.run(work())

        assert [analysed(one).prompt for one in outcomes] == ["One", "Three"]

    def test_refuses_long_prompts(self, monitor: HamiltonianMonitor) -> None:
        """More than 10,000 characters are refused, and one fewer is not."""
        refused = monitor.analyze("x" * 10_001)
        taken = HamiltonianMonitor(
            backends=[CountingBackend()], embedder=None, max_prompt_chars=20
        ).analyze("x" * 21)

        assert isinstance(refused, PromptTooLong)
        assert (refused.length, refused.limit) == (10_001, 10_000)
        assert isinstance(taken, PromptTooLong)

    @pytest.mark.parametrize("prompt", ["", " \n", 17, None])
    def test_refuses_what_is_no_prompt(self, monitor: HamiltonianMonitor, prompt: Any) -> None:
        """Nothing, and what is no text."""
        assert isinstance(monitor.analyze(prompt), InvalidInput)

    def test_refuses_more_tokens_than_fit(self, monitor: HamiltonianMonitor) -> None:
        """A prompt that leaves the answer no room in the model's window is too long, in tokens."""
        refused = monitor.analyze("x" * 8_190, max_new_tokens=100)

        assert isinstance(refused, PromptTooLong)
        assert (refused.length, refused.limit, refused.unit) == (8_190, 8_092, "tokens")

    @pytest.mark.parametrize(
        ("written", "error"),
        [
            (Generated(None, 0, "out_of_memory"), GPUOutOfMemoryError),
            (Generated(None, 3, "deadline"), GenerationTimeout),
            (Generated("", 0), ScoringFailed),
            (ModelNotFoundError("tiny", "no such folder"), ModelNotLoaded),
            (RuntimeError("broken"), ScoringFailed),
        ],
    )
    def test_what_is_not_written(
        self, written: Generated | Exception, error: type[AnalysisError]
    ) -> None:
        """Each way in which there is no answer has its error."""
        outcome = make(backends=[WritingBackend(written)]).analyze("Hi")

        assert isinstance(outcome, error)

    def test_without_a_backend_that_writes(self) -> None:
        """A server or a provider scores only: the error says what to do."""
        refused = make().analyze("Hi")

        assert isinstance(refused, BackendUnavailable)
        assert "add a local one" in refused.message


class TestTimeout:
    """A limit that ends the work."""

    @pytest.fixture
    def slow(self) -> LoadedModel:
        """Return a model that takes 10 ms a token and never ends."""
        network = build_network("qwen2")
        network.generation_config.eos_token_id = None
        model = prepare(network, build_tokenizer(), name="slow")
        network.register_forward_hook(lambda *_: time.sleep(0.01))
        return model

    def test_ends_generation(self, slow: LoadedModel) -> None:
        """An answer of 8,000 tokens would take 80 s; it is ended, and is an error that says so."""
        monitor = make(backends=[LocalBackend(lambda: slow, configuration="slow")])

        ended = monitor.analyze("Hi", timeout=0.1, max_new_tokens=8_000)

        assert isinstance(ended, GenerationTimeout)
        assert ended.recoverable
        assert ended.message.startswith("ended after 0.1 s, with ")
        assert int(ended.message.split("with ")[1].split()[0]) <= 10

    def test_holds_for_a_cancelled_task(self, slow: LoadedModel) -> None:
        """When its task is cancelled the thread ends too, and the model is free again."""
        backend = LocalBackend(lambda: slow, configuration="slow")
        monitor = make(backends=[backend])

        async def work() -> None:
            task = asyncio.create_task(
                monitor.analyze_async("Hi", timeout=3600, max_new_tokens=8_000)
            )
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(work())  # joins the thread

        assert isinstance(monitor.score("a", "b"), TrajectoryAnalysis)

    def test_holds_for_scoring(self, monitor: HamiltonianMonitor) -> None:
        """What is not scored in time is an error as well."""
        late = monitor.score("Hi", ANSWER, timeout=1e-9)

        assert isinstance(late, GenerationTimeout)


class TestErrors:
    """A monitor raises nothing but for its own settings."""

    def test_a_model_that_is_not_there(self, caplog: pytest.LogCaptureFixture) -> None:
        """Loading fails at once and quietly; each result says why, and when to ask again."""
        monitor = HamiltonianMonitor("gpt2", device="cpu", offline=True, embedder=None)

        outcomes = [monitor.analyze("Hi"), monitor.score("Hi", "Ho")]

        for outcome in outcomes:
            assert isinstance(outcome, ModelNotLoaded)
            assert outcome.retry_after == 5
            assert "gpt2: not on this machine" in outcome.message
            assert "name a folder" in outcome.message
        assert "the scoring model is not loaded" in caplog.text

    def test_a_model_that_is_still_loading(self, folder: Path) -> None:
        """Who cannot wait for it is told when to ask again."""
        begun, over = threading.Event(), threading.Event()

        def load() -> LoadedModel:
            begun.set()
            over.wait()
            return defaults.load(folder, device="cpu")

        backend = LocalBackend(load, configuration="slow to load")
        monitor = make(backends=[backend])
        loading = threading.Thread(target=backend.preload)
        loading.start()
        begun.wait()

        outcomes = [monitor.analyze("Hi", timeout=0.01), monitor.score("a", "b", timeout=0.01)]

        over.set()
        loading.join()
        for outcome in outcomes:
            assert isinstance(outcome, ModelNotLoaded)
            assert outcome.retry_after == 5
            assert "still loading" in outcome.message

    def test_a_backend_that_fails(self) -> None:
        """Its problem is the message."""
        backend = CountingBackend(problem=BackendError("counting", "down"))

        failed = make(backends=[backend]).score("a", "b")

        assert isinstance(failed, BackendUnavailable)
        assert failed.message == "counting: down"

    def test_an_embedder_that_fails(self) -> None:
        """The figures over tokens stand without it."""

        class Broken(LetterEmbedder):
            def embed(self, texts: Sequence[str]) -> Embeddings:
                """Fail."""
                raise RuntimeError(f"no memory for {len(texts)} texts")

        result = analysed(make(embedder=Broken()).score("a", "b"))

        assert result.phase_space_reason == "RuntimeError: no memory for 2 texts"

    def test_a_text_that_is_none(self, monitor: HamiltonianMonitor) -> None:
        """What a caller gets wrong is a result, too."""
        wrong: Any = 17

        failed = monitor.score("a", wrong)

        assert isinstance(failed, InvalidInput)
        assert failed.message.startswith("tokenizer: ")

    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            ("timeout", 0),
            ("max_new_tokens", 0),
            ("max_prompt_chars", -1),
            ("temperature", -0.5),
            ("cache_size", -1),
            ("backends", []),
        ],
    )
    def test_a_wrong_setting(self, setting: str, value: Any) -> None:
        """A setting that cannot be used is named when the monitor is made."""
        with pytest.raises(ConfigError, match=f"^{setting}: "):
            make(**{setting: value})


class TestCache:
    """The same text and configuration are computed once."""

    def test_hits(self, monitor: HamiltonianMonitor) -> None:
        """A second call gets the same figures, and says where from."""
        first = analysed(monitor.analyze("Hi", max_new_tokens=4))
        second = analysed(monitor.analyze("Hi", max_new_tokens=4))

        assert (first.from_cache, second.from_cache) == (False, True)
        assert second.generated_text == first.generated_text
        assert second.metrics == first.metrics
        assert monitor.cache_info().hits == 1

    def test_misses_another_configuration(self, monitor: HamiltonianMonitor) -> None:
        """Whatever changes the result is part of the key."""
        monitor.analyze("Hi", max_new_tokens=4)
        monitor.analyze("Hi", max_new_tokens=5)
        monitor.analyze("Hi", max_new_tokens=4, temperature=0)
        monitor.score("Hi", "Hi")
        monitor.score(None, "Hi")

        assert monitor.cache_info().hits == 0

    def test_keeps_no_errors(self) -> None:
        """What failed is tried again."""
        backend = CountingBackend(problem=BackendError("counting", "down"))
        monitor = make(backends=[backend])
        monitor.score("a", "b")
        backend.problem = None

        assert isinstance(monitor.score("a", "b"), TrajectoryAnalysis)

    def test_keeps_the_latest(self) -> None:
        """Beyond its size the least recently used goes."""
        monitor = make(cache_size=2)
        for text in ("one", "two", "one", "three"):
            monitor.score(None, text)

        assert analysed(monitor.score(None, "one")).from_cache
        assert not analysed(monitor.score(None, "two")).from_cache

    def test_of_no_size(self) -> None:
        """With size 0 nothing is kept."""
        monitor = make(cache_size=0)
        monitor.score(None, "a")
        monitor.score(None, "a")

        assert monitor.cache_info().hits == 0

    def test_can_be_cleared(self) -> None:
        """Entries and counts are gone."""
        monitor = make()
        monitor.score(None, "a")
        monitor.score(None, "a")
        monitor.clear_cache()

        info = monitor.cache_info()
        assert (info.hits, info.misses, info.size, info.hit_rate) == (0, 0, 0, None)

    def test_hits_on_a_production_like_mix(self) -> None:
        """5,000 calls over 5,000 prompts as often as words of a language: more than 70 % hit."""
        backend = CountingBackend()
        monitor = make(backends=[backend])
        popularity = 1 / np.arange(1, 5_001) ** 1.1
        random = np.random.default_rng(0)
        replayed = random.choice(5_000, 5_000, p=popularity / popularity.sum())

        for number in replayed:
            monitor.score(f"Question {number}", "An answer.")

        info = monitor.cache_info()
        assert info.hit_rate is not None
        assert info.hit_rate > 0.7
        assert backend.scored == info.misses


class TestHealth:
    """How well it is."""

    def test_healthy(self, monitor: HamiltonianMonitor) -> None:
        """A model that is loaded and scores."""
        health = monitor.health_check()

        assert health.status == "healthy"
        assert {name: check.status for name, check in health.checks.items()} == {
            "model": "healthy",
            "inference": "healthy",
        }
        assert health.checks["inference"].latency_ms is not None

    def test_by_another_backend(self) -> None:
        """Where the second backend stands in for the first, it is degraded."""
        first = CountingBackend(problem=BackendError("counting", "down"))

        class Second(CountingBackend):
            name = "second"

        health = make(backends=[first, Second()]).health_check()

        assert health.status == "degraded"
        assert "second stands in for counting" in (health.checks["model"].message or "")

    def test_by_the_reference_model(self, folder: Path) -> None:
        """The packaged model works, and is not for production."""
        backend = LocalBackend(
            lambda: defaults.load(defaults.REFERENCE, device="cpu", reference=folder),
            configuration="reference",
        )
        monitor = make(backends=[backend])

        assert monitor.health_check().status == "degraded"
        assert analysed(monitor.score("a", "b")).note == "reference model, not for production"

    def test_without_a_model(self) -> None:
        """Nothing can be scored."""
        monitor = HamiltonianMonitor("gpt2", device="cpu", offline=True, embedder=None)

        health = monitor.health_check()

        assert health.status == "unhealthy"
        assert health.checks["model"].status == "unhealthy"
        assert (health.checks["inference"].message or "").startswith("ModelNotLoaded: gpt2")

    def test_is_not_answered_from_the_cache(self) -> None:
        """Each check scores."""
        backend = CountingBackend()
        monitor = make(backends=[backend])
        monitor.health_check()
        monitor.health_check()

        assert backend.scored == 2
        assert monitor.cache_info().misses == 0


class TestOnResult:
    """For metrics."""

    def test_sees_every_result(self) -> None:
        """Analyses and errors, cached or not, in order."""
        seen: list[TrajectoryAnalysis | AnalysisError] = []
        monitor = make(on_result=seen.append)

        returned = [
            monitor.score(None, "a"),
            monitor.score(None, "a"),
            monitor.analyze(""),
        ]

        assert seen == returned

    def test_may_fail(self, caplog: pytest.LogCaptureFixture) -> None:
        """What it raises is logged, and the caller gets the result."""

        def fail(_: object) -> None:
            raise RuntimeError("no metrics today")

        assert isinstance(make(on_result=fail).score(None, "a"), TrajectoryAnalysis)
        assert "on_result failed" in caplog.text


class TestDefault:
    def test_runs_without_a_hub(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """With no name and no hub the packaged model writes and scores, and every result says so."""
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

        with HamiltonianMonitor(device="cpu", embedder=None) as monitor:
            results = [
                analysed(monitor.analyze("What is a collector?", max_new_tokens=8, temperature=0)),
                analysed(monitor.score("What is a collector?", "It receives and exports spans.")),
            ]

        for result in results:
            assert result.model_name == defaults.REFERENCE
            assert result.note == "reference model, not for production"
            assert result.form == "chat"
        assert "not for production" in caplog.text


class TestLifecycle:
    def test_closes_its_backends(self, folder: Path) -> None:
        """Behind the `with` the model is gone; the next use loads it again."""
        with HamiltonianMonitor(folder, device="cpu", embedder=None) as monitor:
            monitor.score("a", "b")
        monitor.clear_cache()

        assert isinstance(monitor.score("a", "b"), TrajectoryAnalysis)

    def test_loads_when_it_is_told_to(self, tmp_path: Path) -> None:
        """Without `preload` nothing is loaded before the first use."""
        monitor = HamiltonianMonitor(tmp_path / "model", preload=False, embedder=None)
        build_network("qwen2").save_pretrained(tmp_path / "model")
        build_tokenizer().save_pretrained(tmp_path / "model")

        assert isinstance(monitor.score("a", "b"), TrajectoryAnalysis)
