"""What `cert evaluate` says of a journal: how many passed, which failed, and why."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from cert_otel.cli._backlog import NO_IDS, Limits
from cert_otel.cli._output import open_console, print_json
from cert_otel.evaluation.contexts import get_key
from cert_otel.evaluation.summary import Summary, make_result
from cert_otel.records import EvaluationRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import Console

    from cert_otel.cli._backlog import Backlog
    from cert_otel.cli._events import Events
    from cert_otel.cli._run import Run
    from cert_otel.evaluation.evaluator import Evaluator
    from cert_otel.evaluation.summary import Result
    from cert_otel.records import Record

MAX_SHOWN: Final = 10
"""Failed answers of which the text is shown; all are in the JSON."""
MAX_WHY: Final = 6
"""Findings of each kind that are named below an answer; all are marked in it."""
MAX_CHARS: Final = 600
"""Of one answer."""
MAX_QUOTE: Final = 60
"""Characters of a finding, which may be a whole sentence."""
_LEAST_WIDTH: Final = 20
_LEAD_CHARS: Final = 100
"""Before the first mark of an answer that is cut."""
_MARKS: Final = {
    "missing": ("black on bright_yellow", "[", "]"),
    "contradicted": ("white on red3", "[[", "]]"),
}
"""Style in a terminal, and brackets where there are no colours."""
_LEGEND: Final = {"missing": "not in the context", "contradicted": "the context says otherwise"}


class Report(Summary):
    """Everything that `cert evaluate` prints; only JSON types."""

    coverage: float
    """Share of the answers that have a confidence, in [0, 1]."""
    passed_over: int
    """Answers that an earlier run was done with."""
    emitted: int | None
    """Events that were delivered; `None` without `--emit`."""
    scores: list[str]
    """Files of results."""
    output: str | None


def summarise(run: Run, evaluator: Evaluator, output: Path | None, events: Events | None) -> Report:
    """Count what became of every answer."""
    summary = evaluator.summarise([_find_result(run, call) for call in run.backlog.calls])
    return Report(
        **summary,
        coverage=summary["evaluated"] / summary["total_traces"],
        passed_over=run.passed_over,
        emitted=None if events is None else events.sent,
        scores=[str(path) for path in run.backlog.find_scores()],
        output=None if output is None else str(output),
    )


def print_report(report: Report, backlog: Backlog, *, as_json: bool) -> None:
    """Print it as a table, or as JSON; the texts of failed answers are read once more."""
    if as_json:
        print_json(report)
        return
    failed = sorted(
        (one for one in report["results"] if one["passed"] is False),
        # First what the context contradicts: there, somebody is wrong.
        key=lambda one: (not _find(one, "contradicted"), one["confidence"], one["timestamp"]),
    )
    texts = _read_texts(backlog, failed[:MAX_SHOWN])
    with open_console() as console:
        for line in _describe_rate(report):
            console.print(Text(line), soft_wrap=True)
        if failed:
            _print_failed(console, failed, texts)
        console.print()
        for line in _describe_run(report):
            console.print(Text(line), soft_wrap=True)


def mark(answer: str, evidence: Sequence[dict[str, Any]], *, coloured: bool) -> Text:
    """Return an answer in which what is not borne out is marked, cut to where the first mark is."""
    findings: list[str | None] = [None] * len(answer)
    for item in sorted(evidence, key=lambda one: one["finding"] == "contradicted"):
        for at in range(item["start"], min(item["end"], len(answer))):
            findings[at] = item["finding"]
    start, end = _find_part(answer, evidence)
    text = Text("… " if start else "")
    for finding, run in groupby(range(start, end), key=lambda at: findings[at]):
        places = list(run)
        _append(text, answer[places[0] : places[-1] + 1], finding, coloured=coloured)
    return text.append(" …") if end < len(answer) else text


def _find_result(run: Run, call: Record) -> Result:
    key = get_key(call)
    found = run.results.get(key) if key is not None else None
    unreferable = EvaluationRecord(
        timestamp=call.timestamp,
        trace_id=call.trace_id or "",
        span_id=call.span_id or "",
        scorer=run.name,
        score_status="skipped",
        score_reason=NO_IDS,
    )
    return make_result(found or unreferable, began=call.timestamp)


def _read_texts(backlog: Backlog, failed: Sequence[Result]) -> dict[tuple[str, str], Record]:
    keys = [(one["trace_id"] or "", one["span_id"] or "") for one in failed]
    batches = backlog.read_batches(keys, Limits(records=MAX_SHOWN, tokens=1_000_000))
    records = (place.record for batch in batches for place in batch)
    return {(one.trace_id or "", one.span_id or ""): one for one in records}


def _describe_rate(report: Report) -> Iterator[str]:
    at = f"confidence {report['threshold']:.2f}, preset {report['preset']}"
    rate = report["pass_rate"]
    if rate is None:
        yield f"passed   unknown: no answer could be judged (at {at})"
        return
    low, high = report["pass_rate_low"] or 0, report["pass_rate_high"] or 0
    yield (
        f"passed   {report['passed']:,} of {report['evaluated']:,} answers, {rate:.1%} "
        f"(95% interval {low:.1%} to {high:.1%}), at {at}"
    )
    yield f"mean     confidence {report['mean_confidence']:.2f}"


def _print_failed(
    console: Console, failed: Sequence[Result], texts: dict[tuple[str, str], Record]
) -> None:
    coloured = console.color_system is not None
    for one in failed[:MAX_SHOWN]:
        record = texts.get((one["trace_id"] or "", one["span_id"] or ""))
        name = (record and (record.model or record.function)) or "unknown"
        console.print()
        console.print(
            Text(f"{one['confidence']:.2f}  {name}  {one['timestamp'][:19]}  {one['trace_id']}"),
            soft_wrap=True,
        )
        if record and record.input_data:
            _print_hanging(console, "  asked     ", Text(_cut(record.input_data)))
        if record and (answer := record.output_data):
            marked = mark(_flatten(answer), one["evidence"], coloured=coloured)
            _print_hanging(console, "  answered  ", marked)
            _print_hanging(console, "  why       ", Text(_explain(answer, one)))
    if len(failed) > MAX_SHOWN:
        console.print(Text(f"\n{len(failed) - MAX_SHOWN:,} more failed; --format json has all"))
    legend = Text("\n")
    for finding in ("missing", "contradicted"):
        _append(legend, _LEGEND[finding], finding, coloured=coloured)
        legend.append("  ")
    console.print(legend)


def _print_hanging(console: Console, label: str, text: Text) -> None:
    """Print a text beside its label, its further lines below each other."""
    width = max(console.width - len(label), _LEAST_WIDTH)
    for at, line in enumerate(text.wrap(console, width)):
        line.rstrip()
        start = label if at == 0 else " " * len(label)
        console.print(Text(start).append_text(line), soft_wrap=True)


def _explain(answer: str, result: Result) -> str:
    """Say which stretches are not borne out; without any, which evaluator found it low."""
    parts = []
    for finding in ("contradicted", "missing"):
        found = _find(result, finding)
        quotes = [_quote(answer, item) for item in found[:MAX_WHY]]
        more = len(found) - len(quotes)
        named = ", ".join([*quotes, *([f"{more} more"] if more else [])])
        parts += [f"{_LEGEND[finding]}: {named}"] if named else []
    return "; ".join(parts) or _list_scores(result)


def _list_scores(result: Result) -> str:
    scores = ((one["score"], one["name"]) for one in result["evaluations"])
    known = sorted((score, name) for score, name in scores if score is not None)
    return ", ".join(f"{name} {score:.2f}" for score, name in known)


def _find(result: Result, finding: str) -> list[dict[str, Any]]:
    return [item for item in result["evidence"] if item["finding"] == finding]


def _quote(answer: str, item: dict[str, Any]) -> str:
    part = _flatten(answer[item["start"] : item["end"]])
    quoted = f'"{part}"' if len(part) <= MAX_QUOTE else f'"{part[:MAX_QUOTE]} …"'
    return quoted if item["kind"] == "term" else f"{quoted} ({item['kind']})"


def _describe_run(report: Report) -> Iterator[str]:
    sources = sorted({name for one in report["results"] for name in one["context_sources"]})
    if sources:
        counted = (
            (name, sum(name in one["context_sources"] for one in report["results"]))
            for name in sources
        )
        yield f"context  {', '.join(f'{name} ({count:,})' for name, count in counted)}"
    yield f"by       {report['scorer']}; {report['scorer_revision']}"
    yield f"results  {', '.join(report['scores'])}"
    if report["output"] is not None:
        yield f"merged   {report['output']}"
    if report["emitted"] is not None:
        yield f"emitted  {report['emitted']:,} events"
    done = f"{report['evaluated']:,} of {report['total_traces']:,} answers evaluated"
    parts = [f"{done} ({report['coverage']:.1%})"]
    for name, counts in (("skipped", report["skip_reasons"]), ("failed", report["error_types"])):
        if counts:
            reasons = ", ".join(f"{reason} ({count:,})" for reason, count in counts.items())
            parts.append(f"{sum(counts.values()):,} {name}: {reasons}")
    if report["passed_over"]:
        parts.append(f"{report['passed_over']:,} were done before")
    yield f"coverage {'; '.join(parts)}"


def _find_part(answer: str, evidence: Sequence[dict[str, Any]]) -> tuple[int, int]:
    if len(answer) <= MAX_CHARS:
        return 0, len(answer)
    first = min((item["start"] for item in evidence), default=0)
    start = max(0, min(first - _LEAD_CHARS, len(answer) - MAX_CHARS))
    return start, start + MAX_CHARS


def _append(text: Text, part: str, finding: str | None, *, coloured: bool) -> None:
    if finding is None:
        text.append(part)
        return
    style, before, after = _MARKS[finding]
    if coloured:
        text.append(part, style)
    else:
        text.append(f"{before}{part}{after}")


def _flatten(text: str) -> str:
    """Put a text on one line, without what commands a terminal; each character keeps its place."""
    return "".join(one if one.isprintable() else " " for one in text)


def _cut(text: str) -> str:
    flat = _flatten(text)
    return flat if len(flat) <= MAX_CHARS else f"{flat[:MAX_CHARS]} …"
