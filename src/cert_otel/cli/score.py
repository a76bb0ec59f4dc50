"""`cert score`: how surprising a language model finds the answers of a journal, or one text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Parameter

from cert_otel.cli import _models
from cert_otel.cli._backlog import Backlog, alone
from cert_otel.cli._files import check_new, create
from cert_otel.cli._output import Format  # noqa: TC001 - cyclopts resolves the annotations
from cert_otel.cli._run import refuse_nothing
from cert_otel.cli._settings import get_valid_config
from cert_otel.config import QuantizationName  # noqa: TC001 - likewise
from cert_otel.errors import ConfigError
from cert_otel.records import find_skip_reason
from cert_otel.scoring.choice import MINILM, open_model

if TYPE_CHECKING:
    from cert_otel.scoring.choice import Choice
    from cert_otel.scoring.prompts import Sample, Template

EXIT_ATTENTION: Final = 1
"""Done, and some calls ended in an error."""
EXIT_INTERRUPTED: Final = 130


def score(
    file: Path | None = None,
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    prompt: str | None = None,
    completion: str | None = None,
    context: str | None = None,
    model: str | None = None,
    device: str | None = None,
    quantization: QuantizationName | None = None,
    embedder: str = MINILM,
    template: Literal["auto", "none"] = "auto",
    format: Format = "table",  # noqa: A002 - the option's name
) -> int:
    """Score answers with a language model: perplexity, entropy, surprises, energy.

    Of a journal every answer, with the results in FILE.scores.jsonl beside it; or one completion.
    What is scored already is passed over: a run that was stopped goes on where it was.

    Example: cert score production.jsonl

    Args:
        file: A journal, or a directory of them; CERT_OTEL_JSONL or production.jsonl if left out.
        output: A new file for the records with their results in them.
        prompt: What came before --completion.
        completion: One text to score, without a journal.
        context: The part of --prompt that is left out in a second reading, for context_gain.
        model: Name on the hub, folder, or cert-otel-reference; `cert models` lists what is here.
        device: auto, cuda, cuda:N, mps or cpu.
        quantization: Weights of 8bit or 4bit, for a model that does not fit otherwise; or none.
        embedder: What embeds reasoning steps: minilm; hidden, the scoring model's own states; or a
            model of sentence-transformers, by its name or folder.
        template: The model's chat template, or prompt and completion joined as they are.
        format: A table, or JSON for machines.
    """
    settings = get_valid_config()
    chosen = _models.choose(
        settings, model=model, device=device, quantization=quantization, embedder=embedder
    )
    if context is not None and context not in (prompt or ""):
        raise ConfigError("--context", "is no part of --prompt; give the same words in both")
    if prompt is None and completion is None:
        path = file or Path(settings.jsonl)
        return _score_journal(
            path, output, choice=chosen, template=template, as_json=format == "json"
        )
    if completion is None:
        raise ConfigError("--completion", "is missing; it is what is scored, --prompt only read")
    if file is not None or output is not None:
        raise ConfigError("--completion", "is one text: leave FILE and -o out, or it")
    from cert_otel.scoring.prompts import Sample  # noqa: PLC0415 - needs the [score] extra

    sample = Sample(prompt=prompt, completion=completion, template=template, context=context)
    return _score_text(sample, choice=chosen, as_json=format == "json")


def _score_text(sample: Sample, *, choice: Choice, as_json: bool) -> int:
    from cert_otel.cli import _text_report  # noqa: PLC0415 - needs the [score] extra
    from cert_otel.scoring.answers import Answer  # noqa: PLC0415 - likewise

    loaded = open_model(choice)
    scorer = _models.open_scorer(loaded, choice)
    (outcome,) = scorer.measure([Answer(sample, sample.prompt)])
    if isinstance(outcome, Exception):
        raise outcome
    _text_report.print_report(sample.completion, outcome, loaded, as_json=as_json)
    return EXIT_ATTENTION if outcome.result.status == "error" else 0


def _score_journal(
    path: Path, output: Path | None, *, choice: Choice, template: Template, as_json: bool
) -> int:
    from cert_otel.cli import _journal_report  # noqa: PLC0415 - needs the [score] extra
    from cert_otel.cli._scoring import score_backlog  # noqa: PLC0415 - likewise

    if output is not None:
        check_new(output)
    with alone(path):
        backlog = Backlog([path], find_skip_reason)
        refuse_nothing(path, backlog, done="scored")
        loaded = open_model(choice)
        try:
            run = score_backlog(backlog, loaded, template, choice)
        except KeyboardInterrupt:
            sys.stderr.write("cert: stopped; what was scored is kept, the next run goes on\n")
            return EXIT_INTERRUPTED
        if output is not None:
            with create(output) as merged:
                backlog.write_merged(merged, run.results.values())
    coverage = _journal_report.summarise(run, output)
    _journal_report.print_summary(coverage, as_json=as_json)
    return EXIT_ATTENTION if coverage.errors else 0
