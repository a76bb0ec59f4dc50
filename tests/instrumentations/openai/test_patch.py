"""Where the SDK is watched: how that begins, how it ends, and who else may be there."""

from __future__ import annotations

import functools
import inspect
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import httpx2
import openai
import pytest
import wrapt
from openai import _base_client
from opentelemetry import context, trace
from opentelemetry.context import attach, detach, set_value
from opentelemetry.instrumentation.utils import suppress_instrumentation

from cert_otel import config, semconv
from cert_otel_instrumentations.openai import OpenAIInstrumentor, _patch

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from pathlib import Path

    from tests.instrumentations.openai.conftest import Desk

REPLY: Final = {"id": "chatcmpl-1", "model": "gpt-4o-2024-08-06", "choices": []}
BATCHES: Final = [
    {"object": "list", "data": [{"id": f"batch_{page}"}], "has_more": page == 0}
    for page in range(2)
]


class TestUninstrument:
    """Taking the watch away again."""

    @pytest.mark.parametrize("name", ["SyncAPIClient", "AsyncAPIClient"])
    def test_restores_the_methods(self, name: str) -> None:
        """What the SDK had is there again, the very same object."""
        client_class = getattr(_base_client, name)
        before = client_class.request
        instrumentor = OpenAIInstrumentor()
        instrumentor.instrument(skip_dep_check=True)
        during = client_class.request
        instrumentor.uninstrument()

        assert during is not before
        assert client_class.request is before

    def test_the_method_looks_like_the_sdks(self, desk: Desk) -> None:
        """Name, signature and kind are the SDK's."""
        del desk
        sync, coroutine = _base_client.SyncAPIClient.request, _base_client.AsyncAPIClient.request

        assert sync.__qualname__ == "SyncAPIClient.request"
        assert list(inspect.signature(sync).parameters)[:3] == ["self", "cast_to", "options"]
        assert not inspect.iscoroutinefunction(sync)
        assert inspect.iscoroutinefunction(coroutine)

    def test_nothing_is_recorded_after_it(self, desk: Desk) -> None:
        """Clients that are there already are not watched any more."""
        client = desk.open(REPLY, REPLY)
        OpenAIInstrumentor().uninstrument()
        client.chat.completions.create(model="gpt-4o", messages=[])

        assert desk.spans.spans() == []

    def test_and_back_again(self, desk: Desk) -> None:
        """Instrumented once more, each call is recorded once."""
        client = desk.open(REPLY)
        instrumentor = OpenAIInstrumentor()
        instrumentor.uninstrument()
        instrumentor.instrument(skip_dep_check=True, tracer_provider=desk.spans.tracer_provider)
        client.chat.completions.create(model="gpt-4o", messages=[])

        assert len(desk.spans.spans()) == 1

    def test_a_wrapper_on_top_of_ours_stays(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ours cannot be taken out from under it: it passes on, and comes back only once."""
        seen: list[str] = []
        ours: Any = _base_client.SyncAPIClient.request

        @functools.wraps(ours)
        def theirs(self: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append("theirs")
            return ours(self, *args, **kwargs)

        monkeypatch.setattr(_base_client.SyncAPIClient, "request", theirs)
        client = desk.open(REPLY, REPLY)
        instrumentor = OpenAIInstrumentor()
        instrumentor.uninstrument()
        client.chat.completions.create(model="gpt-4o", messages=[])
        without = len(desk.spans.spans())
        instrumentor.instrument(skip_dep_check=True, tracer_provider=desk.spans.tracer_provider)
        client.chat.completions.create(model="gpt-4o", messages=[])
        monkeypatch.undo()

        assert seen == ["theirs", "theirs"]
        assert (without, len(desk.spans.spans())) == (0, 1)

    def test_a_wrapper_on_a_subclass_leads_to_ours(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Others wrap the method that `OpenAI` inherits, which would pass ours by."""
        instrumentor = OpenAIInstrumentor()
        instrumentor.uninstrument()
        plain = _base_client.SyncAPIClient.request

        def pass_on(wrapped: Any, _: Any, args: Any, kwargs: Any) -> Any:
            return wrapped(*args, **kwargs)

        inner = wrapt.FunctionWrapper(plain, pass_on)
        wrapper = wrapt.FunctionWrapper(inner, pass_on)
        monkeypatch.setattr(openai.OpenAI, "request", wrapper, raising=False)
        client = desk.open(REPLY, REPLY)
        instrumentor.instrument(skip_dep_check=True, tracer_provider=desk.spans.tracer_provider)
        client.chat.completions.create(model="gpt-4o", messages=[])
        watched = len(desk.spans.spans())
        instrumentor.uninstrument()
        client.chat.completions.create(model="gpt-4o", messages=[])

        assert (watched, len(desk.spans.spans())) == (1, 1)
        assert inner.__wrapped__ is plain


class TestSuppression:
    """What the application, or another instrumentor, does not want recorded."""

    @pytest.mark.parametrize(
        "key", ["suppress_instrumentation", "suppress_language_model_instrumentation"]
    )
    def test_by_a_key_of_the_context(self, desk: Desk, key: str) -> None:
        """The keys that instrumentors agree on."""
        token = attach(set_value(key, value=True))
        desk.chat(REPLY)
        detach(token)

        assert desk.spans.spans() == []

    def test_by_the_official_helper(self, desk: Desk) -> None:
        """And only inside its block."""
        with suppress_instrumentation():
            desk.chat(REPLY)
        desk.chat(REPLY)

        assert len(desk.spans.spans()) == 1

    def test_by_the_setting(self, desk: Desk) -> None:
        """`CERT_OTEL_DISABLED` silences what is instrumented already."""
        config.configure(disabled=True)
        desk.chat(REPLY)

        assert desk.spans.spans() == []


class TestContext:
    """The span among others."""

    def test_is_a_child_of_the_applications(self, desk: Desk) -> None:
        """The call belongs to whatever the application was doing."""
        with desk.spans.tracer.start_as_current_span("mine"):
            desk.chat(REPLY)
        mine, call = desk.spans.spans()

        assert (mine["name"], call["parent"]) == ("mine", mine["id"])

    def test_is_the_parent_of_the_http_request(self, desk: Desk) -> None:
        """What an instrumented HTTP client records lies inside the call."""

        def answer(_: httpx2.Request) -> httpx2.Response:
            desk.spans.tracer.start_span("POST").end()
            return httpx2.Response(200, json=REPLY)

        http_client = httpx2.Client(transport=httpx2.MockTransport(answer))
        with openai.OpenAI(api_key="test", http_client=http_client) as client:
            client.chat.completions.create(model="gpt-4o", messages=[])
        call, post = desk.spans.spans()

        assert (call["name"], post["parent"]) == ("chat gpt-4o", call["id"])

    def test_is_current_in_a_read_and_not_between(self, desk: Desk) -> None:
        """A stream's loop body is the application's own, in its own span."""
        before = context.get_current()
        events = [{**REPLY, "choices": []}] * 2
        create = desk.open(events).chat.completions.create
        stream = create(model="gpt-4o", messages=[], stream=True)
        during = [trace.get_current_span().get_span_context().span_id for _ in stream]

        assert during == [0, 0]
        assert context.get_current() is before

    def test_threads_do_not_mix(self, desk: Desk) -> None:
        """Calls of several threads at once each have their own span and parent."""

        def work(number: int) -> None:
            with desk.spans.tracer.start_as_current_span(f"job-{number}"):
                desk.chat(REPLY, model=f"model-{number}")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        spans = desk.spans.spans()
        names = {span["id"]: span["name"] for span in spans}
        pairs = {span["name"]: names[span["parent"]] for span in spans if span["parent"]}

        assert pairs == {f"chat model-{number}": f"job-{number}" for number in range(8)}


class TestTarget:
    """Who serves a client."""

    @pytest.mark.parametrize(
        ("url", "provider", "host", "port"),
        [
            ("https://api.openai.com/v1", "openai", "api.openai.com", None),
            ("https://api.groq.com/openai/v1", "groq", "api.groq.com", None),
            ("http://localhost:8000/v1", "openai", "localhost", 8000),
            ("https://router.huggingface.co/novita/v1", "novita", "router.huggingface.co", None),
        ],
    )
    def test_is_read_from_the_base_url(
        self, desk: Desk, url: str, provider: str, *, host: str, port: int | None
    ) -> None:
        """Not from the SDK's name."""
        create = desk.open(REPLY, base_url=url).chat.completions.create
        create(model="gpt-4o", messages=[])

        assert desk.attributes[semconv.PROVIDER_NAME] == provider
        assert desk.attributes[semconv.SERVER_ADDRESS] == host
        assert desk.attributes.get(semconv.SERVER_PORT) == port

    def test_follows_a_base_url_that_changes(self, desk: Desk) -> None:
        """A client may be pointed elsewhere while it lives."""
        client = desk.open(REPLY, REPLY)
        client.chat.completions.create(model="gpt-4o", messages=[])
        client.base_url = "https://api.groq.com/openai/v1"
        client.chat.completions.create(model="gpt-4o", messages=[])

        providers = [span["attributes"][semconv.PROVIDER_NAME] for span in desk.spans.spans()]
        assert providers == ["openai", "groq"]

    def test_azure_is_known_by_its_client(self, desk: Desk) -> None:
        """Behind whatever gateway; the model that answered is priced, not the deployment."""
        usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
        client = desk.open(
            {**REPLY, "usage": usage},
            kind="AzureOpenAI",
            azure_endpoint="https://gateway.example.com",
            api_version="2024-10-21",
        )
        client.chat.completions.create(model="gpt-4o-mini", messages=[])

        assert desk.attributes[semconv.PROVIDER_NAME] == "azure.ai.openai"
        assert desk.attributes[semconv.COST_AMOUNT] == pytest.approx(2.5)

    def test_openrouter_says_itself_what_it_cost(self, desk: Desk) -> None:
        """Its own figure wins over any table."""
        usage = {"prompt_tokens": 10, "completion_tokens": 2, "cost": 0.125}
        client = desk.open({**REPLY, "usage": usage}, base_url="https://openrouter.ai/api/v1")
        client.chat.completions.create(model="openai/gpt-4o", messages=[])

        assert desk.attributes[semconv.COST_AMOUNT] == 0.125
        assert desk.attributes[semconv.COST_SOURCE] == "provider"

    @pytest.mark.parametrize("cost", [True, "0.1", None, -1, 1e12, float("inf")])
    def test_what_is_no_cost_is_left_to_the_table(self, desk: Desk, cost: Any) -> None:
        """A figure that cannot be one is as if it were not there."""
        usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0, "cost": cost}
        reply = httpx2.Response(200, content=json.dumps({**REPLY, "usage": usage}))
        client = desk.open(reply, base_url="https://openrouter.ai/api/v1")
        client.chat.completions.create(model="openai/gpt-4o", messages=[])

        assert desk.attributes.get(semconv.COST_SOURCE) != "provider"

    def test_others_do_not(self, desk: Desk) -> None:
        """A field of that name from anybody else is no price."""
        usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0, "cost": 0.125}
        desk.chat({**REPLY, "usage": usage})

        assert desk.attributes[semconv.COST_AMOUNT] == pytest.approx(2.5)
        assert desk.attributes[semconv.COST_SOURCE] == "table"


