"""Measure `confidence` on labelled answers: how well it tells, beside CERT, and how fast.

    python benchmarks/evaluation.py --data FOLDER [--embedder] [--part auc|ablation|speed|all]

One scorer, no neural model. *Left out*: weights and calibration never saw any set of the family;
*in family*: they saw other documents of it. Beside it CERT's mean of MiniLM's cosine and substring
grounding (its arguments in the right order), ours with 0 for rows that it skips, the length of the answer alone, and, with
`--embedder`, our score with that cosine as one more share. Cosines are kept in
build/evaluation/cosines.json: the first run takes minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one core, before numpy and torch are loaded
ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402 - after the path
from models.evaluation import fitting, measuring  # noqa: E402
from models.evaluation.datasets import Row, load_sets  # noqa: E402

from cert_otel.evaluation.cert_mean import measure_substrings  # noqa: E402
from cert_otel.evaluation.combiners import CalibratedCombiner  # noqa: E402
from cert_otel.evaluation.grounding import GroundingEvaluator  # noqa: E402
from cert_otel.evaluation.statistics import measure_auc  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from models.evaluation.fitting import Measured, Sets
    from models.evaluation.measuring import Scores

    from cert_otel.evaluation.confidence import Confidence
    from cert_otel.evaluation.sample import Sample
    from cert_otel.scoring.embedding import Embedder

    Table = dict[str, dict[str, Any]]

COSINES: Final = ROOT / "build" / "evaluation" / "cosines.json"
TARGETS: Final[Mapping[str, float]] = {
    "halueval_short": 0.80,
    "squad_other_article": 0.98,
    "squad_same_paragraph": 0.78,
    "squad_plausible": 0.53,
    "summedits": 0.50,
    "begin": 0.92,
}
SLACK: Final = 0.005
"""On no set below CERT's AUC less this."""
ROUNDS: Final = 100
TRACES: Final = 240
"""Timed, the same number of each set."""
BATCH: Final = 64
COMBINER: Final = CalibratedCombiner()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the public files")
    parser.add_argument("--part", choices=("auc", "ablation", "speed", "all"), default="all")
    parser.add_argument("--embedder", action="store_true", help="measure ours with MiniLM as well")
    parser.add_argument("--rows", type=int, default=2000, help="of each set, at most")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    arguments = parser.parse_args()
    rows = load_sets(arguments.data, rows=arguments.rows)
    report: dict[str, Any] = {}
    if arguments.part in ("auc", "all"):
        report["auc"] = compare(rows, with_embedder=arguments.embedder)
    if arguments.part in ("ablation", "all"):
        report["ablation"] = ablate({name: fitting.measure_rows(one) for name, one in rows.items()})
    if arguments.part in ("speed", "all"):
        report["speed"] = measure_speed(rows)
    print(json.dumps(report, indent=2) if arguments.format == "json" else format_text(report))


def compare(rows: Mapping[str, Sequence[Row]], *, with_embedder: bool) -> Table:
    """Measure ours, CERT's and length alone on every set."""
    sets = {name: fitting.measure_rows(one) for name, one in rows.items()}
    cosines = find_cosines(rows)
    fit_on = partial(fitting.fit, commit="", rounds=ROUNDS)
    left_out = leave_out(sets, fit_on)
    crossed = measuring.cross_validate(sets, fit_on)
    table: Table = {}
    for name, one in sets.items():
        table[name] = {
            "rows": len(one.rows),
            "skipped": sum(score is None for score in left_out[name]),
            "left_out": describe(one, left_out[name]),
            "skipped_as_0": describe(one, [score or 0.0 for score in left_out[name]]),
            "in_family": describe(one, measuring.take_values(crossed[name])),
            "cert": describe(one, mean_of_cert(one.rows, cosines)),
            "length": describe(one, [1 / (1 + len(row.answer)) for row in one.rows]),
        }
    if with_embedder:
        for name, scores in leave_out_with_cosine(sets, cosines).items():
            table[name]["with_embedder"] = describe(sets[name], scores)
    return table


def leave_out(sets: Sets, fit_on: measuring.Fit) -> dict[str, Scores]:
    """Return confidences whose weights never saw the family."""
    return {
        name: measuring.take_values(measuring.predict(sets[name], weights))
        for name, weights in measuring.leave_families_out(sets, fit_on).items()
    }


