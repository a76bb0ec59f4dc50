"""Run the demonstration: the help desk, instrumented from outside, and everything behind it.

    python examples/demo/run.py

Starts a local provider that replays recorded answers, a collector built from this repository,
`cert serve` with the packaged reference model, and Prometheus where it is there; runs `app.py` under
`opentelemetry-instrument`; says what everyone has of it; asks `cert` what the trail in
`build/demo/trail` holds; and checks all of it. Nothing leaves the machine.

    answers.py    what the provider answers
    chain.py      what runs behind the application, on processes.py
    outcome.py    what is found there; shown.py tells it, checks.py checks it
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from answers import (
    ANSWERS,
    DEPLOYMENTS,
    WRONG_ANSWERS,
    make_script,
    read_answers,
    read_labels,
    read_wrong_answers,
)
from chain import SCORER, find_programs, open_chain
from checks import check
from outcome import gather
from processes import DemoError, end_on_signals, find_program, run_step
from shown import describe, describe_labels

from cert_otel.testing import FakeProvider

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from answers import WrongAnswer
    from chain import Chain, Programs
    from outcome import Outcome

HERE: Final = Path(__file__).resolve().parent
BUILD: Final = HERE.parents[1] / "build" / "demo"
HEADER: Final = """\
 app.py ──> collector ──┬──> a backend
                ^       └──> cert serve ──> build/demo/trail ──> cert costs · score · evaluate
                └─── scores ─────┘ └─ /metrics ──> Prometheus

The help desk of a fictional shop calls gpt-4o, gpt-4o-mini, gpt-4.1-mini, o4-mini and
text-embedding-3-small. A local server stands in for them: the texts are recorded answers of four
research models (GPT-2, T5, CTRL, DoHA; BEGIN data set, CC BY 4.0, examples/data/README.md), token
counts, log probabilities and delays follow a fixed rule, the prices are the public ones. So the
way of the records is real, and their figures are not yours. The answers are scored by a small
reference model of technical prose, so perplexities are high. Many of them are wrong: people called
half of the recorded ones not borne out by their passage, and in five more a date, a number, a name
or a negation was changed on purpose. Nothing leaves this machine.
"""


def make_environment(outside: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of everything: nothing of the user's keys, proxies and settings."""
    foreign = ("OTEL_", "CERT_OTEL_", "OPENAI_", "AZURE_OPENAI_")
    kept = {
        name: value
        for name, value in outside.items()
        if not name.startswith(foreign) and not name.lower().endswith("_proxy")
    }
    return kept | {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"}


def make_clients(provider: FakeProvider) -> dict[str, str]:
    """Return the environment of the application's clients.

    They address the providers' own host names, whose prices are known; `http_proxy` leads plain
    HTTP to the local server, as a company's proxy would.
    """
    return {
        "OPENAI_API_KEY": "demo",
        "OPENAI_BASE_URL": "http://api.openai.com/v1",
        "AZURE_OPENAI_API_KEY": "demo",
        "AZURE_OPENAI_ENDPOINT": "http://demo.openai.azure.com",
        "OPENAI_API_VERSION": "2025-04-01-preview",
        "http_proxy": provider.url,
        "no_proxy": "127.0.0.1",
    }


def run_application(
    build: Path, programs: Programs, environment: Mapping[str, str], wrong: Sequence[WrongAnswer]
) -> Outcome:
    """Run the help desk before the whole chain, and return what everyone has of it."""
    journal = build / "production.jsonl"
    script = make_script(read_answers(ANSWERS, wrong))
    with (
        FakeProvider(script, deployments=DEPLOYMENTS) as provider,
        open_chain(build, programs, environment) as chain,
    ):
        telemetry = {
            "OTEL_SERVICE_NAME": "customer-support",
            "OTEL_EXPORTER_OTLP_ENDPOINT": chain.endpoint,
            "CERT_OTEL_JSONL": str(journal),
        }
        print(f"Running, with logs in {os.path.relpath(build)}: {name_parts(chain)}\n")
        print("$ opentelemetry-instrument python examples/demo/app.py")
        command = [find_program("opentelemetry-instrument"), sys.executable, str(HERE / "app.py")]
        run_step("app.py", command, {**environment, **make_clients(provider), **telemetry})
        return gather(chain, journal, build / "trail")


def name_parts(chain: Chain) -> str:
    """Name what runs in the background."""
    parts = (chain.service, chain.collector, chain.prometheus)
    return ", ".join(part.name for part in parts if part is not None)


def ask(trail: Path, environment: Mapping[str, str], *command: str) -> None:
    """Run `cert` over the trail."""
    name, *options = command
    words = [name, os.path.relpath(trail), *options]
    print(f"\n$ cert {' '.join(words)}")
    run_step(f"cert {name}", [find_program("cert"), *words], environment)


def demonstrate(build: Path, programs: Programs) -> bool:
    """Run every step, everything going into `build`; tell whether it is what it should be."""
    environment = make_environment(os.environ)
    wrong = read_wrong_answers(WRONG_ANSWERS, ANSWERS)
    outcome = run_application(build, programs, environment, wrong)
    print("", *describe(outcome, wrong), sep="\n")
    ask(build / "trail", environment, "costs")
    ask(build / "trail", environment, "score", "--model", SCORER)
    ask(build / "trail", environment, "evaluate")
    print("", *describe_labels(outcome.trail, read_labels(ANSWERS, wrong)), sep="\n")
    print("\nChecked:")
    found = check(outcome, wrong)
    for text, holds in found:
        print(f"  {'ok    ' if holds else 'FAILED'} {text}")
    return all(holds for _, holds in found)


def main(build: Path = BUILD, programs: Programs | None = None) -> int:
    """Run the demonstration; 0 when everything held.

    Args:
        build: Where everything goes; emptied first.
        programs: What runs beside the Python environment; found or built when left out.
    """
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir(parents=True)
    print(HEADER, flush=True)
    try:
        return 0 if demonstrate(build, programs or find_programs(build / "make.log")) else 1
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    end_on_signals()
    sys.exit(main())
