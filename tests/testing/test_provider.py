"""The fake provider: its life, its script, its faults and its addresses."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, AzureOpenAI, OpenAI

from cert_otel.errors import RecordError
from cert_otel.testing import (
    FakeProvider,
    RecordedRequest,
    Reply,
    ToolCall,
    route_to,
    route_to_async,
)
from cert_otel.testing.provider import main, read_replies

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


_ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}


class TestLife:
    def test_has_no_address_unless_it_runs(self) -> None:
        """Using it before or after is a mistake that says so."""
        provider = FakeProvider()
        with pytest.raises(RuntimeError, match="with block"):
            _ = provider.base_url

        with provider:
            assert provider.base_url.startswith("http://127.0.0.1:")

        with pytest.raises(RuntimeError, match="with block"):
            _ = provider.url

    def test_stopping_twice_is_harmless(self) -> None:
        """So that a fixture may stop what the test has stopped."""
        provider = FakeProvider().start()
        provider.stop()
        provider.stop()

    def test_ends_every_thread_and_connection(self) -> None:
        """A client that keeps its connection open does not keep the provider."""
        before = threading.active_count()
        with FakeProvider() as provider, httpx2.Client() as client:
            url = f"{provider.base_url}/models"
            client.get(url)
            provider.stop()
            with pytest.raises(httpx2.TransportError):
                client.get(url)
            deadline = time.monotonic() + 5
            while threading.active_count() > before and time.monotonic() < deadline:
                time.sleep(0.01)

            assert threading.active_count() == before

    def test_keeps_connections_alive(self, serve: Callable[..., FakeProvider]) -> None:
        """Requests of one client share a connection, streams too."""
        provider = serve()
        with httpx2.Client() as client:
            ports = set()
            for stream in (False, True, False):
                answer = client.post(
                    f"{provider.base_url}/chat/completions", json=_ASK | {"stream": stream}
                )
                ports.add(answer.extensions["network_stream"].get_extra_info("client_addr"))

        assert len(ports) == 1

    def test_serves_many_at_once(self, serve: Callable[..., FakeProvider]) -> None:
        """A slow answer holds up nobody else."""
        provider = serve(lambda _: Reply("a", delay_s=0.2))

        async def ask_all() -> float:
            async with AsyncOpenAI(base_url=provider.base_url, api_key="k") as client:
                start = time.perf_counter()
                await asyncio.gather(*(client.chat.completions.create(**_ASK) for _ in range(8)))
                return time.perf_counter() - start

        assert asyncio.run(ask_all()) < 8 * 0.2
        assert [request.number for request in provider.requests] == list(range(1, 9))

    def test_a_client_that_leaves_does_no_harm(self, serve: Callable[..., FakeProvider]) -> None:
        """Closed in the middle of a stream, the provider serves the next one."""
        provider = serve(lambda _: Reply("one two three " * 200, chunk_delay_s=0.001))
        with OpenAI(base_url=provider.base_url, api_key="k") as client:
            for _ in range(2):
                with client.chat.completions.create(**_ASK, stream=True) as stream:
                    assert next(iter(stream)).choices

    def test_a_connection_that_is_reset_does_no_harm(
        self, serve: Callable[..., FakeProvider], capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Nothing is printed, and the next client is served."""
        provider = serve()
        with socket.create_connection(("127.0.0.1", _get_port(provider))) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n")
            # Lingering for no time makes the close a reset.
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

        assert httpx2.get(f"{provider.base_url}/models").status_code == 200
        assert capfd.readouterr().err == ""