def leave_out_with_cosine(sets: Sets, cosines: Mapping[str, float]) -> dict[str, Scores]:
    """The same, with MiniLM's cosine as one more share."""
    before, richer = fitting.SHARES, {name: add_cosine(one, cosines) for name, one in sets.items()}
    try:
        fitting.SHARES = (*before, "cosine")
        return leave_out(richer, partial(fitting.fit, commit="", rounds=ROUNDS))
    finally:
        fitting.SHARES = before


def add_cosine(one: Measured, cosines: Mapping[str, float]) -> Measured:
    """Add a figure to those of each row."""
    figures = [
        {**found, "cosine": max(0.0, cosines[key_of(row)])}
        for row, found in zip(one.rows, one.figures, strict=True)
    ]
    return fitting.Measured(one.rows, figures, one.types, one.findings, one.labels)


def mean_of_cert(rows: Sequence[Row], cosines: Mapping[str, float]) -> Scores:
    """Return CERT's mean, moved from [-0.5, 1] to [0, 1], which changes no order."""
    return [
        ((cosines[key_of(row)] + measure_substrings(row.answer, row.context)) / 2 + 0.5) / 1.5
        for row in rows
    ]


def describe(one: Measured, scores: Scores) -> dict[str, float | None]:
    """Return an AUC with its interval."""
    found = measuring.validate_set(one, scores)
    return {"auc": found.auc, "low": found.auc_low, "high": found.auc_high}


def ablate(sets: Sets) -> Table:
    """Measure on families left out what each figure is worth: without it, and the difference."""
    whole = aucs_of(sets)
    table: Table = {"everything": {"auc": whole}}
    shares, objections = fitting.SHARES, fitting.OBJECTIONS
    groups: Sequence[tuple[str, ...]] = [
        *[(name,) for name in (*shares, *objections) if name != "terms"],
        ("question_gap", "question_place"),
        tuple(objections),
    ]
    for gone in groups:
        try:
            fitting.SHARES = tuple(name for name in shares if name not in gone)
            fitting.OBJECTIONS = tuple(name for name in objections if name not in gone)
            label = "any objection" if len(gone) == len(objections) else " and ".join(gone)
            table[f"without {label}"] = {"auc": aucs_of(sets)}
        finally:
            fitting.SHARES, fitting.OBJECTIONS = shares, objections
    return table


def aucs_of(sets: Sets) -> dict[str, float | None]:
    """Return the AUC of each set, its family left out."""
    found = leave_out(sets, partial(fitting.fit, commit="", rounds=20))
    return {name: auc_of(one, found[name]) for name, one in sets.items()}


def auc_of(one: Measured, scores: Scores) -> float | None:
    """Return the AUC over the rows that have a score."""
    kept = [i for i, score in enumerate(scores) if score is not None]
    return measure_auc(np.array([scores[i] for i in kept], dtype=np.float64), one.labels[kept])


def key_of(row: Row) -> str:
    """Name a pair of texts."""
    return hashlib.sha256(f"{row.answer}\0{row.context}".encode()).hexdigest()


def find_cosines(rows: Mapping[str, Sequence[Row]]) -> dict[str, float]:
    """Return the cosine of answer and context of each row, from the file where it has them."""
    known: dict[str, float] = json.loads(COSINES.read_text()) if COSINES.is_file() else {}
    missing = [row for one in rows.values() for row in one if key_of(row) not in known]
    if missing:
        embedder = load_embedder()
        for start in range(0, len(missing), BATCH):
            part = missing[start : start + BATCH]
            vectors = embedder.embed([t for row in part for t in (row.answer, row.context)]).vectors
            for row, cosine in zip(part, (vectors[::2] * vectors[1::2]).sum(axis=1), strict=True):
                known[key_of(row)] = round(float(cosine), 6)
        COSINES.parent.mkdir(parents=True, exist_ok=True)
        COSINES.write_text(json.dumps(known))
    return known


def load_embedder(*, cache_size: int = 10_000) -> Embedder:
    """Load MiniLM on one thread."""
    import torch  # noqa: PLC0415 - only where it is needed

    from cert_otel.scoring.embedding import SentenceEmbedder  # noqa: PLC0415 - likewise

    torch.set_num_threads(1)
    return SentenceEmbedder(device="cpu", cache_size=cache_size, batch_size=BATCH)


