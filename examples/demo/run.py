"""Run the demonstration: the help desk, instrumented from outside, its cost, scores and judgement.

    python examples/demo/run.py

Starts a local provider that replays recorded answers, runs `app.py` under
`opentelemetry-instrument`, prints `cert costs` of the records that this left in
`build/demo/production.jsonl`, scores the answers with the packaged reference model by
`cert score`, judges by `cert evaluate` whether they are borne out by the passages that were handed
to the model, and checks all of it. Nothing leaves the machine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cert_otel.journal import get_scores_path
from cert_otel.testing import FakeProvider, Reply, ToolCall

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cert_otel.testing import RecordedRequest

HERE: Final = Path(__file__).resolve().parent
ANSWERS: Final = HERE.parent / "data" / "support_dialogues.jsonl"
WRONG_ANSWERS: Final = HERE.parent / "data" / "wrong_answers.jsonl"
BUILD: Final = HERE.parents[1] / "build" / "demo"
HEADER: Final = """\
The help desk of a fictional shop calls gpt-4o, gpt-4o-mini, gpt-4.1-mini, o4-mini and
text-embedding-3-small. A local server stands in for them: the texts are recorded answers of four
research models (GPT-2, T5, CTRL, DoHA; BEGIN data set, CC BY 4.0, examples/data/README.md), token
counts, log probabilities and delays follow a fixed rule, the prices are the public ones. So the
way of the records is real, and their figures are not yours. The answers are scored by a small
reference model of technical prose, so perplexities are high. Many of them are wrong: people called
half of the recorded ones not borne out by their passage, and in five more a date, a number, a name
or a negation was changed on purpose. Nothing leaves this machine.
"""
DEPLOYMENTS: Final = {"helpdesk-eu": "gpt-4o-2024-08-06"}
CONTEXT_WINDOW_BYTES: Final = 300_000
TIMEOUT_S: Final = 100
SCORER: Final = "cert-otel-reference"
MIN_RECORDS: Final = 40
MIN_MODELS: Final = 4
DELAY_S: Final = 0.01
CHUNK_DELAY_S: Final = 0.001


class DemoError(Exception):
    """A step of the demonstration failed; the message names it."""


class WrongAnswer(NamedTuple):
    """A recorded answer that was changed on purpose."""

    question: str
    answer: str
    start: int
    """Where the change begins."""
    end: int


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_answers(path: Path, wrong: Sequence[WrongAnswer] = ()) -> dict[str, str]:
    """Read the recorded answers, by question as it stands in a JSON request.

    Args:
        path: Of the recorded ones.
        wrong: Those that are given instead of what was recorded.
    """
    recorded = {row["question"]: row["answer"] for row in read_rows(path)}
    answers = recorded | {one.question: one.answer for one in wrong}
    return {json.dumps(question): answer for question, answer in answers.items()}


def read_wrong_answers(path: Path, recorded: Path) -> list[WrongAnswer]:
    """Read what was changed in which of the recorded answers."""
    rows = {row["id"]: row for row in read_rows(recorded)}
    return [
        WrongAnswer(
            rows[change["id"]]["question"],
            rows[change["id"]]["answer"].replace(change["was"], change["now"]),
            start := rows[change["id"]]["answer"].index(change["was"]),
            start + len(change["now"]),
        )
        for change in read_rows(path)
    ]


def make_script(answers: Mapping[str, str]) -> Callable[[RecordedRequest], Reply | None]:
    """Return what the provider answers: the recorded answer to the question in the request."""
    by_text = {question.strip('"'): answer for question, answer in answers.items()}

    def reply_to(request: RecordedRequest) -> Reply | None:
        text = json.dumps(request.json)
        question = next((key for key in by_text if key in text), None)
        if len(request.body) > CONTEXT_WINDOW_BYTES:
            message = "This model's maximum context length is 128000 tokens."
            return Reply(message, status=400, patch={"code": "context_length_exceeded"})
        if "response_format" in request.json:
            report = {"headline": "All customers were answered", "open_questions": []}
            return Reply(json.dumps(report), delay_s=DELAY_S)
        if question is None or request.path.endswith("/embeddings"):
            return None
        return answer_question(request.json, json.loads(f'"{question}"'), by_text[question])

    return reply_to


def answer_question(asked: Mapping[str, Any], question: str, answer: str) -> Reply:
    """Return what the model says: a search for the question, or the recorded answer."""
    if asked.get("tool_choice") == "required":
        search = ToolCall("search_handbook", {"query": question})
        return Reply(tool_calls=[search], delay_s=DELAY_S)
    # What a reasoning model thinks is not recorded: its prompt stands in for the length.
    reasoning = json.dumps(asked["input"]) if asked["model"].startswith("o") else None
    return Reply(answer, reasoning=reasoning, delay_s=DELAY_S, chunk_delay_s=CHUNK_DELAY_S)


def make_environment(
    provider: FakeProvider, outside: Mapping[str, str], records: Path
) -> dict[str, str]:
    """Return the environment of the application and its instrumentation.

    The clients address the providers' own host names, whose prices are known; `http_proxy` leads
    plain HTTP to the local server, as a company's proxy would.
    """
    foreign = ("OTEL_", "CERT_OTEL_", "OPENAI_", "AZURE_OPENAI_")
    kept = {
        name: value
        for name, value in outside.items()
        if not name.startswith(foreign) and not name.lower().endswith("_proxy")
    }
    return kept | {
        "OPENAI_API_KEY": "demo",
        "OPENAI_BASE_URL": "http://api.openai.com/v1",
        "AZURE_OPENAI_API_KEY": "demo",
        "AZURE_OPENAI_ENDPOINT": "http://demo.openai.azure.com",
        "OPENAI_API_VERSION": "2025-04-01-preview",
        "http_proxy": provider.url,
        "OTEL_SERVICE_NAME": "customer-support",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
        "CERT_OTEL_JSONL": str(records),
    }


def find_program(name: str) -> str:
    """Find a program of the environment that runs this script."""
    program = Path(sys.executable).with_name(name)
    if not program.exists():
        raise DemoError(f"{program} is missing: install with pip install -e '.[analysis,score]'")
    return str(program)


def run_step(name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run one step and let it print; a failure names the step."""
    sys.stdout.flush()
    try:
        code = subprocess.run(  # noqa: S603 - our own programs
            command, env=dict(environment), timeout=TIMEOUT_S, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        raise DemoError(f"{name} did not end within {TIMEOUT_S} s") from None
    if code != 0:
        raise DemoError(f"{name} ended with exit code {code}")


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read what the run left behind."""
    if not path.exists():
        raise DemoError(f"no records: {path} was not written")
    return read_rows(path)


def check(
    records: Sequence[Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]],
    wrong: Sequence[WrongAnswer] = (),
) -> list[tuple[str, bool]]:
    """Say what holds of the records and the results, and what does not."""
    calls = [record for record in records if record.get("kind") == "inference"]
    errors = [record for record in records if record.get("status") == "error"]
    done = [record for record in calls if record.get("status") != "error"]
    models = {record["model"] for record in done if record.get("model")}
    priced = [record for record in done if record.get("cost") is not None]
    return [
        (f"{len(records)} records, at least {MIN_RECORDS}", len(records) >= MIN_RECORDS),
        (f"{len(errors)} error, exactly 1", len(errors) == 1),
        (f"{len(models)} models, at least {MIN_MODELS}", len(models) >= MIN_MODELS),
        (f"{len(priced)} of {len(done)} answered calls priced", 0 < len(priced) == len(done)),
        *check_scores(calls, [one for one in results if not is_judgement(one)]),
        *check_judgements(calls, [one for one in results if is_judgement(one)], wrong),
    ]


def is_judgement(result: Mapping[str, Any]) -> bool:
    """Whether `cert evaluate` made a result, and not `cert score`."""
    return str(result["scorer"]).startswith("cert-evaluate")


def check_scores(
    calls: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]
) -> list[tuple[str, bool]]:
    """Say whether each call has one result, and each answer its figures."""
    once = count_spans(results) == count_spans(calls)
    answers = sum(bool(call.get("output_data")) for call in calls)
    figures = [result["trajectory"] for result in results if result["trajectory"]]
    whole = [one for one in figures if None not in (one["perplexity"], one["energy_mean"])]
    return [
        (f"{len(results)} scores for {len(calls)} calls, one each", once),
        (
            f"{len(whole)} of {answers} answers with perplexity and energy",
            0 < answers == len(whole),
        ),
    ]


def check_judgements(
    calls: Sequence[Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]],
    wrong: Sequence[WrongAnswer],
) -> list[tuple[str, bool]]:
    """Say whether each call was judged once, and what was changed was found where it was."""
    once = count_spans(results) == count_spans(calls)
    by_span = {result["span_id"]: result for result in results}
    by_answer = {call["output_data"]: call["span_id"] for call in calls}
    found = [one for one in wrong if is_found(one, by_span.get(by_answer.get(one.answer)))]
    return [
        (f"{len(results)} judgements for {len(calls)} calls, one each", once),
        (
            f"{len(found)} of {len(wrong)} answers that were changed failed, marked at the change",
            len(found) == len(wrong),
        ),
    ]


def is_found(wrong: WrongAnswer, result: Mapping[str, Any] | None) -> bool:
    """Whether an answer failed, and evidence for that covers what was changed in it."""
    evidence = [item for one in (result or {}).get("evaluations", ()) for item in one["evidence"]]
    return (result or {}).get("passed") is False and any(
        item["start"] < wrong.end and wrong.start < item["end"] for item in evidence
    )


def count_spans(lines: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """Count how many lines there are about each span."""
    return Counter(line["span_id"] for line in lines)


def demonstrate(build: Path) -> bool:
    """Run every step, the records going to `build`; tell whether they are what they should be."""
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir(parents=True)
    records = build / "production.jsonl"
    print(HEADER)
    wrong = read_wrong_answers(WRONG_ANSWERS, ANSWERS)
    script = make_script(read_answers(ANSWERS, wrong))
    with FakeProvider(script, deployments=DEPLOYMENTS) as provider:
        environment = make_environment(provider, os.environ, records)
        command = [find_program("opentelemetry-instrument"), sys.executable, str(HERE / "app.py")]
        run_step("the application (app.py)", command, environment)
    print(f"\n$ cert costs {os.path.relpath(records)}")
    run_step("cert costs", [find_program("cert"), "costs", str(records)], environment)
    print(f"\n$ cert score {os.path.relpath(records)} --model {SCORER}")
    score = [find_program("cert"), "score", os.path.relpath(records), "--model", SCORER]
    run_step("cert score", score, environment)
    print(f"\n$ cert evaluate {os.path.relpath(records)}")
    evaluate = [find_program("cert"), "evaluate", os.path.relpath(records)]
    run_step("cert evaluate", evaluate, environment)
    print("\nChecked:")
    found = check(read_records(records), read_records(get_scores_path(records)), wrong)
    for text, holds in found:
        print(f"  {'ok    ' if holds else 'FAILED'} {text}")
    return all(holds for _, holds in found)


def main(build: Path = BUILD) -> int:
    """Run the demonstration; 0 when everything held."""
    try:
        return 0 if demonstrate(build) else 1
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
