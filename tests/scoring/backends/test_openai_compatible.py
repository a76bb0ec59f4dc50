"""Scoring by a server: the same figures as here, and everything that can go wrong on the way."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any, Literal

import httpx2
import numpy as np
import pytest
import stamina
from tests.scoring.completions_server import CompletionsServer, serve
from tests.scoring.reference import build_tokenizer

from cert_otel.errors import BackendError, ConfigError
from cert_otel.scoring.backends.local import LocalBackend
from cert_otel.scoring.backends.openai_compatible import OpenAICompatibleBackend
from cert_otel.scoring.backends.scored import Request, TextGenerator
from cert_otel.scoring.monitor import HamiltonianMonitor
from cert_otel.scoring.monitor_types import GenerationTimeout, TrajectoryAnalysis
from cert_otel.scoring.prompts import Sample
from cert_otel.scoring.scorer import TokenScorer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.scoring.reference import Reference

    from cert_otel.scoring.backends.scored import Scored
    from cert_otel.scoring.networks import LoadedModel
    from cert_otel.scoring.scorer import Result

SAMPLES = (
    Sample(prompt="What is 2+2?", completion="4"),
    Sample(prompt="Where is Rome?", completion="Rome is in Italy. It has 2.8 million people."),
    Sample(
        messages=(
            {"role": "system", "content": "Be brief."},
            {"role": "user", "parts": [{"type": "text", "content": "Why?"}]},
        ),
        completion="Because.",
    ),
)


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture
def server(refer: Callable[[str], Reference]) -> Iterator[CompletionsServer]:
    with serve(CompletionsServer(refer("qwen2"), build_tokenizer())) as running:
        yield running


@pytest.fixture
def backend(server: CompletionsServer) -> Iterator[OpenAICompatibleBackend]:
    made = OpenAICompatibleBackend(server.url, "tiny")
    yield made
    made.close()


def ask(backend: OpenAICompatibleBackend, *samples: Sample) -> list[Scored]:
    return backend.score([Request(sample=sample) for sample in samples])


def is_same(remote: Scored, local: Result) -> bool:
    assert remote.tokens is not None
    assert local.tokens is not None
    known = ("nll", "topk_entropy", "tail_mass", "prob_gap", "logit_gap", "margin", "rank")
    return all(
        np.allclose(getattr(remote.tokens, name), getattr(local.tokens, name), atol=2e-4)
        for name in known
    )


class TestFigures:
    """What the server tells is what the scorer computes."""

    def test_are_those_of_the_token_scorer(
        self, backend: OpenAICompatibleBackend, model: LoadedModel
    ) -> None:
        """Every column that a server can give equals the scorer's, over the completion alone."""
        local = TokenScorer(model).score(SAMPLES)

        remote = ask(backend, *SAMPLES)

        assert [one.status for one in remote] == ["scored"] * 3
        assert [one.form for one in remote] == ["chat"] * 3
        assert all(map(is_same, remote, local))

    def test_with_the_tokenizer_at_hand(
        self, server: CompletionsServer, model: LoadedModel
    ) -> None:
        """With a tokenizer the server need not be asked for tokens, and offsets are known."""
        backend = OpenAICompatibleBackend(server.url, "tiny", tokenizer=build_tokenizer())
        local = TokenScorer(model).score(SAMPLES)

        remote = ask(backend, *SAMPLES)

        assert all(map(is_same, remote, local))
        assert [one.offsets for one in remote] == [one.offsets for one in local]
        assert server.asked == server.completions

    def test_echo(self, server: CompletionsServer, model: LoadedModel) -> None:
        """From an echoed prompt the same figures come, but for the rank, which it does not tell."""
        backend = OpenAICompatibleBackend(server.url, "tiny", protocol="echo")
        (local,) = TokenScorer(model).score(SAMPLES[1:2])

        (remote,) = ask(backend, SAMPLES[1])

        assert remote.tokens is not None
        assert local.tokens is not None
        assert remote.tokens.rank is None
        assert np.allclose(remote.tokens.nll, local.tokens.nll, atol=2e-4)
        assert remote.tokens.topk_entropy is not None
        assert np.allclose(remote.tokens.topk_entropy, local.tokens.topk_entropy, atol=2e-4)

    def test_what_a_server_cannot_tell_is_none(self, backend: OpenAICompatibleBackend) -> None:
        """Entropy over the vocabulary is not made up from ten candidates."""
        (remote,) = ask(backend, SAMPLES[1])

        assert remote.tokens is not None
        assert remote.score is not None
        assert remote.tokens.entropy is None
        assert remote.score.entropy_mean is None
        assert remote.score.entropy_max is None
        assert remote.score.onset_entropy is None
        assert remote.score.perplexity is not None
        assert remote.score.gap_mean is not None

    def test_names_its_source(self, backend: OpenAICompatibleBackend) -> None:
        """A result says which backend and which model made it."""
        (remote,) = ask(backend, SAMPLES[0])

        assert (remote.backend, remote.scorer) == ("openai-compatible", "tiny")

    def test_longer_than_the_window(
        self, server: CompletionsServer, backend: OpenAICompatibleBackend, model: LoadedModel
    ) -> None:
        """A text that is longer than the server's window takes several, as here."""
        server.max_model_len = 65
        sample = Sample(prompt="Tell me all.", completion="All that is known of it. " * 12)
        (local,) = TokenScorer(model, max_tokens=64).score([sample])

        (remote,) = ask(backend, sample)

        assert remote.pieces == local.pieces > 1
        assert is_same(remote, local)

    def test_without_a_template(self, refer: Callable[[str], Reference]) -> None:
        """A server whose model has no chat template gets prompt and completion joined."""
        tokenizer = build_tokenizer(template=None)
        with serve(CompletionsServer(refer("qwen2"), tokenizer)) as server:
            (remote,) = ask(OpenAICompatibleBackend(server.url, "tiny"), SAMPLES[0])

        assert (remote.status, remote.form) == ("scored", "joined")
        assert "no chat template" in (remote.form_reason or "")

    def test_of_what_is_no_text(self, server: CompletionsServer) -> None:
        """A completion that no tokenizer takes is an error of its own."""
        backend = OpenAICompatibleBackend(server.url, "tiny", tokenizer=build_tokenizer())
        wrong: Any = 17

        bad, good = ask(backend, Sample(completion=wrong), SAMPLES[0])

        assert (bad.reason or "").startswith("tokenizer: ")
        assert good.status == "scored"

    def test_of_nothing(self, server: CompletionsServer, backend: OpenAICompatibleBackend) -> None:
        """An empty completion is skipped, and the server not asked."""
        (remote,) = ask(backend, Sample(prompt="Hi", completion=""))

        assert (remote.status, remote.reason) == ("skipped", "empty_completion")
        assert server.asked == []

    def test_of_the_impossible(
        self, server: CompletionsServer, backend: OpenAICompatibleBackend
    ) -> None:
        """What the server sends for minus infinity is an error, and no large number."""
        server.impossible = build_tokenizer()("4", add_special_tokens=False)["input_ids"][0]

        (remote,) = ask(backend, SAMPLES[0])

        assert (remote.status, remote.reason) == ("error", "not_finite")


