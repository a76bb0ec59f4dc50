"""Make the packaged files of the reference model from a training run.

    python models/reference/export.py --run build/reference --data prose.jsonl.gz

Weights in bf16 as safetensors, configuration, tokenizer with its chat template, `metrics.json`
with the figures, and the model card, which is `card.md` with these figures.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import torch
from corpus import BOS, EOS, PAD, SPECIAL_TOKENS, encode_document, read_documents, split
from measure import PACKAGED, measure
from tokenizers import Tokenizer
from train import Settings, make_model
from transformers import PreTrainedTokenizerFast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from corpus import Document
    from transformers import LlamaForCausalLM

CARD = Path(__file__).parent / "card.md"
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% set role = {'developer': 'system', 'function': 'tool'}.get(message.role, message.role) %}"
    "{{ '<|' + (role if role in ('system', 'assistant', 'tool') else 'user') + '|>' }}"
    "{{ message.content or '' }}{% if message.tool_calls %}{{ message.tool_calls | tojson }}{% endif %}"
    "{{ '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
LAST_STEPS = 50  # the training loss is their mean: a batch alone is noise


def export_tokenizer(tokenizer: Tokenizer, folder: Path, *, length: int) -> None:
    """Write the tokenizer as transformers reads it."""
    named = {BOS, EOS, PAD}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        additional_special_tokens=[token for token in SPECIAL_TOKENS if token not in named],
        chat_template=CHAT_TEMPLATE,
        model_max_length=length,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Rows of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_run(folder: Path) -> tuple[LlamaForCausalLM, Tokenizer, Settings]:
    """Model, tokenizer and settings of a run, as its last checkpoint has them."""
    settings = Settings(**read_lines(folder / "parts.jsonl")[-1]["settings"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = make_model(settings, tokenizer)
    model.load_state_dict(torch.load(folder / "checkpoint.pt", map_location="cpu")["model"])
    return model, tokenizer, settings


def describe_run(
    folder: Path, tokenizer: Tokenizer, settings: Settings, training: Sequence[Document]
) -> dict[str, Any]:
    """What the run took: the log's facts, with the settings that repeat it."""
    log = read_lines(folder / "log.jsonl")
    tokens = sum(len(encode_document(tokenizer, document)) for document in training)
    last = log[-LAST_STEPS:]
    seen = log[-1]["step"] * settings.batch_rows * settings.length
    return {
        "documents": len(training),
        "bytes": sum(len(document.text.encode()) for document in training),
        "tokens": tokens,
        "steps": log[-1]["step"],
        "tokens_seen": seen,
        "epochs": round(seen / tokens, 2),
        "minutes": round(log[-1]["elapsed_s"] / 60, 1),
        "loss_nats_per_token": round(
            sum(row["loss_nats_per_token"] for row in last) / len(last), 4
        ),
        "parts": read_lines(folder / "parts.jsonl"),
    }


def render_card(metrics: dict[str, Any]) -> str:
    """The model card with the figures of `metrics.json`."""
    models = metrics["held_out"]["models"]
    rows = [
        f"| {title} | {models[name]['bits_per_byte']:.3f} "
        f"[{models[name]['bits_per_byte_low']:.3f}, {models[name]['bits_per_byte_high']:.3f}] "
        f"| {models[name]['perplexity_per_byte']:.3f} |"
        for name, title in (
            ("reference", "this model"),
            ("token_5gram", "5-gram over the same tokens"),
            ("byte_5gram", "5-gram over bytes"),
        )
    ]
    training, held_out = metrics["training"], metrics["held_out"]
    against = held_out["against_token_5gram"]
    settings = training["parts"][-1]["settings"]
    return Template(CARD.read_text(encoding="utf-8")).substitute(
        table="\n".join(rows),
        parameters=f"{metrics['parameters']:,}",
        megabytes=f"{metrics['bytes'] / 1e6:.1f}",
        commits="; ".join(
            f"`{part['commit']}` from step {part['from_step']:,}" for part in training["parts"]
        ),
        short_length=f"{settings['short_length']:,}",
        data_sha256=metrics["data_sha256"],
        layers=settings["layers"],
        hidden=settings["hidden"],
        vocabulary=f"{settings['vocabulary']:,}",
        length=f"{settings['length']:,}",
        training_documents=f"{training['documents']:,}",
        training_bytes=f"{training['bytes']:,}",
        training_tokens=f"{training['tokens']:,}",
        tokens_seen=f"{training['tokens_seen']:,}",
        epochs=f"{training['epochs']:.1f}",
        steps=f"{training['steps']:,}",
        minutes=f"{training['minutes']:.0f}",
        loss=f"{training['loss_nats_per_token']:.3f}",
        held_out_loss=f"{models['reference']['nats_per_symbol']:.3f}",
        held_out_documents=held_out["documents"],
        held_out_bytes=f"{held_out['bytes']:,}",
        foreign_reference=f"{held_out['other_languages']['reference']:.2f}",
        foreign_5gram=f"{held_out['other_languages']['token_5gram']:.2f}",
        better=against["documents_better"],
        ratio=f"{100 * against['ratio']:.1f}",
        ratio_low=f"{100 * against['ratio_low']:.1f}",
        ratio_high=f"{100 * against['ratio_high']:.1f}",
    )


def main(arguments: Sequence[str]) -> None:
    """Export, measure, describe."""
    parser = argparse.ArgumentParser(description="Package a training run.")
    parser.add_argument("--run", type=Path, default=Path("build/reference"))
    parser.add_argument("--data", type=Path, required=True, help="what train.py was given")
    parser.add_argument("--out", type=Path, default=PACKAGED)
    options = parser.parse_args(arguments)
    documents = read_documents(options.data)
    model, tokenizer, settings = read_run(options.run)
    model.bfloat16().save_pretrained(options.out)
    (options.out / "model.safetensors").chmod(0o644)  # safetensors writes for the owner alone
    export_tokenizer(tokenizer, options.out, length=settings.length)
    metrics = {
        "data_sha256": hashlib.sha256(options.data.read_bytes()).hexdigest(),
        "parameters": model.num_parameters(),
        "bytes": sum(path.stat().st_size for path in options.out.iterdir()),
        "training": describe_run(options.run, tokenizer, settings, split(documents)[0]),
        "held_out": measure(options.out, documents),
    }
    write(options.out, metrics)


def write(folder: Path, metrics: dict[str, Any]) -> None:
    """Write the figures and the card that quotes them."""
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    (folder / "MODEL_CARD.md").write_text(render_card(metrics), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
