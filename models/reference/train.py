"""Train the reference model on prose under free licences.

    python models/reference/train.py --data prose.jsonl.gz --out build/reference --minutes 50

The learning rate follows the clock with `--minutes` and the step with `--steps`: the first ends
when it says, on any machine; the second gives the same model again. `--resume` goes on where the
last checkpoint stands. `export.py` makes the packaged files of what comes out.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from corpus import (
    BOS,
    BOS_ID,
    END,
    EOS,
    PAD,
    VOCABULARY,
    encode_document,
    read_documents,
    split,
    token_id,
    train_tokenizer,
    windows,
)
from scores import add, neural_bits
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from corpus import Document
    from numpy.typing import NDArray

WARM_UP = 0.03  # share of the run
SHORT_UNTIL = 0.8  # share of the run in which windows are short, and a token costs half
EVALUATE_EVERY_S = 300
CHECKPOINT_EVERY_S = 180
PROBE_DOCUMENTS = 12  # held-out documents that are scored while training goes on


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What makes a run; written beside its checkpoint, at each start."""

    minutes: float | None
    steps: int | None
    length: int = 1024
    short_length: int = 256
    batch_rows: int = 4
    micro_rows: int = 1
    learning_rate: float = 3e-3
    matrix_learning_rate: float = 6e-3
    weight_decay: float = 0.1
    layers: int = 4
    hidden: int = 256
    vocabulary: int = VOCABULARY
    seed: int = 20261125
    device: str = "cpu"

    def length_at(self, progress: float) -> int:
        """Tokens of a window: short first, then those of the model."""
        return self.short_length if progress < SHORT_UNTIL else self.length

    def progress(self, *, step: int, elapsed_s: float) -> float:
        """Share of the run that is over, in [0, 1]."""
        if self.steps is not None:
            return min(step / self.steps, 1.0)
        return min(elapsed_s / (60 * (self.minutes or 0.0) + 1e-9), 1.0)


@dataclass(slots=True)
class Run:
    """What a checkpoint holds: the model on its way."""

    model: LlamaForCausalLM
    optimizers: tuple[torch.optim.Optimizer, ...]
    step: int = 0
    elapsed_s: float = 0.0