class TestRequests:
    """How the server is asked."""

    def test_come_in_batches(self, server: CompletionsServer) -> None:
        """Several texts go into one request, and come back in their order."""
        backend = OpenAICompatibleBackend(server.url, "tiny", batch_size=2)

        remote = ask(backend, *SAMPLES, *SAMPLES)

        assert sorted(len(body["prompt"]) for body in server.completions) == [2, 2, 2]
        tokens = [one.score.tokens if one.score else 0 for one in remote]
        assert tokens == [len(sample.completion) for sample in (*SAMPLES, *SAMPLES)]

    def test_so_many_at_once(self, server: CompletionsServer) -> None:
        """Never more are under way than the setting says."""
        backend = OpenAICompatibleBackend(server.url, "tiny", batch_size=1, concurrency=2)

        ask(backend, *SAMPLES * 4)

        assert server.most_active <= 2

    def test_carry_the_key(self, server: CompletionsServer) -> None:
        """The key goes along as a bearer token."""
        ask(OpenAICompatibleBackend(server.url, "tiny", api_key="secret"), SAMPLES[0])

        assert {headers["authorization"] for headers in server.headers} == {"Bearer secret"}

    def test_wait_for_the_rate(self, server: CompletionsServer) -> None:
        """Beyond the rate a request waits, and not beyond the deadline."""
        backend = OpenAICompatibleBackend(
            server.url, "tiny", requests_per_minute=1, tokenizer=build_tokenizer()
        )
        request = [Request(sample=SAMPLES[0])]

        (first,) = backend.score(request)
        (second,) = backend.score(request, deadline=time.monotonic() + 0.2)

        backend.close()
        assert first.status == "scored"
        assert (second.status, second.reason) == ("skipped", "deadline")

    def test_end_at_the_deadline(
        self, server: CompletionsServer, backend: OpenAICompatibleBackend
    ) -> None:
        """After the deadline nothing is sent any more."""
        (late,) = backend.score([Request(sample=SAMPLES[0])], deadline=time.monotonic())

        assert (late.status, late.reason) == ("skipped", "deadline")
        assert server.asked == []

    def test_end_when_cancelled(
        self, server: CompletionsServer, backend: OpenAICompatibleBackend
    ) -> None:
        """What is cancelled is not sent either."""
        (late,) = backend.score([Request(sample=SAMPLES[0])], is_cancelled=lambda: True)

        assert (late.status, late.reason) == ("skipped", "cancelled")
        assert server.asked == []

    def test_need_an_address(self) -> None:
        """What is no address is said at once."""
        with pytest.raises(ConfigError, match="base_url: 'scorer:8000' does not start with http"):
            OpenAICompatibleBackend("scorer:8000", "tiny")


