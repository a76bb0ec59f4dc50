"""Three other instrumentors of openai beside ours: 1,200 tokens are 1,200 tokens."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

import pytest

from cert_otel.journal import read_journal

if TYPE_CHECKING:
    from pathlib import Path

PEERS: Final = {
    "genai-openai": "opentelemetry-instrumentation-genai-openai",
    "openllmetry": "opentelemetry-instrumentation-openai",
    "openinference": "openinference-instrumentation-openai",
}
OURS: Final = "cert-otel"
PRICE: Final = 1200 * 2.50e-6 + 50 * 10e-6
"""gpt-4o, USD."""
EMBEDDING_PRICE: Final = 1200 * 0.02e-6
"""text-embedding-3-small, USD."""
OWN_CODE: Final = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*"}

CREATE: Final = "chat.completions.create(model='gpt-4o', messages=messages, logprobs=True{})"
STREAM: Final = CREATE.format(", stream=True, stream_options={'include_usage': True}")
RESPOND: Final = "responses.create(model='gpt-4o', input='hi'{})"
EMBED: Final = "embeddings.create(model='text-embedding-3-small', input='hi')"

PLAIN: Final = {
    "chat": CREATE.format(""),
    "parse": CREATE.format("").replace("create", "parse"),
    "responses": RESPOND.format(""),
}
STREAMS: Final = {"stream": STREAM, "responses stream": RESPOND.format(", stream=True")}


def in_sync(call: str, *, stream: bool = False) -> str:
    """Return a program that prints what a call returned."""
    show = "for chunk in reply: print(chunk.to_json())" if stream else "print(reply.to_json())"
    return f"reply = openai.OpenAI().{call}\n{show}\n"


def in_async(call: str, *, stream: bool = False) -> str:
    """Return the same for the asynchronous client."""
    show = (
        "async for chunk in reply: print(chunk.to_json())" if stream else "print(reply.to_json())"
    )
    return (
        "async def main():\n"
        "    async with openai.AsyncOpenAI() as client:\n"
        f"        reply = await client.{call}\n"
        f"        {show}\n"
        "asyncio.run(main())\n"
    )


PROGRAMS: Final = {
    **{name: in_sync(call) for name, call in PLAIN.items()},
    **{name: in_sync(call, stream=True) for name, call in STREAMS.items()},
    **{f"async {name}": in_async(call) for name, call in PLAIN.items()},
    **{f"async {name}": in_async(call, stream=True) for name, call in STREAMS.items()},
}
EMBEDDINGS: Final = {"embeddings": in_sync(EMBED), "async embeddings": in_async(EMBED)}


def instrument(*distributions: str) -> str:
    """Return code that instruments with these, and nobody else."""
    return (
        "import importlib.metadata as m\n"
        "for entry_point in m.entry_points(group='opentelemetry_instrumentor'):\n"
        f"    if entry_point.dist.name in {distributions!r}: entry_point.load()().instrument()\n"
    )


def assert_counted_once(application: Any) -> None:
    costs = application.read_costs()
    assert costs["records"] == 1
    assert costs["tokens"]["prompt"] == 1200
    assert costs["tokens"]["completion"] == 50
    assert costs["total"] == pytest.approx(PRICE)


def assert_embedded_once(folder: Path) -> None:
    (record,) = (
        record
        for record in read_journal([folder / "production.jsonl"]).records
        if record.duplicate_of is None
    )
    assert record.kind == "embedding"
    assert record.tokens is not None
    assert record.tokens.prompt == 1200
    assert record.cost == pytest.approx(EMBEDDING_PRICE)


class TestTogether:
    """All three peers and ours installed, each with its defaults."""

    @pytest.mark.parametrize("program", PROGRAMS)
    def test_a_call_is_counted_once(self, program: str, application: Any) -> None:
        """One record, 1,200 prompt tokens, one cost."""
        application.run(PROGRAMS[program])

        assert_counted_once(application)

    @pytest.mark.parametrize("program", EMBEDDINGS)
    def test_an_embedding_is_counted_once(self, program: str, application: Any) -> None:
        """Of the records of an embedding all but one are duplicates of it."""
        application.run(EMBEDDINGS[program])

        assert_embedded_once(application.folder)

    @pytest.mark.parametrize("program", ["chat", "async stream", "responses stream"])
    def test_the_application_gets_what_it_would_get(self, program: str, application: Any) -> None:
        """Reply and chunks are those of the SDK alone."""
        with_all = application.run(PROGRAMS[program]).stdout
        alone = application.run(PROGRAMS[program], instrumented=False).stdout

        assert '"id"' in alone
        # Ids count the provider's requests, and times are the day's.
        assert re.sub(r"\d+", "#", with_all) == re.sub(r"\d+", "#", alone)

    def test_ten_calls_are_ten(self, application: Any) -> None:
        """Folding never takes two calls for one."""
        application.run("for _ in range(10):\n    openai.OpenAI()." + PLAIN["chat"])

        assert application.read_costs()["tokens"]["prompt"] == 12_000

    def test_the_start_up_line_names_them(self, application: Any) -> None:
        """Who else instruments the SDK is said once."""
        stderr = application.run(PROGRAMS["chat"]).stderr

        (line,) = (line for line in stderr.splitlines() if line.startswith("cert-otel"))
        for peer in PEERS.values():
            assert peer in line

    def test_ours_can_be_left_out_by_its_name(self, application: Any) -> None:
        """`OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=cert_openai` takes ours out, and nobody else."""
        application.run(PROGRAMS["chat"], OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="cert_openai")

        # OpenInference names an operation in its own words: without ours it has no record.
        lines = application.read_lines()
        assert len(lines) == len(PEERS) - 1
        assert all(line["cost"] is None for line in lines)


class TestOneByOne:
    """Each peer alone beside ours."""

    @pytest.mark.parametrize("program", PROGRAMS)
    @pytest.mark.parametrize("peer", PEERS)
    def test_a_call_is_counted_once(self, peer: str, program: str, application: Any) -> None:
        """One record, 1,200 prompt tokens, one cost."""
        application.run(instrument(PEERS[peer], OURS) + PROGRAMS[program], **OWN_CODE)

        assert_counted_once(application)

    @pytest.mark.parametrize("peer", PEERS)
    def test_an_embedding_is_counted_once(self, peer: str, application: Any) -> None:
        """Of the records of an embedding all but one are duplicates of it."""
        application.run(instrument(PEERS[peer], OURS) + EMBEDDINGS["embeddings"], **OWN_CODE)

        assert_embedded_once(application.folder)

    @pytest.mark.parametrize("program", ["chat", "async chat", "stream", "async stream"])
    @pytest.mark.parametrize("peer", PEERS)
    def test_its_span_carries_what_we_know(self, peer: str, program: str, application: Any) -> None:
        """There is one span, the peer's, with our cost and perplexity."""
        application.run(instrument(PEERS[peer], OURS) + PROGRAMS[program], **OWN_CODE)

        (line,) = application.read_lines()
        assert line["metadata"]["otel.scope.name"] != "cert_otel_instrumentations.openai"
        assert line["cost"] == pytest.approx(PRICE)
        assert line["perplexity"] == pytest.approx(math.exp(0.25))

    @pytest.mark.parametrize("program", ["responses", "responses stream", "async responses stream"])
    def test_the_official_span_of_a_response_carries_its_cost(
        self, program: str, application: Any
    ) -> None:
        """Also of a stream, whose span the official instrumentor ends at its last event."""
        code = instrument(PEERS["genai-openai"], OURS) + PROGRAMS[program]
        application.run(code, **OWN_CODE)

        (line,) = application.read_lines()
        assert "genai" in line["metadata"]["otel.scope.name"]
        assert line["cost"] == pytest.approx(PRICE)