def measure_speed(rows: Mapping[str, Sequence[Row]]) -> Table:
    """Time a trace from texts to confidence, ours and CERT's in turn, on one core."""
    traces = mix(rows)
    samples = [fitting.make_sample(row) for row in traces]
    evaluator = GroundingEvaluator()
    embedder = load_embedder(cache_size=1)
    for sample in samples[:20]:
        run_ours(sample, evaluator)
    evaluator = GroundingEvaluator()  # warm code and tables, no context read before
    ours: list[float] = []
    theirs: list[float] = []
    for row, sample in zip(traces, samples, strict=True):
        ours.append(time_ms(partial(run_ours, sample, evaluator)))
        theirs.append(time_ms(partial(run_cert, row, embedder)))
    again = [time_ms(partial(run_ours, sample, evaluator)) for sample in samples]
    batched = time_ms(lambda: embed_batched(traces, embedder)) / len(traces)
    return {
        "ours": summarise(ours),
        "ours, contexts read before": summarise(again),
        "cert": summarise(theirs),
        "ratio": {
            "p50": statistics.median(theirs) / statistics.median(ours),
            "mean": sum(theirs) / sum(ours),
        },
        "ours with MiniLM, batched": {
            "mean": batched + sum(ours) / len(ours),
            "of_cert": (batched + sum(ours) / len(ours)) / (sum(theirs) / len(theirs)),
        },
    }


def mix(rows: Mapping[str, Sequence[Row]]) -> list[Row]:
    """Take the first rows of each set: a context of SQuAD then comes twice, others seldom do."""
    each = TRACES // len(rows)
    return [row for one in rows.values() for row in one[:each]]


def run_ours(sample: Sample, evaluator: GroundingEvaluator) -> Confidence | None:
    """Judge one answer from its texts."""
    return COMBINER.assess(sample, evaluator.judge([sample]))


def run_cert(row: Row, embedder: Embedder) -> float:
    """Do as CERT did: two texts embedded, one by one, and the substrings."""
    answer, context = (embedder.embed([text]).vectors[0] for text in (row.answer, row.context))
    return (float(answer @ context) + measure_substrings(row.answer, row.context)) / 2


def embed_batched(rows: Sequence[Row], embedder: Embedder) -> None:
    """Embed what differs, sorted by length, in one call."""
    embedder.embed(list(dict.fromkeys(t for row in rows for t in (row.answer, row.context))))


def time_ms(work: Callable[[], object]) -> float:
    """Return the processor time of something, which others on the machine hardly change."""
    started = time.thread_time()
    work()
    return (time.thread_time() - started) * 1000


def summarise(times: Sequence[float]) -> dict[str, float]:
    """Return mean, p50 and p95 in milliseconds."""
    p50, p95 = np.percentile(times, (50, 95))
    return {"mean": sum(times) / len(times), "p50": float(p50), "p95": float(p95)}


def format_text(report: Mapping[str, Table]) -> str:
    """Format what was measured as Markdown, as docs/evaluation.md has it."""
    lines: list[str] = []
    if "auc" in report:
        lines += format_auc(report["auc"])
    if "ablation" in report:
        lines += format_ablation(report["ablation"])
    for name, figures in report.get("speed", {}).items():
        lines.append(f"{name:28}" + "  ".join(f"{k} {v:.2f}" for k, v in figures.items()))
    return "\n".join(lines)


def format_auc(table: Table) -> list[str]:
    """One line a set, and whether it is where it should be."""
    kinds = [
        kind
        for kind in ("left_out", "skipped_as_0", "in_family", "cert", "length", "with_embedder")
        if kind in next(iter(table.values()))
    ]
    lines = [f"| set | rows | {' | '.join(kinds)} | |", "|---" * (len(kinds) + 3) + "|"]
    for name, one in table.items():
        cells = [f"{one[k]['auc']:.3f} [{one[k]['low']:.3f}, {one[k]['high']:.3f}]" for k in kinds]
        least = max(TARGETS.get(name, 0.0), one["cert"]["auc"] - SLACK)
        verdict = "ok" if one["left_out"]["auc"] >= least else f"below {least:.3f}"
        lines.append(f"| {name} | {one['rows']:,} | {' | '.join(cells)} | {verdict} |")
    return [*lines, ""]


def format_ablation(table: Table) -> list[str]:
    """AUC of everything, then what is lost without each figure, in thousandths."""
    whole = table["everything"]["auc"]
    lines = [f"| | {' | '.join(whole)} |", "|---" * (len(whole) + 1) + "|"]
    lines.append(f"| everything | {' | '.join(f'{auc:.3f}' for auc in whole.values())} |")
    for label, one in table.items():
        if label != "everything":
            cells = [f"{1000 * (one['auc'][name] - auc):+.0f}" for name, auc in whole.items()]
            lines.append(f"| {label} | {' | '.join(cells)} |")
    return [*lines, ""]


if __name__ == "__main__":
    main()