class TestProblems:
    """What the server answers instead."""

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_that_pass(
        self, server: CompletionsServer, backend: OpenAICompatibleBackend, status: int
    ) -> None:
        """A busy server is asked again."""
        server.problems.extend([(status, {"retry-after": "0"}), (status, {})])

        (remote,) = ask(backend, SAMPLES[0])

        assert remote.status == "scored"
        assert len(server.completions) == 3

    def test_that_stay(self, server: CompletionsServer, backend: OpenAICompatibleBackend) -> None:
        """After three attempts the backend has failed, and says with what."""
        server.problems.extend([(503, {})] * 3)

        with pytest.raises(BackendError, match=r"answered 503: .*as the test wants it"):
            ask(backend, SAMPLES[0])

    @pytest.mark.parametrize(("status", "advice"), [(401, "api_key"), (404, "'tiny'")])
    def test_that_no_attempt_cures(
        self,
        server: CompletionsServer,
        backend: OpenAICompatibleBackend,
        status: int,
        advice: str,
    ) -> None:
        """A wrong key or model is not tried again, and the setting is named."""
        server.problems.append((status, {}))

        with pytest.raises(BackendError, match=f"check .*{advice}"):
            ask(backend, SAMPLES[0])
        assert len(server.completions) == 1

    def test_with_one_text(
        self, server: CompletionsServer, backend: OpenAICompatibleBackend
    ) -> None:
        """A text that the server refuses takes no other along."""
        server.refused = "Italy"

        remote = ask(backend, *SAMPLES)

        assert [one.reason for one in remote] == [None, "refused", None]
        assert "answered 400" in (remote[1].detail or "")

    def test_with_the_protocol(
        self, server: CompletionsServer, backend: OpenAICompatibleBackend
    ) -> None:
        """A server that does not know `prompt_logprobs` is told from one that fails."""
        server.knows_prompt_logprobs = False

        with pytest.raises(BackendError, match="protocol='echo'"):
            ask(backend, SAMPLES[0])

    @pytest.mark.parametrize("protocol", ["prompt_logprobs", "echo"])
    def test_with_a_cache(
        self, server: CompletionsServer, protocol: Literal["prompt_logprobs", "echo"]
    ) -> None:
        """A server that leaves out tokens of the answer has failed: they are not passed over."""
        server.cached = 40

        with pytest.raises(BackendError, match="leaves out"):
            ask(OpenAICompatibleBackend(server.url, "tiny", protocol=protocol), SAMPLES[1])

    def test_with_the_connection(self) -> None:
        """Where nobody listens, the address is named."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"

        with pytest.raises(BackendError, match="ConnectError"):
            ask(OpenAICompatibleBackend(url, "tiny"), SAMPLES[0])


class TestGenerate:
    """The server writes the answers that it scores."""

    def test_writes_as_the_model_does(
        self, backend: OpenAICompatibleBackend, model: LoadedModel
    ) -> None:
        """With temperature 0, the texts of the same model here, in the order of the prompts."""
        prompts = ["Where is Rome?", "Why?", "What is 2+2?"]
        local = LocalBackend(lambda: model, configuration="tiny")
        options: dict[str, Any] = {"max_new_tokens": 12, "temperature": 0}

        remote = backend.generate(prompts, **options)

        assert isinstance(backend, TextGenerator)
        assert [one.text for one in remote] == [
            one.text for one in local.generate(prompts, **options)
        ]
        assert all(one.reason is None for one in remote)

    def test_with_the_tokenizer_at_hand(self, server: CompletionsServer) -> None:
        """The prompt is the same, and no other request is made."""
        made = OpenAICompatibleBackend(server.url, "tiny", tokenizer=build_tokenizer())

        (written,) = made.generate(["Why?"], max_new_tokens=5, temperature=0.7)

        (body,) = server.asked
        assert written.text is not None
        assert (body["max_tokens"], body["temperature"]) == (5, 0.7)
        assert build_tokenizer().decode(body["prompt"]) == "<|user|>Why?<|end|><|assistant|>"

    def test_ends_at_the_deadline(
        self, server: CompletionsServer, backend: OpenAICompatibleBackend
    ) -> None:
        """A server that falls silent in the middle does not keep anybody waiting beyond it."""
        server.falls_silent = True
        begin = time.monotonic()

        (written,) = backend.generate(
            ["Where is Rome?"], max_new_tokens=12, temperature=0, deadline=begin + 0.5
        )

        assert written == (None, 1, "deadline", None)
        assert not server.over.is_set()

    def test_ends_when_it_is_cancelled(self, backend: OpenAICompatibleBackend) -> None:
        """It is asked with each part of the text."""
        answers = iter([False] * 8 + [True] * 9)

        (written,) = backend.generate(
            ["Where is Rome?"],
            max_new_tokens=50,
            temperature=0,
            is_cancelled=lambda: next(answers),
        )

        assert (written.text, written.reason) == (None, "cancelled")

    def test_a_prompt_longer_than_the_window(
        self, server: CompletionsServer, backend: OpenAICompatibleBackend
    ) -> None:
        """It is not sent; the limit leaves room for the answer."""
        server.max_model_len = 64

        (written,) = backend.generate(["Why? " * 20], max_new_tokens=10, temperature=0)

        assert (written.text, written.reason, written.limit) == (None, "prompt_too_long", 54)
        assert server.completions == []

    def test_tries_again_before_the_first_word(
        self, server: CompletionsServer, backend: OpenAICompatibleBackend
    ) -> None:
        """What may pass is tried again, as for figures."""
        server.problems.extend([(503, {}), (429, {"retry-after": "0"})])

        (written,) = backend.generate(["Why?"], max_new_tokens=3, temperature=0)

        assert written.text is not None
        assert len(server.completions) == 3

    @pytest.mark.parametrize("status", [400, 404, 500])
    def test_a_server_that_does_not(
        self, status: int, server: CompletionsServer, backend: OpenAICompatibleBackend
    ) -> None:
        """Is left for the next backend."""
        server.problems.extend([(status, {})] * 3)

        with pytest.raises(BackendError, match=f"answered {status}"):
            backend.generate(["Why?"], max_new_tokens=3, temperature=0)

    @pytest.mark.parametrize(
        ("events", "problem"),
        [
            ('data: {"error": {"message": "no memory"}}\n\n', "no memory"),
            ('data: {"choices": [{"index": 0, "text": "It "}]}\n\n', "ended its answer in the"),
            ("data: <html>\n\n", "not the event that was expected"),
        ],
    )
    def test_an_answer_that_is_none(self, events: str, problem: str) -> None:
        """An error in the middle of the stream is one of the server."""

        def answer(request: httpx2.Request) -> httpx2.Response:
            if request.url.path == "/tokenize":
                return httpx2.Response(200, json={"tokens": [1], "max_model_len": 99})
            return httpx2.Response(200, text=events)

        made = OpenAICompatibleBackend(
            "http://server/v1", "tiny", transport=httpx2.MockTransport(answer)
        )

        with pytest.raises(BackendError, match=problem):
            made.generate(["Why?"], max_new_tokens=3, temperature=0)


class TestMonitor:
    """A monitor whose first backend is a server."""

    def test_writes_and_scores_by_it(
        self, backend: OpenAICompatibleBackend, model: LoadedModel
    ) -> None:
        """No model is loaded here; the figures are those of the same model."""
        monitor = HamiltonianMonitor(backends=[backend], embedder=None)

        outcome = monitor.analyze("Where is Rome?", max_new_tokens=12, temperature=0)

        assert isinstance(outcome, TrajectoryAnalysis)
        assert (outcome.backend, outcome.model_name) == ("openai-compatible", "tiny")
        sample = Sample(prompt="Where is Rome?", completion=outcome.generated_text)
        (local,) = TokenScorer(model).score([sample])
        assert local.score is not None
        assert outcome.avg_perplexity == pytest.approx(local.score.perplexity, rel=1e-3)

    def test_ends_at_its_timeout(
        self, server: CompletionsServer, backend: OpenAICompatibleBackend
    ) -> None:
        """With the error that a local model gives."""
        server.falls_silent = True
        monitor = HamiltonianMonitor(backends=[backend], embedder=None)

        outcome = monitor.analyze("Where is Rome?", timeout=0.5)

        assert isinstance(outcome, GenerationTimeout)

    def test_the_next_one_writes(self, model: LoadedModel) -> None:
        """Where the server is not there."""
        absent = OpenAICompatibleBackend("http://127.0.0.1:9/v1", "tiny")
        local = LocalBackend(lambda: model, configuration="tiny")
        monitor = HamiltonianMonitor(backends=[absent, local], embedder=None)

        outcome = monitor.analyze("Where is Rome?", max_new_tokens=12, temperature=0)

        assert isinstance(outcome, TrajectoryAnalysis)
        assert outcome.backend == "local"
