"""`cert evaluate`: whether the answers of a journal are borne out by what they were given."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Parameter

from cert_otel.cli import _evaluation_report
from cert_otel.cli._backlog import alone
from cert_otel.cli._evaluating import AnswerBacklog, evaluate_backlog
from cert_otel.cli._events import open_events
from cert_otel.cli._files import check_new, create
from cert_otel.cli._output import Format  # noqa: TC001 - cyclopts resolves the annotations
from cert_otel.cli._run import refuse_nothing
from cert_otel.cli._settings import get_valid_config
from cert_otel.evaluation import Evaluator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cert_otel.cli._run import Run

CombinerName = Literal["calibrated", "cert"]
PresetName = Literal["general", "financial", "healthcare", "legal"]
EXIT_ATTENTION: Final = 1
"""Done, and some answers could not be judged because of an error."""
EXIT_INTERRUPTED: Final = 130
_WITHOUT_IDS: Final = (
    "; cert_otel.evaluation.Evaluator.evaluate_log_file judges them without writing results"
)


def evaluate(
    file: Path | None = None,
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    preset: PresetName = "general",
    threshold: float | None = None,
    evaluators: str = "grounding",
    combiner: CombinerName = "calibrated",
    emit: Annotated[bool, Parameter(negative="")] = False,
    format: Format = "table",  # noqa: A002 - the option's name
) -> int:
    """Judge whether answers are borne out by their context, and show which are not, and why.

    Every answer of a journal is judged once, with the results in FILE.scores.jsonl beside it.
    What is judged already is passed over: a run that was stopped goes on where it was.

    Example: cert evaluate production.jsonl --preset financial

    Args:
        file: A journal, or a directory of them; CERT_OTEL_JSONL or production.jsonl if left out.
        output: A new file for the records with their results in them.
        preset: Whose threshold holds, and which findings fail an answer by themselves.
        threshold: The confidence that passes, in [0, 1], instead of the preset's.
        evaluators: Names with commas between them; an unknown one lists those that there are.
        combiner: What forms the confidence of what they say; cert is the mean of cosine and
            substrings that CERT formed, which hears none of them and knows no vetoes.
        emit: Send each new evaluation over OTLP, as OTEL_EXPORTER_OTLP_ENDPOINT says.
        format: A table, or JSON for machines.
    """
    settings = get_valid_config()
    path = file or Path(settings.jsonl)
    if output is not None:
        check_new(output)
    evaluator = Evaluator(
        preset, threshold=threshold, evaluators=split_names(evaluators), combiner=combiner
    )
    events = open_events() if emit else None
    with alone(path):
        backlog = AnswerBacklog([path])
        refuse_nothing(path, backlog, done="evaluated", instead=_WITHOUT_IDS)
        try:
            run = evaluate_backlog(backlog, evaluator, events)
        except KeyboardInterrupt:
            sys.stderr.write("cert: stopped; what was judged is kept, the next run goes on\n")
            return EXIT_INTERRUPTED
        finally:
            if events is not None:
                events.close()
        _write_merged(run, output)
    report = _evaluation_report.summarise(run, evaluator, output, events)
    _evaluation_report.print_report(report, run.backlog, as_json=format == "json")
    lost = events is not None and events.lost > 0
    return EXIT_ATTENTION if report["errors"] or lost else 0


def split_names(text: str) -> Sequence[str]:
    """Return the names that commas separate."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _write_merged(run: Run, output: Path | None) -> None:
    if output is not None:
        with create(output) as merged:
            run.backlog.write_merged(merged, run.results.values())
