"""Score two texts under a cap on the address space, and print what became of each.

Run as a process of its own: the cap holds for all of it and is never lifted.
"""

from __future__ import annotations

import json
import resource
from pathlib import Path

import torch
from tests.scoring.reference import build_network, build_tokenizer

from cert_otel.scoring.networks import prepare
from cert_otel.scoring.prompts import Sample
from cert_otel.scoring.scorer import TokenScorer

_HEADROOM_BYTES = 48 << 20


def main() -> None:
    """Load, warm up, cap, score."""
    torch.set_num_threads(1)
    scorer = TokenScorer(
        prepare(build_network("gpt2"), build_tokenizer(), name="gpt2"), budget=100_000
    )
    short = Sample(prompt="Is it raining?", completion="Yes, it is. " * 20)
    scorer.score([short])
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    cap = pages * resource.getpagesize() + _HEADROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (cap, cap))
    long = Sample(prompt="Is it raining?", completion="Yes, it is. " * 600)
    results = scorer.score([long, *[short] * 40])
    print(json.dumps([[result.status, result.reason] for result in results]))  # noqa: T201 - its result


if __name__ == "__main__":
    main()
