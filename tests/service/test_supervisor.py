"""How many processes there are, and what the service says before it starts."""

from __future__ import annotations

import importlib.util
import re
from typing import TYPE_CHECKING

import pytest

from cert_otel.errors import ConfigError
from cert_otel.service.overview import check_surroundings, describe
from cert_otel.service.settings import (
    Deliver,
    Evaluation,
    Inbox,
    Logs,
    Scorer,
    Security,
    Settings,
    Tls,
    Trail,
)
from cert_otel.service.supervisor import list_gpus

if TYPE_CHECKING:
    from pathlib import Path


class TestGpus:
    @pytest.mark.parametrize(
        ("named", "expected"),
        [("0,1", ["0", "1"]), ("GPU-ab", ["GPU-ab"]), ("", []), ("-1", []), (" 3 ", ["3"])],
    )
    def test_named(self, tmp_path: Path, named: str, expected: list[str]) -> None:
        """What the environment makes visible is what there is."""
        (tmp_path / "0000:01").mkdir()

        assert list_gpus({"CUDA_VISIBLE_DEVICES": named}, tmp_path) == expected

    def test_driver(self, tmp_path: Path) -> None:
        """Else the driver knows; without one there is none."""
        for name in ("0000:01", "0000:02"):
            (tmp_path / name).mkdir()

        assert list_gpus({}, tmp_path) == ["0", "1"]
        assert list_gpus({}, tmp_path / "missing") == []


class TestOverview:
    def test_everything_is_named(self) -> None:
        """Where it listens, how that is guarded, and where everything goes."""
        settings = Settings(
            security=Security(
                tls=Tls(cert_file="c", key_file="k", client_ca_file="a"), tokens=("secret",)
            ),
            inbox=Inbox(path="/var/inbox", shed="oldest"),
            scorer=Scorer(enabled=False),
            deliver=Deliver(
                to=("event", "span", "phoenix"),
                endpoint="http://c:4317",
                phoenix_endpoint="http://p:6006",
                metrics=True,
            ),
        )
        text = "\n".join(describe(settings))

        for part in (
            "127.0.0.1:4317, TLS with client certificates and bearer tokens",
            "/var/inbox",
            "the oldest are skipped",
            "scorer     off",
            "events to http://c:4317, spans to http://c:4317, annotations to http://p:6006, metrics",
        ):
            assert part in text
        assert "secret" not in text

    def test_how_the_model_is_loaded(self) -> None:
        """What was set for the scoring model is said, and what was not is left out."""
        scorer = Scorer(
            model="a/b",
            revision="v2",
            device="cuda:1",
            dtype="bfloat16",
            quantization="4bit",
            window_tokens=2048,
            embedder="hidden",
            offline=True,
            allow_remote_code=("a/b",),
            max_age_h=48,
            sampling_rate=0.5,
        )

        assert (
            "scorer     a/b at v2 on cuda:1, computed in bfloat16, weights of 4bit, windows of 2048"
            " tokens, steps embedded by hidden, offline, with code of its own, nothing older than"
            " 48 h, 50% of traces"
        ) in describe(Settings(scorer=scorer))
        assert "scorer     the default model on auto, 100% of traces" in describe(Settings())

    @pytest.mark.parametrize(
        ("settings", "problem"),
        [
            (
                Settings(evaluation=Evaluation(evaluators=("groundling",))),
                "evaluation.evaluators: 'groundling' is unknown; did you mean grounding?",
            ),
            (
                Settings(evaluation=Evaluation(evaluators=("exact", "exact"))),
                "evaluation.evaluators: exact is named twice",
            ),
        ],
    )
    def test_evaluators_that_are_not_there(self, settings: Settings, problem: str) -> None:
        """What a scorer would only notice when it starts is found before."""
        with pytest.raises(ConfigError, match=re.escape(problem)):
            check_surroundings(settings)

    def test_a_place_too_deep_for_a_socket(self, tmp_path: Path) -> None:
        """The name of a socket has an end; what is beyond it is said before anything starts."""
        deep = tmp_path / ("d" * 100)

        with pytest.raises(ConfigError, match=r"inbox\.path: .* name a shorter path"):
            check_surroundings(Settings(inbox=Inbox(path=str(deep))))

    def test_a_package_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Quantized weights need a package; without it the setting is named."""
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

        with pytest.raises(ConfigError, match=r"scorer\.quantization: .*cert-otel\[quant\]"):
            check_surroundings(Settings(scorer=Scorer(quantization="8bit")))

    @pytest.mark.parametrize("section", ["inbox", "trail", "logs"])
    def test_places_that_cannot_be_written(self, tmp_path: Path, section: str) -> None:
        """A file where a directory must be is named with its setting."""
        (tmp_path / "file").touch()
        inside = str(tmp_path / "file" / "x")
        settings = {
            "inbox": Settings(inbox=Inbox(path=inside)),
            "trail": Settings(trail=Trail(path=inside)),
            "logs": Settings(logs=Logs(file=inside)),
        }[section]

        with pytest.raises(ConfigError, match=rf"{section}\.\w+: .*file is no directory"):
            check_surroundings(settings)

    def test_nothing_is_made(self, tmp_path: Path) -> None:
        """To look changes nothing."""
        check_surroundings(Settings(inbox=Inbox(path=str(tmp_path / "a" / "b"))))

        assert list(tmp_path.iterdir()) == []