class TestRequests:
    def test_are_recorded_as_they_arrived(self, serve: Callable[..., FakeProvider]) -> None:
        """Bytes, headers, query and host."""
        provider = serve()
        body = b'{"model":  "gpt-4o", "messages": []}'
        headers = {"Content-Type": "application/json", "X-Trace": "7"}

        httpx2.post(f"{provider.base_url}/chat/completions?a=1&b=2", content=body, headers=headers)

        request = provider.requests[0]
        assert (request.method, request.path) == ("POST", "/v1/chat/completions")
        assert request.query == {"a": "1", "b": "2"}
        assert request.body == body
        assert request.headers["x-trace"] == "7"
        assert request.host == provider.url.removeprefix("http://")

    def test_have_ids_that_count(self, connect: Callable[..., OpenAI]) -> None:
        """The SDK's request id is the request's number."""
        client = connect()

        ids = [client.chat.completions.create(**_ASK)._request_id for _ in range(2)]

        assert [int((text or "").removeprefix("req_")) for text in ids] == [1, 2]

    @pytest.mark.parametrize("path", ["/v1/nowhere", "/nowhere", "/v1/responses/x/cancel", "/"])
    def test_elsewhere_is_not_found(self, serve: Callable[..., FakeProvider], path: str) -> None:
        """An unknown path gets the provider's own error."""
        answer = httpx2.post(f"{serve().url}{path}", json={})

        assert answer.status_code == 404
        assert answer.json()["error"]["message"] == f"Invalid URL (POST {path})"

    def test_need_a_length(self, serve: Callable[..., FakeProvider]) -> None:
        """A body in chunks is refused instead of being read as empty."""
        answer = httpx2.post(f"{serve().base_url}/responses", content=iter([b"{}"]))

        assert answer.status_code == 411

    def test_that_are_no_json_are_refused(self, serve: Callable[..., FakeProvider]) -> None:
        """The client is told, the provider lives."""
        headers = {"Content-Type": "application/json"}
        answer = httpx2.post(f"{serve().base_url}/responses", content=b"{", headers=headers)

        assert answer.status_code == 400
        assert "JSONDecodeError" in answer.json()["error"]["message"]


class TestScript:
    def test_replies_come_in_order(self, connect: Callable[..., OpenAI]) -> None:
        """Texts and replies, one for each call, and an error when there are no more."""
        client = connect("One.", Reply("Two."))
        texts = [client.responses.create(model="m", input="?").output_text for _ in range(2)]

        assert texts == ["One.", "Two."]
        with pytest.raises(openai.BadRequestError, match="2 answers and no more"):
            client.responses.create(model="m", input="?")

    def test_a_function_sees_the_request(self, serve: Callable[..., FakeProvider]) -> None:
        """It answers with a text, a reply, or nothing for the canned answer."""

        def answer(request: RecordedRequest) -> Reply | str | None:
            replies: dict[str, Reply | str] = {"a": "A", "b": Reply("B")}
            return replies.get(request.json["input"])

        with OpenAI(base_url=serve(answer).base_url, api_key="k") as client:
            texts = [client.responses.create(model="m", input=text).output_text for text in "abc"]

        assert texts == ["A", "B", "You asked: c"]

    def test_a_function_that_fails_is_named(self, serve: Callable[..., FakeProvider]) -> None:
        """The test's mistake reaches the test."""

        def answer(request: RecordedRequest) -> str:
            return str(request.json["missing"])

        provider = serve(answer)
        with (
            OpenAI(base_url=provider.base_url, api_key="k") as client,
            pytest.raises(openai.BadRequestError, match=r"KeyError\('missing'\)"),
        ):
            client.responses.create(model="m", input="?")

    def test_a_reply_that_cannot_be_sent_is_printed(
        self, connect: Callable[..., OpenAI], capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A mistake that no answer can carry is on standard error."""
        with pytest.raises(openai.APIConnectionError):
            connect(Reply("a", headers={"x-price": "5 €"})).chat.completions.create(**_ASK)

        assert "UnicodeEncodeError" in capfd.readouterr().err

    def test_headers_are_scripted(self, connect: Callable[..., OpenAI]) -> None:
        """For instance a proxy's report of the cost."""
        client = connect(Reply("a", headers={"x-litellm-response-cost": "0.5"}))

        raw = client.chat.completions.with_raw_response.create(**_ASK)

        assert raw.headers["x-litellm-response-cost"] == "0.5"
        assert raw.parse().choices[0].message.content == "a"


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, openai.BadRequestError),
            (401, openai.AuthenticationError),
            (403, openai.PermissionDeniedError),
            (404, openai.NotFoundError),
            (418, openai.APIStatusError),
            (429, openai.RateLimitError),
            (500, openai.InternalServerError),
            (503, openai.InternalServerError),
        ],
    )
    def test_have_the_providers_body(
        self, connect: Callable[..., OpenAI], status: int, kind: type[openai.APIStatusError]
    ) -> None:
        """The SDK raises its own error, with message, type and code."""
        with pytest.raises(kind) as caught:
            connect(Reply("No.", status=status)).chat.completions.create(**_ASK)

        assert caught.value.status_code == status
        assert isinstance(caught.value.body, dict)
        assert caught.value.body["message"] == "No."
        assert caught.value.body["type"]

    def test_fields_are_scripted(self, connect: Callable[..., OpenAI]) -> None:
        """A code is what applications look at."""
        reply = Reply(status=400, patch={"code": "context_length_exceeded"})

        with pytest.raises(openai.BadRequestError) as caught:
            connect(reply).responses.create(model="m", input="?")

        assert caught.value.code == "context_length_exceeded"

    def test_are_retried_at_once(self, connect: Callable[..., OpenAI]) -> None:
        """The SDK's own retries cost a test no time."""
        client = connect(Reply(status=429), Reply(status=500), "Done.", max_retries=2)
        start = time.perf_counter()

        assert client.responses.create(model="m", input="?").output_text == "Done."
        assert time.perf_counter() - start < 1.0