class TestPages:
    """Lists that come in pages."""

    def test_each_page_is_a_request(self, desk: Desk) -> None:
        """Reading on records the next page, and the items are all there."""
        found = [batch.id for batch in desk.open(*BATCHES).batches.list()]

        assert found == ["batch_0", "batch_1"]
        assert [span["name"] for span in desk.spans.spans()] == ["batches", "batches"]


class TestParsing:
    """Replies that `parse` hands to the application's own model."""

    def test_are_read_before(self, desk: Desk) -> None:
        """Whatever the parser makes of the reply comes back, and its tokens are recorded."""
        kind: Any = openai._models.FinalRequestOptions
        options = kind.construct(
            method="post",
            url="/chat/completions",
            json_data={"model": "gpt-4o"},
            post_parser=lambda reply: reply.id,
        )
        parser = options.post_parser
        usage = {"prompt_tokens": 12, "completion_tokens": 3}
        client = desk.open({**REPLY, "usage": usage})
        result = client.request(openai.types.chat.ChatCompletion, options)

        assert result == "chatcmpl-1"
        assert options.post_parser is parser
        assert desk.attributes[semconv.USAGE_INPUT_TOKENS] == 12


class TestLoading:
    """What happens before openai is imported."""

    def run(self, code: str, folder: Path) -> Any:
        """Run a program that prints JSON."""
        names = [name for name in os.environ if name in ("PATH", "HOME") or name.startswith("COV")]
        kept = {name: os.environ[name] for name in names}
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=folder,
            env=kept,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    def test_imports_neither_the_sdk_nor_the_core(self, tmp_path: Path) -> None:
        """An application that never uses openai does not pay for it."""
        code = """
import json, sys
from cert_otel_instrumentations.openai import OpenAIInstrumentor
OpenAIInstrumentor().instrument(skip_dep_check=True)
names = ("openai", "httpx2", "cert_otel.capture", "cert_otel.pricing")
print(json.dumps([name for name in names if name in sys.modules]))
"""
        assert self.run(code, tmp_path) == []

    def test_watches_once_it_is_imported(self, tmp_path: Path) -> None:
        """The hook patches the SDK as it comes in; taken back before, it stays out."""
        code = """
import json, sys
from cert_otel_instrumentations.openai import OpenAIInstrumentor
instrumentor = OpenAIInstrumentor()
instrumentor.instrument(skip_dep_check=True)
if len(sys.argv) > 1:
    instrumentor.uninstrument()
from openai import _base_client
print(json.dumps(hasattr(_base_client.SyncAPIClient.request, "__wrapped__")))
"""
        assert self.run(code, tmp_path) is True
        assert self.run(code.replace("len(sys.argv) > 1", "True"), tmp_path) is False

    def test_a_version_that_nobody_knows_is_left_alone(self, tmp_path: Path) -> None:
        """An SDK without those classes is imported as ever, and nothing is recorded."""
        package = tmp_path / "openai"
        package.mkdir()
        (package / "__init__.py").write_text("from openai import _base_client\nVERSION = '9'\n")
        (package / "_base_client.py").write_text("class SyncAPIClient:\n    other = 1\n")
        code = """
import json, sys
sys.path.insert(0, "")
from cert_otel_instrumentations.openai import OpenAIInstrumentor
OpenAIInstrumentor().instrument(skip_dep_check=True)
import openai
OpenAIInstrumentor().uninstrument()
print(json.dumps(openai.VERSION))
"""
        assert self.run(code, tmp_path) == "9"

    def test_an_sdk_that_cannot_be_patched_is_imported_all_the_same(self, tmp_path: Path) -> None:
        """Whatever goes wrong in our hook, the application's import does not fail."""
        package = tmp_path / "openai"
        package.mkdir()
        (package / "__init__.py").write_text("from openai import _base_client\nVERSION = '9'\n")
        (package / "_base_client.py").write_text(FROZEN)
        code = """
import json, sys
sys.path.insert(0, "")
from cert_otel_instrumentations.openai import OpenAIInstrumentor
OpenAIInstrumentor().instrument(skip_dep_check=True)
import openai
print(json.dumps(openai.VERSION))
"""
        assert self.run(code, tmp_path) == "9"


FROZEN: Final = """
class Frozen(type):
    def __setattr__(cls, name, value):
        raise TypeError("frozen")


class SyncAPIClient(metaclass=Frozen):
    def request(self, cast_to, options):
        return None
"""


class TestUnexpectedArguments:
    """Requests that the SDK itself would refuse."""

    def test_are_refused_by_the_sdk(self, desk: Desk, swallowed: Counter[str]) -> None:
        """The error is the SDK's own, and ours is counted."""
        client = desk.open()
        request: Callable[..., Any] = client.request
        with pytest.raises(TypeError, match="options"):
            request(object)

        assert swallowed.pop("begin") == 1
        assert _patch._telemetry is not None
