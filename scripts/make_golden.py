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
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from _environments import ROOT, make_python
from golden.facts import describe, describe_step
from golden.messages import MESSAGES, MessagesProvider
from golden.normalise import Normaliser
from golden.otlp import encode_logs, encode_spans, merge_logs, merge_spans
from golden.receiver import Received, Receiver
from golden.roster import PEERS
from golden.scenarios import SCENARIOS, WEATHER_RESULT
from golden.sent import list_sent

from cert_otel.testing import FakeProvider, Reply, ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from golden.roster import Peer
    from golden.scenarios import Call

GOLDEN: Final = ROOT / "tests" / "wire" / "golden"
BUILD: Final = ROOT / "build" / "golden"


def find_home(peer: Peer) -> Path:
    """Return the folder of a peer's environment."""
    return BUILD / peer.home


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
        done = subprocess.run(
            command,
            cwd=find_home(peer),
            env=environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    if done.returncode:
        sys.exit(f"{peer.name}: {done.stderr}")
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
    arguments = [peer.home.replace("-", "_")] if takes_name else []
    python = make_python(find_home(peer), peer.requirements)
    return [str(python), "-m", peer.application, *arguments]


def prepare_node(peer: Peer) -> list[str]:
    """Install the packages of a peer, and put its script and the scenarios beside them."""
    home = find_home(peer)
    home.mkdir(parents=True, exist_ok=True)
    npm = ["npm", "install", "--silent", "--no-save", "--no-audit", "--no-fund"]
    subprocess.run([*npm, *peer.requirements], cwd=home, check=True)
    shutil.copy(ROOT / "scripts" / "golden" / peer.application, home)
    scenarios = [
        {"name": scenario.name, "calls": [asdict(call) for call in scenario.calls]}
        for scenario in peer.scenarios
    ]
    data = {"weather_result": WEATHER_RESULT, "scenarios": scenarios}
    (home / "scenarios.json").write_text(json.dumps(data))
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
    if logs := encode_logs(lines):
        (folder / "logs.jsonl").write_bytes(logs)
        (folder / "logs.pb").write_bytes(merge_logs(lines))
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


def choose_peers(names: Sequence[str]) -> list[Peer]:
    """Return the peers of these names, or all; without npm those of Node are left out."""
    chosen = [peer for peer in PEERS if not names or peer.name in names]
    if shutil.which("npm") is None:
        for peer in chosen:
            if peer.is_for_node:
                print(f"{peer.name}: left out, since there is no npm", file=sys.stderr)
        chosen = [peer for peer in chosen if not peer.is_for_node]
    return chosen


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [peer.name for peer in PEERS]
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if it would")
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"of {', '.join(names)}")
    options = parser.parse_args()
    if unknown := set(options.peers) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(names)}")
    return options


def main() -> int:
    """Record the peers that are named, or all; with --check, only say what would change."""
    options = parse_arguments()
    changed = []
    for peer in choose_peers(options.peers):
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
