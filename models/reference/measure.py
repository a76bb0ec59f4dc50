"""Measure the packaged reference model against n-gram models trained on the same text.

    python models/reference/measure.py --data prose.jsonl.gz

prints the held-out figures as JSON; `export.py` writes them beside the model.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from corpus import BOS_ID, read_documents, split
from ngram import fit_ngrams
from scores import Bits, add, neural_bits, ngram_bits
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from corpus import Document
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

PACKAGED = Path(__file__).parents[2] / "src" / "cert_otel" / "scoring" / "reference"
SAMPLE = ("peps/pep-0591.rst", "peps/pep-0713.rst")  # held out; the text lies beside the tests
ORDER = 5
BYTE_START = 256  # stands before a text: one more symbol than bytes
RESAMPLES = 1000


def bytes_of(text: str) -> NDArray[np.uint8]:
    """The UTF-8 bytes of a text."""
    return np.frombuffer(text.encode(), dtype=np.uint8)


def tokens_of(tokenizer: Tokenizer, text: str) -> NDArray[np.int64]:
    """The tokens of a text, without the beginning-of-text token."""
    return np.array(tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int64)


def measure_all(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    training: Sequence[Document],
    held_out: Sequence[Document],
) -> dict[str, list[Bits]]:
    """Bits of each held-out document under the model and both baselines."""
    by_token = fit_ngrams(
        (tokens_of(tokenizer, document.text) for document in training),
        order=ORDER,
        vocabulary=tokenizer.get_vocab_size(),
        start=BOS_ID,
    )
    by_byte = fit_ngrams(
        (bytes_of(document.text) for document in training),
        order=ORDER,
        vocabulary=BYTE_START + 1,
        start=BYTE_START,
    )
    texts = [document.text for document in held_out]
    return {
        "reference": [neural_bits(model, tokenizer, text) for text in texts],
        "token_5gram": [ngram_bits(by_token, tokens_of(tokenizer, text), text) for text in texts],
        "byte_5gram": [ngram_bits(by_byte, bytes_of(text), text) for text in texts],
    }


def resample(amounts: Sequence[float]) -> NDArray[np.float64]:
    """Sums over documents drawn again with replacement, the same draws each time."""
    drawn = np.random.default_rng(0).integers(len(amounts), size=(RESAMPLES, len(amounts)))
    sums: NDArray[np.float64] = np.asarray(amounts, dtype=np.float64)[drawn].sum(axis=1)
    return sums


def interval(parts: Sequence[float], wholes: Sequence[float]) -> tuple[float, float]:
    """95 % interval of sum over sum, from documents drawn again with replacement."""
    low, high = np.percentile(resample(parts) / resample(wholes), [2.5, 97.5])
    return round(float(low), 4), round(float(high), 4)


def compare(ours: Sequence[Bits], theirs: Sequence[Bits]) -> dict[str, Any]:
    """Our bits over theirs on the same documents, drawn again in pairs."""
    low, high = interval([one.bits for one in ours], [one.bits for one in theirs])
    return {
        "ratio": round(add(ours).bits / add(theirs).bits, 4),
        "ratio_low": low,
        "ratio_high": high,
        "documents_better": sum(
            one.bits < other.bits for one, other in zip(ours, theirs, strict=True)
        ),
    }


def figures(documents: Sequence[Bits]) -> dict[str, Any]:
    """What is reported of one model on some documents."""
    total = add(documents)
    low, high = interval([one.bits for one in documents], [one.bytes for one in documents])
    return {
        "bits_per_byte": round(total.per_byte, 4),
        "bits_per_byte_low": low,
        "bits_per_byte_high": high,
        "perplexity_per_byte": round(total.perplexity_per_byte, 4),
        "nats_per_symbol": round(total.nats_per_symbol, 4),
        "symbols": total.symbols,
    }


def report(held_out: Sequence[Document], results: dict[str, list[Bits]]) -> dict[str, Any]:
    """The held-out figures: of all English documents, of each source, of the sample of the tests.

    Documents in other languages are there with their own figure.
    """
    english = [i for i, document in enumerate(held_out) if document.is_english]
    others = [i for i, document in enumerate(held_out) if not document.is_english]
    sources = sorted({document.source for document in held_out})
    sample = [i for i in english if held_out[i].file in SAMPLE]
    judged = {name: [documents[i] for i in english] for name, documents in results.items()}
    return {
        "documents": len(english),
        "bytes": add(judged["reference"]).bytes,
        "models": {name: figures(documents) for name, documents in judged.items()},
        "against_token_5gram": compare(judged["reference"], judged["token_5gram"]),
        "by_source": {
            source: bits_per_byte(results, [i for i in english if held_out[i].source == source])
            for source in sources
        },
        "other_languages": bits_per_byte(results, others),
        "sample": {"files": list(SAMPLE), **bits_per_byte(results, sample)},
    }


def bits_per_byte(results: dict[str, list[Bits]], places: Sequence[int]) -> dict[str, Any]:
    """Bits a byte of every model on the documents at these places."""
    chosen = {name: add([documents[i] for i in places]) for name, documents in results.items()}
    return {
        "documents": len(places),
        "bytes": chosen["reference"].bytes,
        **{name: round(bits.per_byte, 4) for name, bits in chosen.items()},
    }


def measure(folder: Path, documents: Sequence[Document]) -> dict[str, Any]:
    """Held-out figures of the model in a folder, computed in bf16 as it is stored."""
    training, held_out = split(documents)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, local_files_only=True
    )
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return report(held_out, measure_all(model, tokenizer, training, held_out))


def main(arguments: Sequence[str]) -> None:
    """Print the held-out figures."""
    parser = argparse.ArgumentParser(description="Held-out figures of the reference model.")
    parser.add_argument("--data", type=Path, required=True, help="what train.py was given")
    parser.add_argument("--model", type=Path, default=PACKAGED, help="folder of the model")
    options = parser.parse_args(arguments)
    print(json.dumps(measure(options.model, read_documents(options.data)), indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
