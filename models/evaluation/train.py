"""Train `confidence`: weights, calibration, their figures and their card.

    python models/evaluation/train.py --data FOLDER

writes `weights.json`, `metrics.json` and `MODEL_CARD.md` into src/cert_otel/evaluation/data. The
same folder and the same code give the same files. `--search` prints instead what each strength
of the pull towards a plain mean is worth on families that were left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Final

import msgspec

ROOT: Final = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from models.evaluation import fitting, measuring  # noqa: E402
from models.evaluation.datasets import load_sets  # noqa: E402

from cert_otel.evaluation.presets import PRESETS  # noqa: E402 - after the path

if TYPE_CHECKING:
    from models.evaluation.fitting import Measured, Sets
    from models.evaluation.measuring import Confidences

    from cert_otel.evaluation.confidence import Weights
    from cert_otel.evaluation.statistics import Validation

OUT: Final = ROOT / "src" / "cert_otel" / "evaluation" / "data"
FEATURES: Final = "src/cert_otel/evaluation/grounding"
RIDGES: Final = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0)
FAST_ROUNDS: Final = 100
"""Of the bootstrap behind curves that are only measured."""


def find_commit() -> str:
    """Return the last commit that changed how figures are computed."""
    asked = ["git", "log", "-1", "--format=%h", "--abbrev=10", "--", FEATURES]
    return subprocess.run(
        asked, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def hash_files(folder: Path) -> dict[str, str]:
    """Name the files that rows are read from, each with its SHA-256."""
    paths = [
        path
        for name in ("begin", "halueval", "squad_v2_half_dev", "summedits", "xquad_en")
        for path in sorted((folder / name).iterdir())
        if path.suffix in {".json", ".tsv"}
    ]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def measure_all(sets: Sets, *, commit: str) -> dict[str, Any]:
    """Measure how well what is fitted on some rows does on others."""
    fit_on = partial(fitting.fit, commit=commit, rounds=FAST_ROUNDS)
    crossed = measuring.cross_validate(sets, fit_on)
    return {
        name: measure_set(sets[name], measuring.predict(sets[name], weights), crossed[name])
        for name, weights in measuring.leave_families_out(sets, fit_on).items()
    }


def measure_set(one: Measured, left_out: Confidences, crossed: Confidences) -> dict[str, Any]:
    """Measure confidences that never saw the family, and those that saw other documents of it."""
    values = measuring.take_values(crossed)
    return {
        "family": one.family,
        "groups": len({row.group for row in one.rows}),
        "left_out": measure_scores(one, left_out),
        "in_family": measure_scores(one, crossed),
        "presets": {
            name: msgspec.to_builtins(measuring.measure_preset(one, values, preset))
            for name, preset in PRESETS.items()
        },
    }


def measure_scores(one: Measured, found: Confidences) -> dict[str, Any]:
    """Keep the figures that the card and the documentation have."""
    return {
        **shorten(measuring.validate_set(one, measuring.take_values(found))),
        "within_interval": measuring.measure_coverage(one, found),
    }


def shorten(found: Validation) -> dict[str, Any]:
    """Keep the figures that the card has, to four digits."""
    kept = ("n", "skipped", "positives", "auc", "auc_low", "auc_high", "ece", "ece_null_high")
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name in kept
        for value in (getattr(found, name),)
    }


def make_card(weights: Weights, metrics: dict[str, Any]) -> str:
    """Fill the card with what was measured."""
    template = Template((Path(__file__).parent / "card.md").read_text(encoding="utf-8"))
    return template.substitute(
        revision=weights.revision,
        features_commit=weights.features_commit,
        weights="\n".join(
            f"| {name} | {kind} | {value:.3f} |"
            for kind, table in (("share", weights.shares), ("objection", weights.objections))
            for name, value in table.items()
        ),
        curves="\n".join(
            f"| {kind} | {curve.rows:,} | {curve.confidences[0]:.2f} | {curve.confidences[-1]:.2f} |"
            for kind, curve in weights.curves.items()
        ),
        sets="\n".join(format_set(name, one) for name, one in metrics["sets"].items()),
        files="\n".join(
            f"| `{name}` | `{digest[:16]}` |" for name, digest in metrics["data"].items()
        ),
        ridge=f"{metrics['ridge']:g}",
        **{f"within_{kind}": count_within(metrics, kind) for kind in ("left_out", "in_family")},
    )


def count_within(metrics: dict[str, Any], kind: str) -> str:
    """Count tenths of sets that fit their interval."""
    counts = [one[kind]["within_interval"] for one in metrics["sets"].values()]
    return "{} of {}".format(*map(sum, zip(*counts, strict=True)))


def format_set(name: str, one: dict[str, Any]) -> str:
    """Format one line of the card's table."""
    columns = [
        f"{one[kind]['auc']:.3f} [{one[kind]['auc_low']:.3f}, {one[kind]['auc_high']:.3f}]"
        for kind in ("left_out", "in_family")
    ]
    whole = one["left_out"]
    return f"| {name} | {whole['n']:,} | {whole['positives']:,} | {columns[0]} | {columns[1]} |"


def search(sets: Sets) -> None:
    """Print the AUC on families left out, for each strength of the pull."""
    for ridge in RIDGES:
        fit_on = partial(fitting.fit, commit="", ridge=ridge, rounds=10)
        found = {
            name: measuring.validate_set(
                sets[name], measuring.take_values(measuring.predict(sets[name], weights))
            ).auc
            for name, weights in measuring.leave_families_out(sets, fit_on).items()
        }
        known = [auc for auc in found.values() if auc is not None]
        shown = "  ".join(f"{name} {auc:.3f}" for name, auc in found.items() if auc is not None)
        print(f"ridge {ridge:<5g} mean {sum(known) / len(known):.4f}  {shown}", flush=True)


def main() -> None:
    """Train, measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the public files")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--search", action="store_true", help="print what each ridge is worth")
    arguments = parser.parse_args()
    sets = {name: fitting.measure_rows(rows) for name, rows in load_sets(arguments.data).items()}
    if arguments.search:
        search(sets)
        return
    write(sets, arguments.out, data=hash_files(arguments.data), commit=find_commit())


def write(sets: Sets, out: Path, *, data: dict[str, str], commit: str) -> None:
    """Fit on everything, and write the three files."""
    weights = fitting.fit(sets, commit=commit)
    metrics = {
        "weights": weights.revision,
        "ridge": fitting.RIDGE,
        "data": data,
        "sets": measure_all(sets, commit=commit),
    }
    out.mkdir(parents=True, exist_ok=True)
    encoded = msgspec.json.format(msgspec.json.encode(weights), indent=1)
    (out / "weights.json").write_bytes(encoded + b"\n")
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    (out / "MODEL_CARD.md").write_text(make_card(weights, metrics), encoding="utf-8")
    print(f"{out}: weights {weights.revision}")


if __name__ == "__main__":
    main()
