"""Backends in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cert_otel.errors import BackendError, ConfigError, ModelNotFoundError
from cert_otel.scoring.backends.breaker import FAILURES, RETRY_AFTER_S
from cert_otel.scoring.backends.chain import BackendChain
from cert_otel.scoring.backends.scored import Request, Scored, never
from cert_otel.scoring.prompts import Sample
from cert_otel.scoring.token_scores import AnswerScore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Fake:
    """A backend that scores all, or what the test wants."""

    def __init__(
        self,
        name: str,
        *,
        problem: Exception | None = None,
        reasons: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.configuration = name
        self.problem = problem
        self.reasons = reasons or {}
        self.asked: list[list[str]] = []
        self.closed = False

    def score(
        self,
        requests: Sequence[Request],
        *,
        deadline: float | None = None,  # noqa: ARG002 - of the protocol
        is_cancelled: Callable[[], bool] = never,  # noqa: ARG002 - likewise
    ) -> list[Scored]:
        """Do as a backend does."""
        self.asked.append([request.sample.completion for request in requests])
        if self.problem is not None:
            raise self.problem
        return [self._score(request.sample.completion) for request in requests]

    def _score(self, completion: str) -> Scored:
        reason = self.reasons.get(completion)
        if reason:
            return Scored(status="error", backend=self.name, reason=reason)
        return Scored(status="scored", backend=self.name, score=AnswerScore(tokens=1))

    def close(self) -> None:
        """Remember that."""
        self.closed = True


def requests(*completions: str) -> list[Request]:
    return [Request(sample=Sample(completion=one)) for one in completions]


class TestOrder:
    def test_the_first_that_can(self) -> None:
        """A backend scores what those before could not, and nothing else; order is kept."""
        first = Fake("first", reasons={"b": "no_logprobs"})
        second = Fake("second")

        results = BackendChain([first, second]).score(requests("a", "b", "c"))

        assert [one.backend for one in results] == ["first", "second", "first"]
        assert second.asked == [["b"]]

    def test_a_failure_goes_on(self) -> None:
        """A backend that fails as a whole leaves all to the next."""
        first = Fake("first", problem=BackendError("first", "down"))

        (result,) = BackendChain([first, Fake("second")]).score(requests("a"))

        assert (result.status, result.backend) == ("scored", "second")

    @pytest.mark.parametrize("reason", ["deadline", "cancelled", "empty_completion"])
    def test_what_nobody_could_do_stays(self, reason: str) -> None:
        """What another backend would not do either is not asked of it."""
        second = Fake("second")

        (result,) = BackendChain([Fake("first", reasons={"a": reason}), second]).score(
            requests("a")
        )

        assert (result.reason, second.asked) == (reason, [])

    def test_the_first_reason_counts(self) -> None:
        """If none could, the result is what the first said."""
        chain = BackendChain(
            [Fake("first", reasons={"a": "not_finite"}), Fake("second", reasons={"a": "refused"})]
        )

        (result,) = chain.score(requests("a"))

        assert (result.backend, result.reason) == ("first", "not_finite")

    @pytest.mark.parametrize(
        ("problem", "reason"),
        [
            (ModelNotFoundError("tiny", "no such folder"), "model_not_loaded"),
            (BackendError("first", "down"), "backend_unavailable"),
            (RuntimeError("broken"), "backend_unavailable"),
        ],
    )
    def test_an_exception_is_a_result(self, problem: Exception, reason: str) -> None:
        """Whatever a backend raises, the chain does not."""
        (result,) = BackendChain([Fake("first", problem=problem)]).score(requests("a"))

        assert (result.status, result.reason) == ("error", reason)
        assert str(problem) in (result.detail or "")

    def test_none_is_a_mistake(self) -> None:
        """A chain of no backends is a setting that cannot be used."""
        with pytest.raises(ConfigError, match="backends: is empty"):
            BackendChain([])

    def test_all_are_closed(self) -> None:
        """Closing closes every backend."""
        fakes = [Fake("first"), Fake("second")]

        BackendChain(fakes).close()

        assert all(fake.closed for fake in fakes)


class TestBreaker:
    def test_left_out_after_five(self) -> None:
        """A backend that failed five times in a row is not asked a sixth time."""
        first = Fake("first", problem=BackendError("first", "down"))
        chain = BackendChain([first, Fake("second")])

        for _ in range(7):
            chain.score(requests("a"))

        assert len(first.asked) == FAILURES == 5
        assert chain.find_left_out() == {"first": "first: down"}

    def test_a_success_forgets(self) -> None:
        """Failures count only in a row."""
        first = Fake("first", problem=BackendError("first", "down"))
        chain = BackendChain([first])
        for turn in range(20):
            first.problem = None if turn % 5 == 4 else BackendError("first", "down")
            chain.score(requests("a"))

        assert len(first.asked) == 20
        assert chain.find_left_out() == {}

    def test_tried_again(self) -> None:
        """When its time is over it is asked again, and is back if it answers."""
        first = Fake("first", problem=BackendError("first", "down"))
        chain = BackendChain([first], retry_after_s=0)
        for _ in range(6):
            chain.score(requests("a"))
        first.problem = None

        (result,) = chain.score(requests("a"))

        assert RETRY_AFTER_S == 30
        assert len(first.asked) == 7
        assert result.status == "scored"

    def test_one_failed_attempt_leaves_it_out_again(self) -> None:
        """A backend on trial that fails is left out at once, not after five more."""
        first = Fake("first", problem=BackendError("first", "down"))
        chain = BackendChain([first, Fake("second")], failures=2, retry_after_s=3600)
        chain.score(requests("a"))
        chain.score(requests("a"))
        chain.score(requests("a"))

        assert len(first.asked) == 2
