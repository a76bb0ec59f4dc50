"""`set_context`: what holds for the calls inside, and for no others."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

import cert_otel
from cert_otel import config, set_context
from cert_otel.records import ContextItem

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from tests.capture.conftest import Bench

CONTEXT = "cert.context"
TENANT = "cert.tenant"


@pytest.fixture(autouse=True)
def _in_a_context_of_its_own() -> Iterator[None]:
    """A statement in a test ends with the test."""
    with set_context():
        yield


def ask(bench: Bench) -> dict[str, Any]:
    """Make a call and return its attributes."""
    bench.spans.clear()
    bench.begin().succeed()
    return bench.attributes


class TestStatement:
    def test_holds_until_the_next(self, bench: Bench) -> None:
        """A plain call names the surroundings of what follows; the next call replaces them."""
        set_context(tenant="acme")
        first, second = ask(bench), ask(bench)
        set_context(tenant="bolt")
        third = ask(bench)

        assert [one[TENANT] for one in (first, second, third)] == ["acme", "acme", "bolt"]

    def test_a_call_keeps_what_held_when_it_began(self, bench: Bench) -> None:
        """A stream that ends later still belongs to who asked."""
        with set_context(tenant="acme"):
            call = bench.begin()
        with set_context(tenant="bolt"):
            call.succeed()

        assert bench.attributes[TENANT] == "acme"

    def test_it_is_public(self) -> None:
        """Applications reach it on the package itself."""
        assert cert_otel.set_context is set_context


class TestBlock:
    def test_ends_with_the_block(self, bench: Bench) -> None:
        """Outside, nothing is known again."""
        with set_context(tenant="acme"):
            inside = ask(bench)

        assert inside[TENANT] == "acme"
        assert TENANT not in ask(bench)

    def test_nesting_adds(self, bench: Bench) -> None:
        """What is not given is kept from outside; metadata is merged, the inner one wins."""
        with (
            set_context(tenant="acme", conversation="c-1", metadata={"a": 1, "b": 1}),
            set_context(task_type="faq", tenant="bolt", metadata={"b": 2}),
        ):
            inside = ask(bench)

        assert {name: inside[name] for name in inside if not name.startswith("gen_ai.o")} == {
            "cert.metadata": '{"a":1,"b":2}',
            "cert.task_type": "faq",
            TENANT: "bolt",
            "gen_ai.conversation.id": "c-1",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "server.address": "api.openai.com",
        }

    def test_an_error_passes(self, bench: Bench) -> None:
        """The block ends, and the exception is the application's."""
        error = KeyError("theirs")
        with pytest.raises(KeyError) as caught, set_context(tenant="acme"):
            raise error

        assert caught.value is error
        assert TENANT not in ask(bench)

    def test_it_may_end_in_another_context(self) -> None:
        """A framework may run the end of a generator in another context: nothing is raised."""

        def dependency() -> Iterator[None]:
            with set_context(tenant="acme"):
                yield

        generator = dependency()
        contextvars.copy_context().run(next, generator)

        assert contextvars.copy_context().run(next, generator, "ended") == "ended"


class TestIsolation:
    def test_tasks(self, bench: Bench) -> None:
        """What one task says holds in that task, although they take turns."""

        async def work(tenant: str) -> None:
            set_context(tenant=tenant)
            await asyncio.sleep(0)
            call = bench.begin(model=tenant)
            await asyncio.sleep(0)
            call.succeed()

        async def main() -> None:
            await asyncio.gather(*(work(f"t{number}") for number in range(5)))

        asyncio.run(main())

        assert {
            (span["attributes"]["gen_ai.request.model"], span["attributes"][TENANT])
            for span in bench.spans.spans()
        } == {(f"t{number}", f"t{number}") for number in range(5)}

    def test_a_task_inherits(self, bench: Bench) -> None:
        """What held where the task was made holds inside."""

        async def work() -> None:
            bench.begin().succeed()

        with set_context(tenant="acme"):
            asyncio.run(work())

        assert bench.attributes[TENANT] == "acme"

    def test_threads(self, bench: Bench) -> None:
        """A thread starts with nothing."""
        with set_context(tenant="acme"):
            thread = threading.Thread(target=lambda: bench.begin().succeed())
            thread.start()
            thread.join()

        assert TENANT not in bench.attributes


class TestUser:
    def test_is_a_pseudonym(self, bench: Bench) -> None:
        """Equal users have equal pseudonyms; the name itself is nowhere."""
        with set_context(user="jane@example.com"):
            first, second = ask(bench), ask(bench)
        with set_context(user="joe@example.com"):
            third = ask(bench)

        assert first["enduser.pseudo.id"] == second["enduser.pseudo.id"]
        assert first["enduser.pseudo.id"] != third["enduser.pseudo.id"]
        assert "jane" not in repr(first)

    def test_wins_over_the_request(self, bench: Bench) -> None:
        """Whom the application names explicitly is who asked."""
        with set_context(user="jane"):
            named = ask(bench)
        bench.spans.clear()

        def fill(call: Any) -> None:
            call.user = "proxy"

        with set_context(user="jane"):
            bench.begin(fill).succeed()

        assert bench.attributes["enduser.pseudo.id"] == named["enduser.pseudo.id"]


