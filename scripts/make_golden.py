"""Make `tests/wire/golden/`: what other vendors' instrumentors emit, recorded from themselves.

Each peer is installed in an environment of its own under `build/golden/`, runs the scenarios of
`golden.scenarios` against the loopback provider of `cert_otel.testing`, and exports OTLP to a
loopback receiver. Nothing leaves the machine but the installation. tests/wire/golden/README.md
explains the files.

    python scripts/make_golden.py [--check] [PEER ...]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from _environments import ROOT, make_python
from golden.chains import RETRIEVAL, RETRIEVAL_STEPS, WORKFLOW, WORKFLOW_STEPS, Step
from golden.facts import describe, describe_step, list_sent
from golden.messages import MESSAGES, MessagesProvider
from golden.normalise import Normaliser
from golden.otlp import encode_logs, encode_spans, merge_spans
from golden.receiver import Received, Receiver
from golden.scenarios import SCENARIOS, WEATHER_RESULT, Call, Scenario

from cert_otel.testing import FakeProvider, Reply, ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

GOLDEN: Final = ROOT / "tests" / "wire" / "golden"
BUILD: Final = ROOT / "build" / "golden"
OTEL: Final = (
    "opentelemetry-sdk==1.45.1",
    "opentelemetry-exporter-otlp-proto-http==1.45.1",
)
CONTENT: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
ON_SPAN: Final = {CONTENT: "SPAN_ONLY"}


@dataclass(frozen=True)
class Peer:
    """One vendor's instrumentation in one mode."""

    name: str
    """Of its folder."""
    requirements: tuple[str, ...]
    """Exact: another version may emit something else."""
    environ: Mapping[str, str] = field(default_factory=dict)
    environment: str | None = None
    """The environment that it shares with another peer."""
    scenarios: tuple[Scenario, ...] = SCENARIOS
    steps: tuple[Step, ...] = ()
    """Spans around the calls."""
    application: str = "golden.application"
    """A Python module, or the name of a script for Node."""
    error: str = "BadRequestError"
    """What its SDK calls HTTP 400."""
    altered: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Scenario to facts that it is known to write otherwise, and how."""

    @property
    def is_for_node(self) -> bool:
        """Whether it is JavaScript."""
        return self.application.endswith(".mjs")

    @property
    def folder(self) -> Path:
        """Of its environment."""
        return BUILD / (self.environment or self.name)


OPENAI_3: Final = "openai==3.51.0"
ANTHROPIC: Final = "anthropic==2.10.0"
NATIVE: Final = "ANTHROPIC_OPEN_TELEMETRY"
"""The switch of what the SDK records itself."""
OPENAI_2: Final = "openai==2.54.0"
GENAI: Final = (OPENAI_3, "opentelemetry-instrumentation-genai-openai==1.3b0", *OTEL)
LANGCHAIN: Final = (
    OPENAI_3,
    "openinference-instrumentation-langchain==0.1.80",
    "langchain-core==1.8.3",
    "langchain-openai==1.7.4",
    *OTEL,
)
VERCEL: Final = (
    "ai@6.0.325",
    "@ai-sdk/openai@3.0.141",
    "@opentelemetry/resources@2.12.0",
    "@opentelemetry/sdk-trace-node@2.12.0",
    "@opentelemetry/exporter-trace-otlp-proto@0.223.1",
)

PEERS: Final = (
    Peer("genai-openai", GENAI, ON_SPAN),
    Peer("genai-openai-events", GENAI, {CONTENT: "EVENT_ONLY"}, environment="genai-openai"),
    Peer(
        "openai-v2",
        (
            OPENAI_2,
            "opentelemetry-instrumentation-openai-v2==2.4b0",
            "opentelemetry-util-genai==0.4b0",
            *OTEL,
        ),
        {CONTENT: "true"},
    ),
    Peer("openinference", (OPENAI_3, "openinference-instrumentation-openai==0.1.66", *OTEL)),
    Peer(
        "openinference-langchain",
        LANGCHAIN,
        scenarios=(RETRIEVAL,),
        steps=RETRIEVAL_STEPS,
        application="golden.langchain_chain",
    ),
    Peer("openllmetry", (OPENAI_3, "opentelemetry-instrumentation-openai==0.62.4", *OTEL)),
    Peer(
        "openllmetry-workflow",
        (OPENAI_3, "traceloop-sdk==0.62.4", "httpx==0.28.1", *OTEL),
        scenarios=(WORKFLOW,),
        steps=WORKFLOW_STEPS,
        application="golden.traceloop_workflow",
    ),
    Peer(
        "openlit",
        (OPENAI_2, "openlit==1.45.0", *OTEL),
        {CONTENT: "true"},
        # It joins the texts of the choices.
        altered={"choices": {"output_data": "Blue. Green."}},
    ),
    Peer("logfire", (OPENAI_2, "logfire==5.4.0", *OTEL)),
    Peer(
        "vercel-ai",
        VERCEL,
        scenarios=tuple(scenario for scenario in SCENARIOS if scenario.name != "choices"),
        application="vercel.mjs",
        error="AI_APICallError",
    ),
    Peer(
        "anthropic-native",
        (ANTHROPIC, *OTEL),
        {"ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE": "content"},
        scenarios=MESSAGES,
        application="golden.anthropic_calls",
        error="invalid_request_error",
    ),
    Peer(
        "genai-anthropic",
        (ANTHROPIC, "opentelemetry-instrumentation-genai-anthropic==1.3b0", *OTEL),
        {**ON_SPAN, NATIVE: "false"},
        scenarios=MESSAGES,
        application="golden.anthropic_calls",
    ),
    Peer(
        "openinference-anthropic",
        (ANTHROPIC, "openinference-instrumentation-anthropic==3.1.0", *OTEL),
        {NATIVE: "false"},
        scenarios=MESSAGES,
        application="golden.anthropic_calls",
    ),
    Peer(
        "openllmetry-anthropic",
        (ANTHROPIC, "opentelemetry-instrumentation-anthropic==0.62.4", *OTEL),
        {NATIVE: "false"},
        scenarios=MESSAGES,
        application="golden.anthropic_calls",
        # It adds the count of the stream's first event to that of its last.
        altered={"stream": {"completion_tokens": 62}},
    ),
    Peer(
        "cert-otel",
        (OPENAI_3, f"--editable={ROOT}", *OTEL),
        {**ON_SPAN, "CERT_OTEL_HASH_KEY": "golden"},
    ),
)


def make_reply(call: Call) -> Reply:
    """Return what the fake provider is to answer."""
    calls = [ToolCall(**asked) for asked in call.reply.get("tool_calls", ())]
    return Reply(**{**call.reply, "tool_calls": calls})


def record(peer: Peer) -> list[Received]:
    """Run the scenarios under one peer and return what it exported, normalised."""
    prepare = prepare_node if peer.is_for_node else prepare_python
    command = prepare(peer)
    calls = [call for scenario in peer.scenarios for call in scenario.calls]
    with Receiver() as receiver, start_provider(calls) as provider:
        environ = make_environ(peer, provider.url, receiver.url)
        subprocess.run(
            command,
            cwd=peer.folder,
            env=environ,
            check=True,
            timeout=300,
            stdout=subprocess.DEVNULL,
        )
    normaliser = Normaliser()
    for received in receiver.scenarios:
        normaliser.normalise(received)
    return receiver.scenarios


def start_provider(calls: Sequence[Call]) -> FakeProvider | MessagesProvider:
    """Return the provider that these calls are made to."""
    if calls[0].endpoint == "messages":
        return MessagesProvider(calls)
    return FakeProvider([make_reply(call) for call in calls])


def prepare_python(peer: Peer) -> list[str]:
    """Make the environment of a peer and return what runs its application."""
    takes_name = peer.scenarios in (SCENARIOS, MESSAGES)
    arguments = [peer.folder.name.replace("-", "_")] if takes_name else []
    return [str(make_python(peer.folder, peer.requirements)), "-m", peer.application, *arguments]


def prepare_node(peer: Peer) -> list[str]:
    """Install the packages of a peer, and put its script and the scenarios beside them."""
    peer.folder.mkdir(parents=True, exist_ok=True)
    npm = ["npm", "install", "--silent", "--no-save", "--no-audit", "--no-fund"]
    subprocess.run([*npm, *peer.requirements], cwd=peer.folder, check=True)
    shutil.copy(ROOT / "scripts" / "golden" / peer.application, peer.folder)
    data = {
        "weather_result": WEATHER_RESULT,
        "scenarios": [
            {"name": scenario.name, "calls": [asdict(call) for call in scenario.calls]}
            for scenario in peer.scenarios
        ],
    }
    (peer.folder / "scenarios.json").write_text(json.dumps(data))
    return ["node", peer.application, "scenarios.json"]


def make_environ(peer: Peer, provider: str, receiver: str) -> dict[str, str]:
    """Return the environment of an application: it calls the provider, and exports to us.

    Python's clients reach the provider through a proxy, so that they see the host of a real one.
    """
    return {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "PYTHONPATH": str(ROOT / "scripts"),
        "PYTHONWARNINGS": "ignore",
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": f"{provider}/v1" if peer.is_for_node else "http://api.openai.com/v1",
        "ANTHROPIC_API_KEY": "none",
        "ANTHROPIC_BASE_URL": "http://api.anthropic.com",
        "http_proxy": provider,
        "NO_PROXY": "127.0.0.1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": "golden",
        "OTEL_RESOURCE_ATTRIBUTES": "service.version=1.0",
        **peer.environ,
    }


def describe_calls(peer: Peer, batches: Sequence[Received]) -> list[dict[str, Any]]:
    """Return what the provider sent for each call, and what the peer made of it."""
    calls = [(scenario.name, call) for scenario in peer.scenarios for call in scenario.calls]
    return [
        {
            "scenario": scenario,
            "line": line,
            "kind": "embedding" if call.endpoint == "embeddings" else "inference",
            "sent": (sent := list_sent(call, number, error=peer.error)),
            **describe(sent, received, altered=peer.altered.get(scenario, {})),
        }
        for number, ((scenario, call), (line, received)) in enumerate(
            zip(calls, assign_batches(peer, batches), strict=True), 1
        )
    ]


def assign_batches(
    peer: Peer, batches: Sequence[Received]
) -> Iterator[tuple[int | None, Received]]:
    """Give each call its batch and the line that the batch is written to.

    A batch is one call, or, where calls share a trace, all calls of one scenario.
    """
    written = itertools.count(1)
    numbered = [
        (next(written) if received.traces.resource_spans else None, received)
        for received in batches
    ]
    for scenario in peer.scenarios:
        own = [batch for batch in numbered if batch[1].scenario == scenario.name]
        yield from own if len(own) == len(scenario.calls) else own * len(scenario.calls)


def describe_steps(peer: Peer, batches: Sequence[Received]) -> list[dict[str, Any]]:
    """Return what the application did around its calls."""
    return [{"line": 1, **asdict(step), **describe_step(step, batches[0])} for step in peer.steps]


def write(peer: Peer, folder: Path) -> None:
    """Record one peer into a folder."""
    lines = record(peer)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "spans.jsonl").write_bytes(encode_spans(lines))
    (folder / "spans.pb").write_bytes(merge_spans(lines))
    logs = encode_logs(lines)
    if logs:
        (folder / "logs.jsonl").write_bytes(logs)
    expected = {
        "peer": [name for name in peer.requirements if not name.startswith("--")],
        "environ": dict(peer.environ),
        "calls": describe_calls(peer, lines),
        "steps": describe_steps(peer, lines),
    }
    text = json.dumps(expected, indent=1, ensure_ascii=False)
    (folder / "expected.json").write_text(text + "\n", encoding="utf-8")


def find_changes(folder: Path, golden: Path) -> list[str]:
    """Return the names of files that are not the same in both folders."""
    names = {path.name for path in (*folder.glob("*"), *golden.glob("*"))}
    return sorted(
        name
        for name in names
        if not ((folder / name).exists() and (golden / name).exists())
        or (folder / name).read_bytes() != (golden / name).read_bytes()
    )


def check(peer: Peer) -> list[str]:
    """Record one peer again and return which of its golden files would change."""
    with tempfile.TemporaryDirectory() as folder:
        write(peer, Path(folder) / peer.name)
        return find_changes(Path(folder) / peer.name, GOLDEN / peer.name)


def main() -> int:
    """Record the peers that are named, or all; with --check, only say what would change."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [peer.name for peer in PEERS]
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if it would")
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"of {', '.join(names)}")
    options = parser.parse_args()
    if unknown := set(options.peers) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(names)}")
    changed = []
    for peer in PEERS:
        if options.peers and peer.name not in options.peers:
            continue
        if peer.is_for_node and shutil.which("npm") is None:
            print(f"{peer.name}: left out, since there is no npm", file=sys.stderr)
            continue
        print(peer.name, flush=True)
        if options.check:
            changed += [f"{peer.name}/{name}" for name in check(peer)]
        else:
            write(peer, GOLDEN / peer.name)
    for name in changed:
        print(f"tests/wire/golden/{name} would change", file=sys.stderr)
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