class TestFaults:
    def test_a_cut_answer_is_a_lost_connection(self, connect: Callable[..., OpenAI]) -> None:
        """Half a body, and half a stream after so many chunks."""
        client = connect(Reply("One two three", fault="cut"), Reply("One two three", fault="cut"))
        with pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(**_ASK)
        seen: list[Any] = []

        with pytest.raises(openai.APIConnectionError):
            _iterate(client.chat.completions.create(**_ASK, stream=True), seen)

        assert len(seen) == 2

    @pytest.mark.parametrize("after", [0, 3])
    def test_an_error_event_ends_a_chat_stream(
        self, connect: Callable[..., OpenAI], after: int
    ) -> None:
        """The SDK raises it after the chunks that came before."""
        client = connect(Reply("One two three", fault="error_event", fault_after=after))
        seen: list[Any] = []

        with pytest.raises(openai.APIError, match="The server had an error"):
            _iterate(client.chat.completions.create(**_ASK, stream=True), seen)

        assert len(seen) == after

    def test_an_error_event_ends_a_response(self, connect: Callable[..., OpenAI]) -> None:
        """It is an event with a type and a number of its own."""
        client = connect(Reply("One two three", fault="error_event", fault_after=5))
        events = list(client.responses.create(model="m", input="?", stream=True))

        assert [event.sequence_number for event in events] == list(range(6))
        assert events[-1].type == "error"

    def test_a_chunk_without_index(self, connect: Callable[..., OpenAI]) -> None:
        """As some compatible servers send; the SDK passes it on."""
        client = connect(Reply("One two three", fault="null_index", fault_after=1))
        chunks = client.chat.completions.create(**_ASK, stream=True)

        assert [chunk.choices[0].index for chunk in chunks] == [0, None, 0, 0, 0]

    def test_chunks_take_their_time(self, connect: Callable[..., OpenAI]) -> None:
        """The delay is per chunk, so that time to the first one can be told."""
        client = connect(Reply("One two three", chunk_delay_s=0.02))
        start = time.perf_counter()

        chunks = list(client.chat.completions.create(**_ASK, stream=True))

        assert time.perf_counter() - start >= 0.02 * len(chunks)

    def test_streams_of_the_raw_response_are_the_same(self, connect: Callable[..., OpenAI]) -> None:
        """What is read line by line is what the SDK parses."""
        client = connect("One two", "One two")
        with client.chat.completions.with_streaming_response.create(
            **_ASK, stream=True
        ) as response:
            lines = [line for line in response.iter_lines() if line]

        chunks = list(client.chat.completions.create(**_ASK, stream=True))

        assert len(lines) == len(chunks) + 1
        assert lines[-1] == "data: [DONE]"


