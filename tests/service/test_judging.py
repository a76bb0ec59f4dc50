"""The judges of a worker: what the settings say is what is loaded."""

from __future__ import annotations

import pytest
from tests.service.spans import make_call

from cert_otel.scoring.choice import Choice
from cert_otel.scoring.defaults import REFERENCE
from cert_otel.service.judging import Case, make_choice, open_judges_of
from cert_otel.service.limits import Limits
from cert_otel.service.settings import Evaluation, Scorer, Settings
from cert_otel.service.worker import make_policy


class TestChoice:
    def test_every_setting_arrives(self) -> None:
        """What `cert score` takes as options, the service takes as settings."""
        scorer = Scorer(
            model="a/b",
            revision="v2",
            device="cuda:1",
            dtype="float16",
            quantization="4bit",
            window_tokens=2048,
            embedder="hidden",
            offline=True,
            allow_remote_code=("a/b",),
        )

        assert make_choice(scorer) == Choice(
            model="a/b",
            revision="v2",
            device="cuda:1",
            dtype="float16",
            quantization="4bit",
            window_tokens=2048,
            embedder="hidden",
            offline=True,
            allow_remote_code=("a/b",),
        )

    def test_none_is_no_quantization(self) -> None:
        """The word for it is not the library's."""
        assert make_choice(Scorer()) == Choice()


class TestOpen:
    def test_a_model_as_it_is_set(self) -> None:
        """Window and embedder are those of the settings, and part of who scored."""
        settings = Settings(
            scorer=Scorer(
                model=REFERENCE,
                device="cpu",
                dtype="float32",
                window_tokens=16,
                embedder="hidden",
            ),
            evaluation=Evaluation(evaluators=()),
        )
        judges = open_judges_of(settings)
        assert judges.scoring is not None
        ((found,),) = judges.scoring.judge([Case(make_call(1))])

        assert judges.evaluation is None
        assert judges.scoring.name == REFERENCE
        assert judges.scoring.revision.endswith("+hidden+window=16")
        assert found.trajectory is not None
        assert found.trajectory.energy_mean is not None

    def test_nobody(self) -> None:
        """Without a scorer no model is loaded."""
        assert open_judges_of(Settings(scorer=Scorer(enabled=False))).combine().name == ""


class TestPolicy:
    @pytest.mark.parametrize(("max_age_h", "max_age_s"), [(None, None), (48.0, 172_800.0)])
    def test_how_old_a_call_may_be(self, max_age_h: float | None, max_age_s: float | None) -> None:
        """Nothing expires unless it is set."""
        settings = Settings(scorer=Scorer(max_age_h=max_age_h))

        assert make_policy(settings, Limits()).max_age_s == max_age_s
