"""Time a training step of the reference model by attention kernel and window, in processor time.

Each turn computes the gradients of 1,024 tokens on one thread; the figure is the fastest of
`--rounds` turns, in tokens for a second of processor time, which other programs on the machine
disturb less than wall time.

Example:
    python benchmarks/reference_training.py --rounds 5
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "models" / "reference"))

from train import Settings, gradients_of, make_model  # noqa: E402 - found by the line above

TOKENS = 1024
WINDOWS = (1024, 512, 256)


def main() -> None:
    """Print one line for each kernel and window."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    packaged = ROOT / "src" / "cert_otel" / "scoring" / "reference" / "tokenizer.json"
    model = make_model(Settings(minutes=None, steps=1), Tokenizer.from_file(str(packaged)))
    random = np.random.default_rng(0)
    for kernel in ("sdpa", "eager"):
        model.set_attn_implementation(kernel)
        for window in WINDOWS:
            rows = random.integers(10, 6144, (TOKENS // window, window)).astype(np.uint16)
            seconds = []
            for _ in range(rounds):
                started = time.process_time()
                gradients_of(model, rows, "cpu")
                seconds.append(time.process_time() - started)
            print(f"{kernel:6} windows of {window:5}: {TOKENS / min(seconds):6,.0f} tokens/s")


if __name__ == "__main__":
    main()