class TestAsync:
    def test_the_async_client_sees_the_same(self, serve: Callable[..., FakeProvider]) -> None:
        """Plain, streamed, parsed and raw."""
        provider = serve(lambda _: Reply("One two."))

        async def ask() -> list[str | None]:
            async with AsyncOpenAI(base_url=provider.base_url, api_key="k") as client:
                plain = await client.chat.completions.create(**_ASK)
                stream = await client.chat.completions.create(**_ASK, stream=True)
                parts = [chunk.choices[0].delta.content or "" async for chunk in stream]
                async with client.responses.stream(model="m", input="?") as events:
                    response = await events.get_final_response()
                raw = await client.embeddings.with_raw_response.create(model="m", input="a")
                assert raw.parse().usage.total_tokens == 1
                return [plain.choices[0].message.content, "".join(parts), response.output_text]

        assert asyncio.run(ask()) == ["One two."] * 3


class TestAzure:
    @pytest.mark.parametrize(
        ("deployment", "model"),
        [
            ("helpdesk", "gpt-4.1-mini-2025-04-14"),
            ("gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
            ("unknown", "gpt-4o-2024-08-06"),
        ],
    )
    def test_the_deployment_is_not_the_model(
        self, serve: Callable[..., FakeProvider], deployment: str, model: str
    ) -> None:
        """The model that answers is configured, or follows the name, or is gpt-4o."""
        provider = serve(deployments={"helpdesk": "gpt-4.1-mini-2025-04-14"})
        with AzureOpenAI(
            azure_endpoint=provider.azure_endpoint, api_key="k", api_version="2025-04-01-preview"
        ) as client:
            chat = client.chat.completions.create(**_ASK | {"model": deployment})
            response = client.responses.create(model=deployment, input="?")

        assert (chat.model, response.model) == (model, model)
        assert provider.requests[0].path == f"/openai/deployments/{deployment}/chat/completions"
        assert provider.requests[0].query == {"api-version": "2025-04-01-preview"}

    def test_other_endpoints_have_their_own_default(
        self, serve: Callable[..., FakeProvider]
    ) -> None:
        """An unknown deployment of embeddings is an embedding model."""
        with AzureOpenAI(
            azure_endpoint=serve().azure_endpoint, api_key="k", api_version="1"
        ) as client:
            assert client.embeddings.create(model="x", input="a").model == "text-embedding-3-small"

    def test_the_v1_path_is_azure_too(self, serve: Callable[..., FakeProvider]) -> None:
        """The plain client against the new path."""
        provider = serve()
        with OpenAI(base_url=f"{provider.azure_endpoint}/openai/v1", api_key="k") as client:
            answer = client.chat.completions.create(**_ASK | {"model": "helpdesk"})

        assert answer.model == "gpt-4o-2024-08-06"
        assert answer.service_tier is None

    def test_the_content_filter_speaks_first(self, serve: Callable[..., FakeProvider]) -> None:
        """Its chunk has no choice and no model, as Azure's has; choices carry its verdict."""
        with AzureOpenAI(
            azure_endpoint=serve().azure_endpoint, api_key="k", api_version="1"
        ) as client:
            first, *rest = client.chat.completions.create(**_ASK, stream=True)
            whole = client.chat.completions.create(**_ASK)

        assert (first.choices, first.model) == ([], "")
        assert first.model_extra is not None
        assert "prompt_filter_results" in first.model_extra
        assert rest[0].choices
        assert whole.choices[0].model_extra is not None
        assert "content_filter_results" in whole.choices[0].model_extra


class TestRouting:
    def test_the_client_keeps_its_address(self, serve: Callable[..., FakeProvider]) -> None:
        """The request comes here, addressed to the real provider."""
        provider = serve()
        with (
            httpx2.Client(event_hooks=route_to(provider)) as http_client,
            OpenAI(api_key="k", http_client=http_client) as client,
        ):
            client.chat.completions.create(**_ASK)

            assert str(client.base_url) == "https://api.openai.com/v1/"
        assert provider.requests[0].host == "api.openai.com"

    def test_the_async_client_keeps_its_address(self, serve: Callable[..., FakeProvider]) -> None:
        """The same for the async client."""
        provider = serve()

        async def ask() -> None:
            async with (
                httpx2.AsyncClient(event_hooks=route_to_async(provider)) as http_client,
                AsyncOpenAI(api_key="k", http_client=http_client) as client,
            ):
                await client.chat.completions.create(**_ASK)

        asyncio.run(ask())

        assert provider.requests[0].host == "api.openai.com"

    def test_is_a_proxy_for_plain_http(self, serve: Callable[..., FakeProvider]) -> None:
        """So that an environment variable routes a whole process."""
        provider = serve()
        with (
            httpx2.Client(proxy=provider.url) as http_client,
            OpenAI(
                base_url="http://api.openai.com/v1", api_key="k", http_client=http_client
            ) as client,
        ):
            client.chat.completions.create(**_ASK)

        assert provider.requests[0].host == "api.openai.com"
        assert provider.requests[0].path == "/v1/chat/completions"


class TestProgram:
    def test_reads_replies(self, tmp_path: Path) -> None:
        """A line is a text or the fields of a reply."""
        path = tmp_path / "answers.jsonl"
        path.write_text(
            '"One."\n\n{"text": "Two", "tool_calls": [{"name": "f", "arguments": {"a": 1}}]}\n'
        )

        assert read_replies(path) == [
            Reply("One.", tool_calls=()),
            Reply("Two", tool_calls=[ToolCall("f", {"a": 1})]),
        ]

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            ("{", "Expecting property name"),
            ('{"txet": "a"}', "unexpected keyword argument 'txet'"),
            ('{"text": "a b", "logprobs": [0.1]}', "1 logprobs for 2 tokens"),
            ("7", "not a text or an object"),
        ],
    )
    def test_names_a_line_that_is_no_reply(self, tmp_path: Path, line: str, problem: str) -> None:
        """With file, number and reason."""
        path = tmp_path / "answers.jsonl"
        path.write_text(f'"One."\n{line}\n')

        with pytest.raises(RecordError, match=problem) as caught:
            read_replies(path)

        assert caught.value.line == 2

    def test_serves_until_it_may_end(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The first line that it prints is its base URL."""
        path = tmp_path / "answers.jsonl"
        path.write_text('"From the file."\n')
        answers: list[Any] = []

        def ask() -> None:
            base_url = capsys.readouterr().out.strip()
            answers.append(httpx2.post(f"{base_url}/responses", json={"input": "?"}).json())

        assert main(["--answers", str(path)], wait=ask) == 0
        assert answers[0]["output"][0]["content"][0]["text"] == "From the file."

    @pytest.mark.parametrize("content", [None, "{"])
    def test_a_file_that_cannot_be_used_ends_it(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
    ) -> None:
        """Missing or malformed: exit code 2 and the file's name."""
        path = tmp_path / "answers.jsonl"
        if content is not None:
            path.write_text(content)

        with pytest.raises(SystemExit) as caught:
            main(["--answers", str(path)])

        assert caught.value.code == 2
        assert "answers.jsonl" in capsys.readouterr().err

    def test_ends_on_a_signal(self) -> None:
        """Terminated, it stops with code 0 and prints nothing but its URL."""
        command = [sys.executable, "-W", "error", "-m", "cert_otel.testing.provider"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as program:
            assert program.stdout is not None
            base_url = program.stdout.readline().strip()
            status = httpx2.get(f"{base_url}/models").status_code
            os.kill(program.pid, signal.SIGTERM)
            output, errors = program.communicate(timeout=10)

        assert (status, output, errors, program.returncode) == (200, "", "", 0)


def _iterate(stream: Any, seen: list[Any]) -> None:
    for item in stream:
        seen.append(item)  # noqa: PERF402 - what came before the error must stay


def _get_port(provider: FakeProvider) -> int:
    return int(provider.url.rpartition(":")[2])
