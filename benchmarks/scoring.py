"""Score the same texts by transformers and by cert-otel, in turns, and compare speed and memory.

Texts are random tokens with random weights N(0, 0.02): what is computed depends on neither.
Lengths are lognormal; the last 40 % of each text are its completion. The variants:

    one by one   transformers, one text at a time, log_softmax over the whole of its logits
    padded       transformers, batches of 16 of similar length, padded, likewise
    ours         packed, head at completion positions alone, all figures
    ours by MKL  the same without oneDNN, on a CPU in float32
    ours, plain  the same without the Triton kernel, on CUDA

A ratio compares two variants of one round; its median over the rounds is printed. With
`--threads 1` times are processor time, else of the clock. A padded
batch is cut to what `--memory-gb` holds. On CUDA the useful work a second (2 operations a
weight and token, attention, head at completion positions) is compared with a matrix product of
8192 x 3584 x 18944 on the same device.

Example:
    python benchmarks/scoring.py --texts 16 --max-tokens 512 --threads 1
    python benchmarks/scoring.py --device cuda --shape 7b --dtypes bfloat16 --texts 512
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen2Config

from cert_otel.scoring import attention, folding, linear, networks, reduction
from cert_otel.scoring.networks import LoadedModel, prepare
from cert_otel.scoring.packing import Ids, Piece, plan_packs
from cert_otel.scoring.reduction import reduce_tokens
from cert_otel.scoring.scorer import CPU_BUDGET, CUDA_BUDGET

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel

    Figures = dict[int, np.ndarray[Any, Any]]
    Variant = Callable[[LoadedModel, list[Piece]], Figures]

SHAPES: Final[dict[str, dict[str, int]]] = {
    "tiny": {
        "vocab_size": 1_000,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    "0.5b": {
        "vocab_size": 151_936,
        "hidden_size": 896,
        "intermediate_size": 4_864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
    },
    "7b": {
        "vocab_size": 152_064,
        "hidden_size": 3_584,
        "intermediate_size": 18_944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
    },
}
"""Of Qwen2.5; head and embeddings are one matrix but for the largest."""
BATCH: Final = 16
COMPLETION_SHARE: Final = 0.4
SYSTEM_TOKENS: Final = 500
SPREAD: Final = 0.8
"""Standard deviation of the logarithm of a length."""


class Run(NamedTuple):
    """One variant in one round."""

    seconds: float
    peak_bytes: int
    """Most memory at once beyond what was taken before, weights among that."""
    figures: Figures


def build(shape: str, dtype: torch.dtype, device: str) -> LoadedModel:
    """Build a network of a shape with random weights."""
    sizes: dict[str, Any] = dict(SHAPES[shape])
    config = Qwen2Config(**sizes, max_position_embeddings=32_768, tie_word_embeddings=shape != "7b")
    torch.manual_seed(0)
    with torch.device(device):
        network: Any = AutoModelForCausalLM.from_config(config, dtype=dtype)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(weight.bfloat16())  # as published weights are, whatever the dtype
    tokenizer: Any = PreTrainedTokenizerFast
    return prepare(network, tokenizer, name=f"qwen2.5-{shape}")


def make_texts(count: int, median_tokens: int, max_tokens: int, *, shared: float) -> list[Piece]:
    """Make texts; of `shared` of them the first 500 tokens are the same."""
    random = np.random.default_rng(0)
    system = random.integers(0, 1_000, SYSTEM_TOKENS)
    lengths = np.exp(random.normal(np.log(median_tokens), SPREAD, count)).astype(int)
    pieces = []
    for owner, length in enumerate(lengths.clip(8, max_tokens)):
        ids: Ids = random.integers(0, 1_000, length)
        if random.random() < shared:
            ids = np.concatenate([system, ids])
        pieces.append(Piece(owner, ids, len(ids) - int(COMPLETION_SHARE * length)))
    return pieces


def score_ours(model: LoadedModel, pieces: list[Piece], *, budget: int, share: bool) -> Figures:
    """Score by packs, as the scorer does once texts are tokens."""
    figures = {}
    for pack in plan_packs(pieces, budget=budget, share=share):
        states = model.read(pack)
        targets = torch.from_numpy(pack.targets).to(states.device)
        with torch.inference_mode():
            scores = reduce_tokens(states, model.head, targets)
        begin = 0
        for piece in pack.pieces:
            figures[piece.owner] = scores.nll[begin : begin + piece.scored]
            begin += piece.scored
    return figures


def score_by_mkl(model: LoadedModel, pieces: list[Piece], *, budget: int, share: bool) -> Figures:
    """Score by packs, with the routine that torch takes by itself."""
    with (
        patch.object(networks, "is_onednn_faster", return_value=False),
        patch.object(linear, "is_onednn_faster", return_value=False),
    ):
        return score_ours(model, pieces, budget=budget, share=share)


def score_by_torch(model: LoadedModel, pieces: list[Piece], *, budget: int, share: bool) -> Figures:
    """Score by packs, without the kernel that reads a tile of logits once."""
    with patch.object(reduction, "choose_fold", return_value=folding.fold_tile):
        return score_ours(model, pieces, budget=budget, share=share)


def score_batches(
    model: LoadedModel, pieces: list[Piece], *, batch: int, memory_bytes: int
) -> Figures:
    """Score by transformers: pad, log_softmax over everything, then cut the completions out."""
    model.network.set_attn_implementation("sdpa")
    figures: Figures = {}
    rest = sorted(pieces, key=lambda piece: -len(piece.ids))
    while rest:
        row_bytes = len(rest[0].ids) * len(model.head.weight) * 4 * 2
        taken = rest[: min(batch, max(1, memory_bytes // row_bytes))]
        rest = rest[len(taken) :]
        figures.update(_score_batch(model, taken))
    model.network.set_attn_implementation(attention.NAME)
    return figures


@torch.inference_mode()
def _score_batch(model: LoadedModel, pieces: list[Piece]) -> Figures:
    ids = torch.zeros(len(pieces), max(len(piece.ids) for piece in pieces), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, piece in enumerate(pieces):
        ids[row, : len(piece.ids)] = torch.from_numpy(piece.ids)
        mask[row, : len(piece.ids)] = 1
    call: Any = model.network
    padding = {"attention_mask": mask.to(model.device)} if len(pieces) > 1 else {}
    logits = call(ids.to(model.device), use_cache=False, **padding).logits
    logprobs = logits.float().log_softmax(-1)
    figures = {}
    for row, piece in enumerate(pieces):
        rows = logprobs[row, piece.scored_from - 1 : len(piece.ids) - 1]
        targets = torch.from_numpy(piece.ids[piece.scored_from :]).to(model.device)
        entropy = -(rows.exp() * rows).sum(-1)
        nll = -rows.gather(1, targets[:, None])[:, 0]
        figures[piece.owner] = torch.stack([nll, entropy]).cpu().numpy()[0]
    return figures


def measure(variant: Variant, model: LoadedModel, pieces: list[Piece]) -> Run:
    """Time one variant, and find the most memory it took."""
    gc.collect()
    before = _reset_peak(model.device)
    # What one thread computes is not changed by who else is on the machine.
    alone = model.device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    begin = clock()
    figures = variant(model, pieces)
    seconds = clock() - begin
    return Run(seconds, _read_peak(model.device) - before, figures)


def _reset_peak(device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew
    return _read_peak(device)


def _read_peak(device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text()
    return 1_024 * next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)


def choose_variants(arguments: argparse.Namespace, dtype: torch.dtype) -> dict[str, Variant]:
    """Return the variants to measure, ours first."""
    on_cuda = arguments.device == "cuda"
    budget = arguments.budget or (CUDA_BUDGET if on_cuda else CPU_BUDGET)
    memory_bytes = int(arguments.memory_gb * 1e9)
    share = not arguments.no_sharing
    variants: dict[str, Variant] = {
        "ours": partial(score_ours, budget=budget, share=share),
        "one by one": partial(score_batches, batch=1, memory_bytes=memory_bytes),
        "padded": partial(score_batches, batch=BATCH, memory_bytes=memory_bytes),
    }
    if dtype == torch.float32 and not on_cuda and linear.is_onednn_faster():
        variants["ours by MKL"] = partial(score_by_mkl, budget=budget, share=share)
    if on_cuda:
        variants["ours, plain"] = partial(score_by_torch, budget=budget, share=share)
    return variants


def compare(arguments: argparse.Namespace, dtype_name: str, pieces: list[Piece]) -> dict[str, Any]:
    """Measure the variants of one dtype in turns."""
    dtype = getattr(torch, dtype_name)
    model = build(arguments.shape, dtype, arguments.device)
    variants = choose_variants(arguments, dtype)
    tokens = sum(len(piece.ids) for piece in pieces)
    for variant in variants.values():
        variant(model, pieces[:1])  # routines are chosen and caches filled
    rounds = [
        {name: measure(variant, model, pieces) for name, variant in variants.items()}
        for _ in range(arguments.rounds)
    ]
    report: dict[str, Any] = {"dtype": dtype_name, "variants": {}}
    for name in variants:
        runs = [each[name] for each in rounds]
        difference = _differ(runs[0].figures, rounds[0]["one by one"].figures)
        report["variants"][name] = {
            "tokens_s": round(tokens / median(run.seconds for run in runs), 1),
            "ours_times": round(
                median(each[name].seconds / each["ours"].seconds for each in rounds), 2
            ),
            "peak_mb": round(max(run.peak_bytes for run in runs) / 1e6),
            "mean_nll_difference": difference,
        }
    if arguments.device == "cuda":
        report["fold"] = reduction.choose_fold(model.device).__name__
        report["useful"] = rate(model, pieces, median(each["ours"].seconds for each in rounds))
    report["figures"] = rounds[0]["ours"].figures
    return report


def _differ(first: Figures, second: Figures) -> float:
    return float(np.mean([np.abs(first[owner] - second[owner]).mean() for owner in first]))


def count_operations(network: PreTrainedModel, pieces: list[Piece]) -> float:
    """Count what must be computed: weights, attention and head, in floating-point operations."""
    config: Any = network.config
    body = sum(w.numel() for name, w in network.named_parameters() if "embed" not in name)
    head = config.vocab_size * config.hidden_size
    if not config.tie_word_embeddings:
        body -= head
    tokens = sum(len(piece.ids) for piece in pieces)
    pairs = sum(len(piece.ids) ** 2 / 2 for piece in pieces)
    scored = sum(piece.scored for piece in pieces)
    width = config.num_hidden_layers * config.hidden_size
    return float(2 * body * tokens + 4 * width * pairs + 2 * head * scored)


def rate(model: LoadedModel, pieces: list[Piece], seconds: float) -> dict[str, float]:
    """Compare the useful operations a second with those of one large matrix product."""
    useful = count_operations(model.network, pieces) / seconds
    left = torch.randn(8_192, 3_584, device=model.device, dtype=model.head.weight.dtype) * 0.02
    right = torch.randn(3_584, 18_944, device=model.device, dtype=model.head.weight.dtype) * 0.02
    times = []
    for _ in range(30):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        left @ right
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    peak = 2.0 * 8_192 * 3_584 * 18_944 / median(times)
    return {
        "useful_tflops": round(useful / 1e12, 1),
        "product_tflops": round(peak / 1e12, 1),
        "share": round(useful / peak, 3),
    }


def print_text(reports: list[dict[str, Any]]) -> None:
    """Print the reports as tables."""
    for report in reports:
        print(
            f"\n{report['dtype']:14} {'tokens/s':>10} {'ours is':>9} {'peak MB':>9} {'|dnll|':>9}"
        )
        for name, row in report["variants"].items():
            print(
                f"{name:14} {row['tokens_s']:10} {row['ours_times']:7} x {row['peak_mb']:9} "
                f"{row['mean_nll_difference']:9.1e}"
            )
        for key in ("fold", "useful", "to_first_dtype"):
            if key in report:
                print(key, report[key])


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--shape", choices=tuple(SHAPES), default="0.5b")
    parser.add_argument("--tiny", action="store_const", const="tiny", dest="shape")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--texts", type=int, default=32)
    parser.add_argument("--median-tokens", type=int, default=250)
    parser.add_argument("--max-tokens", type=int, default=2_048)
    parser.add_argument("--shared", type=float, default=0.0, help="share with a system prompt")
    parser.add_argument("--no-sharing", action="store_true", help="read it again each time")
    parser.add_argument("--budget", type=int, help="tokens a pass of ours")
    parser.add_argument("--memory-gb", type=float, default=6.0, help="a padded batch's logits")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    arguments = parse()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    pieces = make_texts(
        arguments.texts, arguments.median_tokens, arguments.max_tokens, shared=arguments.shared
    )
    reports = [compare(arguments, dtype, pieces) for dtype in arguments.dtypes]
    first, *others = reports
    exact = first.pop("figures")
    for report in others:
        speed = report["variants"]["ours"]["tokens_s"] / first["variants"]["ours"]["tokens_s"]
        difference = _differ(report.pop("figures"), exact)
        report["to_first_dtype"] = {"times": round(speed, 2), "mean_nll_difference": difference}
    if arguments.format == "json":
        print(json.dumps(reports, indent=2))
    else:
        print_text(reports)


if __name__ == "__main__":
    main()
