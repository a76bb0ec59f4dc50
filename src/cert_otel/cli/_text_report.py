"""What `cert score --completion` says of one text: its figures, and each token by its heat."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from rich.text import Text

from cert_otel.cli._output import open_console, print_json
from cert_otel.scoring.defaults import REFERENCE_NOTE, is_reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cert_otel.scoring.answers import Measured
    from cert_otel.scoring.models import LoadedModel
    from cert_otel.scoring.token_scores import TokenScores


class Heat(NamedTuple):
    """How likely a token was, and how that is shown."""

    above_p: float
    """The model gave it more than this."""
    style: str
    marks: tuple[str, str]
    """Around a token where there are no colours."""
    label: str


HEATS: Final = (
    Heat(0.5, "", ("", ""), "p > 50%"),
    Heat(0.1, "black on bright_yellow", ("", ""), "p > 10%"),
    Heat(0.01, "black on dark_orange", ("[", "]"), "p > 1%"),
    Heat(0.0, "white on red3", ("[[", "]]"), "less"),
)
"""From cool to hot; the border at 10 % is that of `surprise_rate`."""

_SHOWN: Final = (
    ("perplexity", ",.3f", "exp of the mean surprise; 1 is certain"),
    ("entropy_mean", ".3f", "nats; how open the choice was"),
    ("entropy_max", ".3f", "nats"),
    ("gap_mean", ".3f", "between the two likeliest tokens"),
    ("surprise_rate", ".1%", "tokens with p < 10%"),
    ("context_gain", ".3f", "nats a token that the context made the text likelier"),
    ("energy_mean", ".3f", "of the reasoning steps"),
    ("energy_max", ".3f", ""),
    ("steps", ",", ""),
    ("tokens", ",", ""),
)


def print_report(completion: str, measured: Measured, model: LoadedModel, *, as_json: bool) -> None:
    """Print the figures, and the tokens: as a strip, or as JSON."""
    figures = describe(completion, measured, model)
    if as_json:
        print_json(figures)
        return
    with open_console() as console:
        for line in _list_lines(figures):
            console.print(line, soft_wrap=True)
        strip = make_strip(completion, measured, coloured=console.color_system is not None)
        if strip is not None:
            console.print()
            console.print(strip, soft_wrap=True)


def describe(completion: str, measured: Measured, model: LoadedModel) -> dict[str, Any]:
    """Return everything as JSON has it."""
    result, phase = measured.result, measured.phase
    return {
        "status": result.status,
        "reason": result.reason,
        **({} if result.score is None else msgspec.structs.asdict(result.score)),
        **({"steps": None} if phase is None else msgspec.structs.asdict(phase)),
        "flags": [] if measured.votes is None else measured.votes.flags,
        "abstained": [] if measured.votes is None else measured.votes.abstained,
        "model": model.name,
        "revision": model.revision,
        "is_reference": is_reference(model.name),
        "device": str(model.device),
        "dtype": model.dtype,
        "form": result.form,
        "form_reason": result.form_reason,
        "cut_tokens": result.cut_tokens,
        "token_scores": list(_list_tokens(completion, measured)),
    }


def _list_tokens(completion: str, measured: Measured) -> Iterator[dict[str, Any]]:
    scores = measured.result.tokens
    if scores is None:
        return
    texts = split_tokens(completion, measured.result.offsets)
    for at in range(len(scores)):
        yield {
            "text": texts[at] if texts else None,
            "nll": float(scores.nll[at]),
            "entropy": float(scores.entropy[at]),
            "gap": float(scores.prob_gap[at]),
            "rank": int(scores.rank[at]),
        }


def split_tokens(completion: str, offsets: Sequence[tuple[int, int]]) -> list[str]:
    """Return what each token shows of the text; together they are all that was scored.

    A character of several tokens is shown by the first.
    """
    texts = []
    shown = min((start for start, _ in offsets), default=0)
    for _, end in offsets:
        texts.append(completion[shown:end])
        shown = max(shown, end)
    return texts


def find_heat(nll: float) -> Heat:
    """Return the heat of a token."""
    return next((heat for heat in HEATS if math.exp(-nll) > heat.above_p), HEATS[-1])


def make_strip(completion: str, measured: Measured, *, coloured: bool) -> Text | None:
    """Return the text with each token in the colour of its nll, and a legend.

    Without colours, what surprises stands in brackets. `None` where it is not known which
    characters a token covers.
    """
    scores: TokenScores | None = measured.result.tokens
    if scores is None or not measured.result.offsets:
        return None
    strip = Text()
    texts = split_tokens(completion, measured.result.offsets)
    for text, nll in zip(texts, map(float, scores.nll), strict=True):
        _append(strip, text, find_heat(nll), coloured=coloured)
    strip.append("\n\n")
    for heat in HEATS:
        _append(strip, heat.label, heat, coloured=coloured)
        strip.append("  ")
    return strip


def _append(strip: Text, text: str, heat: Heat, *, coloured: bool) -> None:
    if coloured:
        strip.append(text, heat.style)
    else:
        before, after = heat.marks if text else ("", "")
        strip.append(f"{before}{text}{after}")


def _list_lines(figures: dict[str, Any]) -> Iterator[Text]:
    if figures["status"] != "scored":
        yield Text(f"{figures['status']}: {figures['reason']}")
    for name, form, meaning in _SHOWN:
        if figures.get(name) is not None:
            yield Text(f"{name:14}{format(figures[name], form):>10}  {meaning}".rstrip())
    if figures["flags"]:
        yield Text(f"flags         {', '.join(figures['flags'])}")
    note = f", a {REFERENCE_NOTE}" if figures["is_reference"] else ""
    shown = (
        f"{figures['model']} {figures['revision'][:19]}, {figures['dtype']} on {figures['device']}"
    )
    yield Text(f"model         {shown}{note}")
    if figures["form_reason"]:
        yield Text(f"prompt        joined as it is: {figures['form_reason']}")