def make_model(settings: Settings, tokenizer: Tokenizer) -> LlamaForCausalLM:
    """Decoder of a few million parameters, with shared input and output embeddings."""
    config = LlamaConfig(
        vocab_size=settings.vocabulary,
        hidden_size=settings.hidden,
        intermediate_size=settings.hidden * 11 // 4,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.hidden // 64,
        num_key_value_heads=max(settings.hidden // 128, 1),
        max_position_embeddings=settings.length,
        tie_word_embeddings=True,
        bos_token_id=token_id(tokenizer, BOS),
        eos_token_id=[token_id(tokenizer, EOS), token_id(tokenizer, END)],
        pad_token_id=token_id(tokenizer, PAD),
    )
    torch.manual_seed(settings.seed)
    model: LlamaForCausalLM = LlamaForCausalLM(config).to(torch.device(settings.device))  # type: ignore[arg-type]  # transformers' stub wraps `to` without its self
    return model


def make_optimizers(
    model: LlamaForCausalLM, settings: Settings
) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the matrices of the layers, AdamW for embeddings and norms.

    Few tokens can be paid for on a processor; Muon makes the most of each.
    """
    layers = [p for p in model.model.layers.parameters() if p.ndim > 1]
    embeddings = list(model.model.embed_tokens.parameters())
    vectors = [p for p in model.parameters() if p.ndim == 1]
    muon = torch.optim.Muon(
        layers,
        lr=settings.matrix_learning_rate,
        weight_decay=settings.weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    groups = [
        {"params": embeddings, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.95))
    for group in (*muon.param_groups, *adamw.param_groups):
        group["peak"] = group["lr"]
    return muon, adamw


def rate_factor(progress: float) -> float:
    """Share of the peak learning rate: linear warm-up, then a cosine down to zero."""
    if progress < WARM_UP:
        return max(progress / WARM_UP, 0.01)
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def mixed_precision(device: str) -> AbstractContextManager[object]:
    """Autocast to bf16 where the processor multiplies it; elsewhere it would only be slow."""
    able = torch.cpu.get_capabilities()
    has_bf16 = device != "cpu" or any(able.get(name) for name in ("avx512_bf16", "amx_bf16"))
    # Without its cache: the threads would share the cast weights and with them one graph.
    autocast = torch.autocast(device, dtype=torch.bfloat16, cache_enabled=False)
    return autocast if has_bf16 else nullcontext()


def batches(
    documents: Sequence[NDArray[np.uint16]], settings: Settings, *, first_step: int
) -> Iterator[NDArray[np.uint16]]:
    """Batches of windows without end, from a step on."""
    step = first_step
    epoch, rows = -1, np.empty((0, settings.length), dtype=np.uint16)
    per_epoch = max(sum(map(len, documents)) // settings.length // settings.batch_rows - 1, 1)
    while True:
        if step // per_epoch != epoch:
            epoch = step // per_epoch
            rows = windows(documents, length=settings.length, seed=settings.seed, epoch=epoch)
        start = step % per_epoch * settings.batch_rows
        yield rows[start : start + settings.batch_rows]
        step += 1


def loss_of(model: LlamaForCausalLM, rows: NDArray[np.uint16]) -> torch.Tensor:
    """Mean negative log-likelihood in nats a token.

    Every window begins with the beginning-of-text token: a text that starts anywhere is then
    nothing unusual, and scoring always starts so.
    """
    targets = torch.from_numpy(rows.astype(np.int64)).to(model.device)
    first = torch.full_like(targets[:, :1], BOS_ID)
    logits = model(torch.cat([first, targets[:, :-1]], dim=1), use_cache=False).logits
    return cross_entropy(logits.float().flatten(0, 1), targets.flatten())


def gradients_of(
    model: LlamaForCausalLM, rows: NDArray[np.uint16], device: str
) -> tuple[float, tuple[torch.Tensor, ...]]:
    """Loss of some rows and the gradient of every parameter, which is left as it is."""
    with mixed_precision(device):
        loss = loss_of(model, rows)
    return loss.item(), torch.autograd.grad(loss, tuple(model.parameters()))


def take_step(
    run: Run, rows: NDArray[np.uint16], settings: Settings, pool: ThreadPoolExecutor
) -> float:
    """One update from one batch; the loss in nats a token.

    Each thread takes the next micro-batch when it is free: on a machine that others use, threads
    that share every operation wait for each other all the time. The sum has one order.
    """
    parts = np.array_split(rows, max(rows.size // settings.length // settings.micro_rows, 1))
    results = list(pool.map(lambda part: gradients_of(run.model, part, settings.device), parts))
    for i, parameter in enumerate(run.model.parameters()):
        parameter.grad = torch.stack([gradients[i] for _, gradients in results]).mean(dim=0)
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
    for optimizer in run.optimizers:
        optimizer.step()
    run.step += 1
    return sum(loss for loss, _ in results) / len(results)


def save_checkpoint(run: Run, folder: Path) -> None:
    """Replace the checkpoint in one move: a run that is killed leaves the last one whole."""
    state = {
        "model": run.model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in run.optimizers],
        "step": run.step,
        "elapsed_s": run.elapsed_s,
    }
    torch.save(state, folder / "checkpoint.pt.part")
    (folder / "checkpoint.pt.part").replace(folder / "checkpoint.pt")


def load_checkpoint(run: Run, folder: Path) -> None:
    """Go on from the checkpoint of a folder."""
    state = torch.load(folder / "checkpoint.pt", map_location=run.model.device)
    run.model.load_state_dict(state["model"])
    for optimizer, saved in zip(run.optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    run.step, run.elapsed_s = state["step"], state["elapsed_s"]


def train(
    run: Run,
    stream: Iterator[NDArray[np.uint16]],
    settings: Settings,
    pool: ThreadPoolExecutor,
) -> Iterator[dict[str, float]]:
    """Train to the end of the schedule; one row of progress for each step."""
    while (progress := settings.progress(step=run.step, elapsed_s=run.elapsed_s)) < 1:
        started = time.perf_counter()
        factor = rate_factor(progress)
        for group in (group for one in run.optimizers for group in one.param_groups):
            group["lr"] = factor * group["peak"]
        rows = next(stream).reshape(-1, settings.length_at(progress))
        loss = take_step(run, rows, settings, pool)
        run.elapsed_s += (seconds := time.perf_counter() - started)
        yield {
            "step": run.step,
            "elapsed_s": round(run.elapsed_s, 1),
            "progress": round(progress, 4),
            "rate_factor": round(factor, 5),
            "loss_nats_per_token": round(loss, 4),
            "tokens_per_s": round(rows.size / seconds),
        }


def follow(
    run: Run, rows: Iterator[dict[str, float]], folder: Path, probe: Iterator[float]
) -> None:
    """Log each step, and keep checkpoints and held-out figures as time passes."""
    saved_s = probed_s = run.elapsed_s
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        for row in rows:
            if run.elapsed_s - probed_s > EVALUATE_EVERY_S:
                probed_s = run.elapsed_s
                row["held_out_bits_per_byte"] = round(next(probe), 4)
                print(json.dumps(row), flush=True)
            log.write(json.dumps(row) + "\n")
            log.flush()
            if run.elapsed_s - saved_s > CHECKPOINT_EVERY_S:
                saved_s = run.elapsed_s
                save_checkpoint(run, folder)
    save_checkpoint(run, folder)


def probe_of(
    run: Run, tokenizer: Tokenizer, documents: Sequence[Document], settings: Settings
) -> Iterator[float]:
    """Bits a byte on a few held-out documents, whenever asked."""
    while True:
        with mixed_precision(settings.device):
            yield add([neural_bits(run.model, tokenizer, one.text) for one in documents]).per_byte


def prepare_tokenizer(folder: Path, training: Sequence[Document], settings: Settings) -> Tokenizer:
    """The tokenizer of the folder, learned from the training documents where there is none."""
    path = folder / "tokenizer.json"
    if path.exists():
        return Tokenizer.from_file(str(path))
    texts = (document.text for document in training)
    tokenizer = train_tokenizer(texts, vocabulary=settings.vocabulary)
    tokenizer.save(str(path))
    return tokenizer


def current_commit() -> str:
    """The commit of the code that trains, with `-dirty` behind it where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    here = Path(__file__).parent
    done = subprocess.run(command, cwd=here, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def note_part(folder: Path, step: int, settings: Settings) -> None:
    """Write down which code goes on from this step, and with which settings."""
    part = {"from_step": step, "commit": current_commit(), "settings": asdict(settings)}
    with (folder / "parts.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(part) + "\n")


def read_arguments(arguments: Sequence[str]) -> tuple[argparse.Namespace, Settings]:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--data", type=Path, required=True, help="gzipped JSON lines: source, file, text"
    )
    parser.add_argument("--out", type=Path, default=Path("build/reference"))
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--threads", type=int, default=1, help="micro-batches at a time")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument(
        "--minutes", type=float, help="wall time of the whole run, resumed parts included"
    )
    budget.add_argument("--steps", type=int, help="updates of the whole run: the same model again")
    for name in (
        "length",
        "short_length",
        "batch_rows",
        "micro_rows",
        "layers",
        "hidden",
        "vocabulary",
        "seed",
    ):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=DEFAULTS[name])
    for name in ("learning_rate", "matrix_learning_rate", "weight_decay"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=DEFAULTS[name])
    options = parser.parse_args(arguments)
    chosen = {name: getattr(options, name) for name in DEFAULTS if hasattr(options, name)}
    return options, Settings(**chosen)


DEFAULTS = asdict(Settings(minutes=None, steps=None))


def main(arguments: Sequence[str]) -> None:
    """Train, from the command line."""
    options, settings = read_arguments(arguments)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    training, held_out = split(read_documents(options.data))
    tokenizer = prepare_tokenizer(options.out, training, settings)
    model = make_model(settings, tokenizer)
    if settings.device == "cpu":  # measured: the fused kernel takes twice as long in short windows
        model.set_attn_implementation("eager")
    run = Run(model, make_optimizers(model, settings))
    if options.resume:
        load_checkpoint(run, options.out)
    note_part(options.out, run.step, settings)
    documents = [encode_document(tokenizer, document) for document in training]
    print(f"{model.num_parameters():,} parameters, {sum(map(len, documents)):,} training tokens")
    stream = batches(documents, settings, first_step=run.step)
    probe = probe_of(run, tokenizer, held_out[:PROBE_DOCUMENTS], settings)
    with ThreadPoolExecutor(options.threads) as pool:
        follow(run, train(run, stream, settings, pool), options.out, probe)


if __name__ == "__main__":
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the budget of threads is the caller's
    main(sys.argv[1:])
