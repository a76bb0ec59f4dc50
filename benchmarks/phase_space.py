"""Measure what phase-space energies tell about labelled reasoning chains.

Two data sets: eOBQA, two-fact chains that annotators found valid or not (in tests/data), and,
where its folder is given, BIG-Bench-Mistake: chains of a language model by step, with the index
of the first mistake (https://github.com/WHGTyen/BIG-Bench-Mistake, Apache-2.0). Each figure is an
AUC: the probability that a good chain has the higher value, 0.5 being chance.

Example:
    python benchmarks/phase_space.py --mistakes BIG-Bench-Mistake --format json
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from cert_otel.scoring.embedding import SentenceEmbedder, embed_groups
from cert_otel.scoring.phase_space import measure_energies, measure_trajectory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from cert_otel.scoring.embedding import Embedder

    Vectors = npt.NDArray[np.float32]

EOBQA: Final = Path(__file__).parents[1] / "tests" / "data" / "eobqa" / "obqa_chains.tsv"


class Chain(NamedTuple):
    """A question, the steps that were taken, and whether annotators found them good."""

    question: str
    steps: Sequence[str]
    good: bool


def read_eobqa(path: Path) -> list[Chain]:
    """Read two-fact chains; the question is question and answer, as in the paper."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Chain(
                f"{row['Question']} {row['Answer']}",
                (row["Fact1"], row["Fact2"]),
                "yes" in row["Turk"],
            )
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]


def read_mistakes(path: Path) -> list[Chain]:
    """Read one task of BIG-Bench-Mistake; a chain without a mistake is good."""
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [Chain(row["input"], row["steps"], row["mistake_index"] is None) for row in rows]


def embed_chains(chains: Sequence[Chain], embedder: Embedder) -> list[tuple[Vectors, Vectors]]:
    """Embed each question and its steps, all in one call."""
    groups = embed_groups([(chain.question, *chain.steps) for chain in chains], embedder)
    return [(group.vectors[0], group.vectors[1:]) for group in groups]


def measure_auc(values: Sequence[float], good: Sequence[bool]) -> float:
    """Return the probability that a good chain has the higher value."""
    numbers, labels = np.asarray(values), np.asarray(good)
    higher, lower = numbers[labels], np.sort(numbers[~labels])
    below = np.searchsorted(lower, higher, "left") + np.searchsorted(lower, higher, "right")
    return float(below.mean() / 2 / len(lower))


def replicate_eobqa(chains: Sequence[Chain], embedder: Embedder) -> dict[str, float]:
    """Measure the paper's figures: T between the facts, S their mean cosine with the question."""
    columns: dict[str, list[float]] = {"T": [], "S": [], "H = T - S": [], "energy_mean": []}
    for question, facts in embed_chains(chains, embedder):
        energies = measure_energies(question, facts)
        kinetic, relevance = float(energies.kinetic[1]), float(-energies.potential.mean())
        for name, value in zip(
            columns,
            (kinetic, relevance, kinetic - relevance, float(energies.energy.mean())),
            strict=True,
        ):
            columns[name].append(value)
    good = [chain.good for chain in chains]
    return {name: measure_auc(values, good) for name, values in columns.items()}


def measure_mistakes(chains: Sequence[Chain], embedder: Embedder) -> dict[str, float]:
    """Measure energies, relevance and the number of steps against "no mistake"."""
    found = [measure_trajectory(*embedded) for embedded in embed_chains(chains, embedder)]
    good = [chain.good for chain in chains]
    columns: Mapping[str, list[float]] = {
        "energy_mean": [one.energy_mean or 0.0 for one in found],
        "S": [-(one.potential_mean or 0.0) for one in found],
        "steps": [float(one.steps) for one in found],
    }
    return {name: measure_auc(values, good) for name, values in columns.items()}


def count(chains: Sequence[Chain]) -> dict[str, int]:
    """Count chains and good ones."""
    return {"chains": len(chains), "good": sum(chain.good for chain in chains)}


def find_half_width(auc: float, *, good: int, bad: int) -> float:
    """Return half of the 95 % interval of an AUC (Hanley and McNeil 1982)."""
    both_higher, both_lower = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    variance = (
        auc * (1 - auc)
        + (good - 1) * (both_higher - auc * auc)
        + (bad - 1) * (both_lower - auc * auc)
    ) / (good * bad)
    return 1.96 * math.sqrt(variance)


def print_text(report: Mapping[str, Mapping[str, Any]]) -> None:
    """Print one line for each data set, each AUC with half of its 95 % interval."""
    for name, figures in report.items():
        good, bad = figures["good"], figures["chains"] - figures["good"]
        shown = (
            f"{key} {value:.3f} ± {find_half_width(value, good=good, bad=bad):.3f}"
            if isinstance(value, float)
            else f"{key} {value}"
            for key, value in figures.items()
        )
        print(f"{name}: {', '.join(shown)}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--eobqa", type=Path, default=EOBQA, help="the chains' TSV file")
    parser.add_argument("--mistakes", type=Path, help="folder of BIG-Bench-Mistake's JSONL files")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    arguments = parser.parse_args()
    embedder = SentenceEmbedder()
    chains = read_eobqa(arguments.eobqa)
    report = {"eobqa": {**count(chains), **replicate_eobqa(chains, embedder)}}
    for path in sorted(arguments.mistakes.glob("*.jsonl")) if arguments.mistakes else ():
        chains = read_mistakes(path)
        report[path.stem] = {**count(chains), **measure_mistakes(chains, embedder)}
    if arguments.format == "json":
        print(json.dumps(report, indent=2))
    else:
        print_text(report)


if __name__ == "__main__":
    main()