class TestContext:
    def test_is_content(self, bench: Bench) -> None:
        """Where content is off, the ground truth is not attached."""
        with set_context("Returns are free."):
            assert CONTEXT not in ask(bench)

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("Free.", [{"text": "Free.", "id": None, "source": "explicit"}]),
            (
                ["One.", {"text": "Two.", "id": 2, "source": "wiki"}],
                [
                    {"text": "One.", "id": None, "source": "explicit"},
                    {"text": "Two.", "id": "2", "source": "wiki"},
                ],
            ),
            (
                ContextItem(text="Item.", id="i"),
                [{"text": "Item.", "id": "i", "source": None}],
            ),
            (
                {"page_content": "Page.", "metadata": {"x": 1}},
                [{"text": "Page.", "id": None, "source": "explicit"}],
            ),
            ({"content": "Content."}, [{"text": "Content.", "id": None, "source": "explicit"}]),
            (["", {"id": "empty"}, "Kept."], [{"text": "Kept.", "id": None, "source": "explicit"}]),
            ([17, None], [{"text": "17", "id": None, "source": "explicit"}]),
            ([["a", "b"]], [{"text": '["a","b"]', "id": None, "source": "explicit"}]),
        ],
    )
    def test_forms(self, bench: Bench, given: Any, expected: list[Any]) -> None:
        """A text, a passage or several of either; what has no text is left out."""
        config.configure(capture_content=True)
        with set_context(given):
            attached = ask(bench)[CONTEXT]

        assert json.loads(attached) == expected

    @pytest.mark.parametrize("given", ["", [], [""], {}, {"text": None}])
    def test_nothing_is_nothing(self, bench: Bench, given: Any) -> None:
        """No passage is no attribute, not an empty list."""
        config.configure(capture_content=True)
        with set_context(given):
            assert CONTEXT not in ask(bench)

    def test_none_keeps_what_held(self, bench: Bench) -> None:
        """Only what is given replaces; an empty list takes the ground truth away."""
        config.configure(capture_content=True)
        with set_context("Outer."):
            with set_context(tenant="acme"):
                kept = ask(bench)
            with set_context([]):
                removed = ask(bench)

        assert json.loads(kept[CONTEXT])[0]["text"] == "Outer."
        assert CONTEXT not in removed

    def test_it_is_redacted_and_capped(self, bench: Bench) -> None:
        """Explicit text is content like any."""
        config.configure(capture_content=True, redact="secret", content_max_chars=12)
        with set_context("a secret and more"):
            attached = ask(bench)[CONTEXT]

        assert json.loads(attached)[0]["text"] == "a [REDACTED]… [9 more characters]"


class TestFailOpen:
    @pytest.mark.parametrize(
        "settings",
        [
            {"context": 17},
            {"metadata": 17},
            {"metadata": ["a"]},
        ],
    )
    def test_a_wrong_type_does_not_raise(
        self, bench: Bench, settings: dict[str, Any], swallowed: Counter[str]
    ) -> None:
        """It is counted, nothing changes, and the block is entered and left."""
        with set_context(tenant="acme"), set_context(tenant="bolt", **settings):
            assert ask(bench)[TENANT] == "acme"

        assert swallowed == {"set_context": 1}
        swallowed.clear()

    @pytest.mark.parametrize(
        "metadata",
        [
            {("a", 1): 2},
            {"object": object()},
            {"text": "\ud800"},
            {1: "\ud800"},
            {"big": 2**70},
            {"set": {1}},
        ],
    )
    def test_strange_metadata_costs_nothing_else(
        self, bench: Bench, metadata: dict[Any, Any]
    ) -> None:
        """What JSON has no form for is shown in some other; the tenant is recorded all the same."""
        with set_context(tenant="acme", metadata=metadata):
            attributes = ask(bench)

        assert attributes[TENANT] == "acme"
        assert attributes["cert.metadata"].encode()

    def test_a_strange_user_costs_nothing_else(self, bench: Bench) -> None:
        """Identifiers are numbers in many applications: they have a pseudonym, too."""
        user: Any = 17
        with set_context(tenant="acme", user=user, conversation=user):
            attributes = ask(bench)

        assert attributes[TENANT] == "acme"
        assert len(attributes["enduser.pseudo.id"]) == 32
        assert attributes["gen_ai.conversation.id"] == "17"
