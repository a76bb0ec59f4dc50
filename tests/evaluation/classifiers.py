"""Small classifiers, built from their configuration, of which the outcome is known.

`build_reader` makes a BERT whose attention is uniform, so that every token sees the mean of all.
The word `proof` anywhere in the text drowns what any other word says; without it, the word
`wrong` marks itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    DebertaV2Config,
    ModernBertConfig,
    PreTrainedTokenizerFast,
)

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS: Final = (
    *(".", ",", "?", "proof", "wrong", "right", "it", "is", "was", "the", "sky", "blue", "of"),
    *(f"w{number}" for number in range(40)),
)
WINDOW: Final = 48
HIDDEN: Final = 8
VOCABULARY: Final = len(SPECIAL) + len(WORDS)

Kind = Literal["sequence", "token"]

_SHAPE: Final[dict[str, Any]] = {
    "vocab_size": VOCABULARY,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_size": 16,
    "intermediate_size": 24,
    "max_position_embeddings": WINDOW,
    "pad_token_id": 0,
    "initializer_range": 0.5,
}
_MODERN: Final[dict[str, Any]] = {
    **_SHAPE,
    "bos_token_id": 2,
    "cls_token_id": 2,
    "eos_token_id": 3,
    "sep_token_id": 3,
    "global_attn_every_n_layers": 2,
    "local_attention": 8,
}
CONFIGS: Final[dict[str, Any]] = {
    "bert": BertConfig(**_SHAPE),
    "modernbert": ModernBertConfig(**_MODERN),
    "deberta-v2": DebertaV2Config(
        **_SHAPE,
        type_vocab_size=0,
        relative_attention=True,
        position_biased_input=False,
        pos_att_type=["p2c", "c2p"],
        max_relative_positions=-1,
    ),
}
LABELS: Final[dict[Kind, dict[int, str]]] = {
    "sequence": {0: "contradiction", 1: "neutral", 2: "entailment"},
    "token": {0: "supported", 1: "hallucinated"},
}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build a tokenizer of `WORDS` that puts pairs together as BERT's does."""
    vocabulary = {word: index for index, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=WINDOW,
    )


def build_random(architecture: str, kind: Kind) -> PreTrainedModel:
    """Build a classifier with random weights, the same each time."""
    config = CONFIGS[architecture].__class__.from_dict(CONFIGS[architecture].to_dict())
    config.id2label = LABELS[kind]
    config.label2id = {label: index for index, label in LABELS[kind].items()}
    classes = {
        "sequence": AutoModelForSequenceClassification,
        "token": AutoModelForTokenClassification,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network: PreTrainedModel = classes[kind].from_config(config)
    network.train(mode=False)
    return network


def build_reader(kind: Kind, *, labels: dict[int, str] | None = None) -> PreTrainedModel:
    """Build the BERT described above; of sequences, only `proof` entails anything."""
    names = (
        labels
        or {"sequence": {0: "not_entailment", 1: "entailment"}, "token": LABELS["token"]}[kind]
    )
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=4,
        max_position_embeddings=WINDOW,
        id2label=names,
        label2id={label: index for index, label in names.items()},
    )
    made: PreTrainedModel = (
        BertForSequenceClassification(config)
        if kind == "sequence"
        else BertForTokenClassification(config)
    )
    with torch.no_grad():
        _set_weights(made, kind)
    made.train(mode=False)
    return made


def _set_weights(network: Any, kind: Kind) -> None:
    for name, weight in network.named_parameters():
        weight.fill_(1.0 if "LayerNorm.weight" in name else 0.0)
    words = network.bert.embeddings.word_embeddings.weight
    words[:, 4:6] = torch.tensor([1.0, -1.0])
    # Features 0 and 1 say proof, 2 and 3 say wrong; each sums to 0, as layers normalise.
    words[len(SPECIAL) + WORDS.index("proof"), :6] = torch.tensor([1.0, -1.0, 0, 0, 0, 0])
    words[len(SPECIAL) + WORDS.index("wrong"), :6] = torch.tensor([0, 0, 1.0, -1.0, 0, 0])
    attention = network.bert.encoder.layer[0].attention
    attention.self.value.weight[0, 0] = attention.self.value.weight[1, 1] = 1000.0
    attention.output.dense.weight.copy_(torch.eye(HIDDEN))
    supported = 1 if kind == "sequence" else 0
    head = network.classifier
    if kind == "sequence":
        network.bert.pooler.dense.weight.copy_(torch.eye(HIDDEN))
        head.weight[supported, :2] = torch.tensor([10.0, -10.0])
        head.bias[supported] = -10.0
    else:
        head.weight[1, 2:4] = torch.tensor([10.0, -10.0])
        head.bias[1] = -10.0


def save(network: PreTrainedModel, folder: Path) -> Path:
    """Write a model with its tokenizer, as transformers does."""
    network.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return folder
