"""What has to hold of a run; a demonstration of which it does not has failed."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from outcome import RECORDS, list_ids

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from answers import WrongAnswer
    from outcome import Outcome, Rows

MIN_RECORDS: Final = 40
MIN_MODELS: Final = 4


def check(outcome: Outcome, wrong: Sequence[WrongAnswer] = ()) -> list[tuple[str, bool]]:
    """Say what holds of the run, and what does not."""
    return [*check_calls(outcome), *check_ways(outcome), *check_judgements(outcome.trail, wrong)]


def check_calls(outcome: Outcome) -> list[tuple[str, bool]]:
    """Say whether the application made the calls that it makes, and what they cost."""
    calls = [row for row in outcome.trail if row["kind"] == "inference"]
    errors = [row for row in calls if row["status"] == "error"]
    done = [row for row in calls if row["status"] != "error"]
    models = {row["model"] for row in done if row["model"]}
    priced = [row for row in done if row["cost"] is not None]
    same = math.isclose(sum_costs(outcome.sent), sum_costs(outcome.trail))
    return [
        (f"{len(calls)} calls, at least {MIN_RECORDS}", len(calls) >= MIN_RECORDS),
        (f"{len(errors)} failed call, exactly 1", len(errors) == 1),
        (f"{len(models)} models, at least {MIN_MODELS}", len(models) >= MIN_MODELS),
        (f"{len(priced)} of {len(done)} answered calls priced", 0 < len(priced) == len(done)),
        ("journal and trail have the same cost", same),
    ]


def sum_costs(rows: Rows) -> float:
    """Return what the calls cost."""
    return math.fsum(row["cost"] or 0 for row in rows)


def check_ways(outcome: Outcome) -> list[tuple[str, bool]]:
    """Say whether every span arrived once wherever it should."""
    sent = Counter(row["span_id"] for row in outcome.sent)
    recorded = Counter(row["span_id"] for row in outcome.trail)
    scored = {row["span_id"] for row in outcome.trail if row["score_status"] == "scored"}
    told = set(list_ids(outcome.events))
    found = [
        (f"{recorded.total()} records for {sent.total()} spans, one each", recorded == sent),
        (f"events about {len(told)} spans, the {len(scored)} that were scored", told == scored),
    ]
    if outcome.received is not None:
        received = Counter(list_ids(outcome.received))
        found.append((f"{received.total()} spans at the backend, one each", received == sent))
    if outcome.measured is not None:
        statuses = Counter(row["score_status"] for row in outcome.trail)
        same = outcome.measured[RECORDS] == dict(statuses)
        found.append(("Prometheus counts what is in the trail", same))
    return found


def check_judgements(trail: Rows, wrong: Sequence[WrongAnswer]) -> list[tuple[str, bool]]:
    """Say whether answers have their figures, and what was changed was found where it was."""
    answers = [row for row in trail if row["kind"] == "inference" and row["output_data"]]
    figures = [row["trajectory"] or {} for row in answers]
    whole = [one for one in figures if one.get("perplexity") and one.get("energy_mean") is not None]
    by_answer = {row["output_data"]: row for row in answers}
    found = [one for one in wrong if is_found(one, by_answer.get(one.answer))]
    return [
        (
            f"{len(whole)} of {len(answers)} answers with perplexity and energy",
            0 < len(answers) == len(whole),
        ),
        (
            f"{len(found)} of {len(wrong)} answers that were changed failed, marked at the change",
            len(found) == len(wrong),
        ),
    ]


def is_found(wrong: WrongAnswer, row: Mapping[str, Any] | None) -> bool:
    """Whether an answer failed, and evidence for that covers what was changed in it."""
    if row is None or row["passed"] is not False:
        return False
    evidence = [item for one in row["evaluations"] for item in one["evidence"]]
    return any(item["start"] < wrong.end and wrong.start < item["end"] for item in evidence)
