"""Names: none is a value and a namespace at once, and those that are promised exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from cert_otel import semconv
from cert_otel.records import Kind
from cert_otel.semconv import PROFILES

CAPTURE_PAGE = Path(__file__).parents[1] / "docs" / "capture.md"
NAMES = {
    constant: value
    for constant, value in vars(semconv).items()
    if constant.isupper() and isinstance(value, str)
}
METRICS = {value for constant, value in NAMES.items() if constant.startswith("METRIC_")}
ATTRIBUTES = {
    value
    for constant, value in NAMES.items()
    if not constant.startswith(("METRIC_", "EVENT_", "OPERATION_")) or constant == "OPERATION_NAME"
}


class TestNames:
    def test_no_attribute_is_a_namespace(self) -> None:
        """Backends that map attributes to objects break on `a.b` beside `a.b.c`."""
        clashes = {
            (value, other)
            for value in ATTRIBUTES
            for other in ATTRIBUTES
            if other.startswith(f"{value}.")
        }

        assert clashes == set()

    @pytest.mark.parametrize("alias", ["gen_ai.usage.cost", "operation.cost", "llm.cost.total"])
    def test_neither_is_an_advised_cost_alias(self, alias: str) -> None:
        """The aliases that the documentation names fit beside what is written."""
        assert not any(
            name.startswith(f"{alias}.") or alias.startswith(f"{name}.") for name in ATTRIBUTES
        )

    def test_no_two_constants_share_a_name(self) -> None:
        """A name has one constant."""
        assert len(set(NAMES.values())) == len(NAMES)

    @pytest.mark.parametrize("name", sorted(ATTRIBUTES | METRICS))
    def test_form(self, name: str) -> None:
        """Lower case, dotted, as the conventions ask; ours start with `cert.`."""
        assert re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", name)
        assert name.split(".", maxsplit=1)[0] in {
            "cert",
            "enduser",
            "error",
            "gen_ai",
            "http",
            "log",
            "openai",
            "otel",
            "server",
            "service",
        }

    def test_ours(self) -> None:
        """Every attribute of ours, by name: a change here is a change for whoever reads spans."""
        assert {name for name in ATTRIBUTES if name.startswith("cert.")} == {
            "cert.context",
            "cert.cost.amount",
            "cert.cost.cache_read",
            "cert.cost.cache_write",
            "cert.cost.currency",
            "cert.cost.input",
            "cert.cost.output",
            "cert.cost.partial",
            "cert.cost.pricing_version",
            "cert.cost.source",
            "cert.cost.tools",
            "cert.function.name",
            "cert.hamiltonian.energy",
            "cert.hamiltonian.kinetic",
            "cert.hamiltonian.potential",
            "cert.input.data",
            "cert.logprob.mean",
            "cert.logprob.min",
            "cert.logprob.source",
            "cert.logprob.sum",
            "cert.logprob.token_count",
            "cert.metadata",
            "cert.output.data",
            "cert.perplexity",
            "cert.prompt.fingerprint",
            "cert.record.kind",
            "cert.record.unreadable",
            "cert.score.reason",
            "cert.score.status",
            "cert.scorer.model",
            "cert.scorer.revision",
            "cert.stream.chunk_count",
            "cert.stream.outcome",
            "cert.stream.time_per_chunk",
            "cert.task_type",
            "cert.tenant",
            "cert.trajectory.energy_max",
            "cert.trajectory.entropy_max",
            "cert.trajectory.entropy_mean",
            "cert.trajectory.flags",
            "cert.trajectory.perplexity",
            "cert.trajectory.steps",
            "cert.trajectory.surprise_rate",
            "cert.trajectory.tokens",
        }

    def test_the_page_names_only_what_exists(self) -> None:
        """An attribute or metric of ours in docs/capture.md is one that is written."""
        text = CAPTURE_PAGE.read_text()
        named = set(re.findall(r"`(cert\.[a-z_.]+)`", text))
        short = re.findall(
            r"^\| `(cert\.[a-z_]+)\.[a-z_]+`((?:, `\.[a-z_]+`)+)", text, re.MULTILINE
        )
        named |= {
            f"{space}{leaf}" for space, rest in short for leaf in re.findall(r"`(\.[a-z_]+)`", rest)
        }

        assert len(named) > 20
        assert named - ATTRIBUTES - METRICS == set()


class TestProfiles:
    @pytest.mark.parametrize(
        ("profile", "expected"),
        [
            ("compat", (("gen_ai.usage.cache_creation.input_tokens",), True, False)),
            ("latest", (("gen_ai.usage.cache_write.input_tokens",), False, True)),
            (
                "both",
                (
                    (
                        "gen_ai.usage.cache_creation.input_tokens",
                        "gen_ai.usage.cache_write.input_tokens",
                    ),
                    True,
                    True,
                ),
            ),
        ],
    )
    def test_each(self, profile: semconv.ProfileName, expected: object) -> None:
        """Compat is what today's dashboards read, latest what the conventions say now."""
        assert PROFILES[profile] == expected

    def test_there_are_no_others(self) -> None:
        """The names that the setting takes are the profiles."""
        assert set(PROFILES) == set(get_args(semconv.ProfileName))


class TestKinds:
    def test_every_operation_has_a_kind_of_the_record(self) -> None:
        """What a span's operation says is a kind that a record can have."""
        assert set(semconv.KIND_BY_OPERATION.values()) <= set(get_args(Kind))
        assert semconv.KIND_BY_OPERATION["chat"] == "inference"
        assert semconv.KIND_BY_OPERATION["embeddings"] == "embedding"
        assert semconv.KIND_BY_OPERATION["fetch_response"] == "function"
