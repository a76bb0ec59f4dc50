"""Settings: the environment, `configure`, and what is said about mistakes."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from cert_otel import config
from cert_otel.config import CAPTURE_CONTENT, VARIABLES, Config
from cert_otel.errors import ConfigError


def problem_of(environ: dict[str, str]) -> ConfigError:
    """Return the one thing that is wrong with an environment."""
    [problem] = Config.from_environ(environ).problems
    return problem


class TestEnvironment:
    """Each `CERT_OTEL_*` variable, well-formed."""

    @pytest.mark.parametrize(
        ("variable", "text", "field", "expected"),
        [
            ("CERT_OTEL_DISABLED", "true", "disabled", True),
            ("CERT_OTEL_DISABLED", "off", "disabled", False),
            ("CERT_OTEL_QUIET", "YES", "quiet", True),
            ("CERT_OTEL_QUIET", " 0 ", "quiet", False),
            ("CERT_OTEL_JSONL", "calls.jsonl", "jsonl", "calls.jsonl"),
            ("CERT_OTEL_JSONL_MAX_MB", "0.5", "jsonl_max_mb", 0.5),
            ("CERT_OTEL_JSONL_MAX_FILES", "3", "jsonl_max_files", 3),
            ("CERT_OTEL_SEMCONV", "latest", "semconv", "latest"),
            ("CERT_OTEL_SEMCONV", "both", "semconv", "both"),
            ("CERT_OTEL_REQUEST_LOGPROBS", "1", "request_logprobs", True),
            ("CERT_OTEL_COST_ALIASES", "a.b, c.d ,", "cost_aliases", ("a.b", "c.d")),
            ("CERT_OTEL_COST_ALIASES", "", "cost_aliases", ()),
            ("CERT_OTEL_PRICES", "prices.json", "prices", "prices.json"),
            ("CERT_OTEL_PRICES_TABLE", "table.json", "prices_table", "table.json"),
            ("CERT_OTEL_HASH_KEY", "secret", "hash_key", "secret"),
            ("CERT_OTEL_CONTENT_MAX_CHARS", "10", "content_max_chars", 10),
            ("CERT_OTEL_REDACT", r"\d{4}", "redact", r"\d{4}"),
            ("CERT_OTEL_NLI_MODEL", "a/b", "nli_model", "a/b"),
            ("CERT_OTEL_NLI_LABEL", "LABEL_1", "nli_label", "LABEL_1"),
            ("CERT_OTEL_JUDGE_URL", "http://judge/v1", "judge_url", "http://judge/v1"),
            ("CERT_OTEL_JUDGE_MODEL", "m", "judge_model", "m"),
            ("CERT_OTEL_JUDGE_API_KEY", "secret", "judge_api_key", "secret"),
            ("CERT_OTEL_JUDGE_REQUESTS_PER_MINUTE", "7", "judge_requests_per_minute", 7),
            ("CERT_OTEL_JUDGE_CONCURRENCY", "2", "judge_concurrency", 2),
        ],
    )
    def test_each_is_read(self, variable: str, text: str, field: str, expected: Any) -> None:
        """A variable sets its field and nothing else."""
        parsed = Config.from_environ({variable: text})

        assert parsed == (Config(**{field: expected}), [])

    def test_nothing_set_is_the_safe_default(self) -> None:
        """Content off, one file, nothing asked of providers."""
        assert Config.from_environ({"PATH": "/bin"}) == (
            Config(
                disabled=False,
                quiet=False,
                jsonl="production.jsonl",
                jsonl_max_mb=None,
                jsonl_max_files=10,
                semconv="compat",
                request_logprobs=False,
                cost_aliases=(),
                prices=None,
                prices_table=None,
                hash_key=None,
                content_max_chars=100_000,
                redact=None,
                scorer_model=None,
                scorer_device="auto",
                scorer_quantization="none",
                nli_model=None,
                nli_label=None,
                judge_url=None,
                judge_model=None,
                judge_api_key=None,
                judge_requests_per_minute=60,
                judge_concurrency=4,
                redactor=None,
                capture_content=False,
                capture_content_events=False,
            ),
            [],
        )

    def test_every_variable_is_listed(self) -> None:
        """What `cert doctor` names is what is read."""
        assert VARIABLES == (
            "CERT_OTEL_DISABLED",
            "CERT_OTEL_QUIET",
            "CERT_OTEL_JSONL",
            "CERT_OTEL_JSONL_MAX_MB",
            "CERT_OTEL_JSONL_MAX_FILES",
            "CERT_OTEL_SEMCONV",
            "CERT_OTEL_REQUEST_LOGPROBS",
            "CERT_OTEL_COST_ALIASES",
            "CERT_OTEL_PRICES",
            "CERT_OTEL_PRICES_TABLE",
            "CERT_OTEL_HASH_KEY",
            "CERT_OTEL_CONTENT_MAX_CHARS",
            "CERT_OTEL_REDACT",
            "CERT_OTEL_SCORER_MODEL",
            "CERT_OTEL_SCORER_DEVICE",
            "CERT_OTEL_SCORER_QUANTIZATION",
            "CERT_OTEL_NLI_MODEL",
            "CERT_OTEL_NLI_LABEL",
            "CERT_OTEL_JUDGE_URL",
            "CERT_OTEL_JUDGE_MODEL",
            "CERT_OTEL_JUDGE_API_KEY",
            "CERT_OTEL_JUDGE_REQUESTS_PER_MINUTE",
            "CERT_OTEL_JUDGE_CONCURRENCY",
        )


class TestMistakes:
    """What cannot be used is named, and its default kept."""

    @pytest.mark.parametrize(
        ("variable", "text", "message"),
        [
            ("CERT_OTEL_DISABLED", "maybe", "'maybe' is neither true nor false"),
            ("CERT_OTEL_QUIET", "", "'' is neither true nor false"),
            ("CERT_OTEL_JSONL", "", "is empty; unset it or give it a value"),
            ("CERT_OTEL_HASH_KEY", "", "is empty; unset it or give it a value"),
            ("CERT_OTEL_SCORER_MODEL", "", "is empty; unset it or give it a value"),
            (
                "CERT_OTEL_SCORER_DEVICE",
                "gpu",
                "'gpu' is unknown; use auto, cuda, cuda:N, mps or cpu",
            ),
            ("CERT_OTEL_SCORER_QUANTIZATION", "2bit", "'2bit' is unknown; use none, 8bit or 4bit"),
            ("CERT_OTEL_PRICES", "", "is empty; unset it or give it a value"),
            ("CERT_OTEL_PRICES_TABLE", "", "is empty; unset it or give it a value"),
            ("CERT_OTEL_JSONL_MAX_MB", "big", "'big' is not a number"),
            ("CERT_OTEL_JSONL_MAX_MB", "0", "'0' must be greater than 0"),
            ("CERT_OTEL_JSONL_MAX_MB", "nan", "'nan' must be greater than 0"),
            ("CERT_OTEL_JSONL_MAX_FILES", "2.5", "'2.5' is not a whole number"),
            ("CERT_OTEL_JSONL_MAX_FILES", "-1", "'-1' must be greater than 0"),
            ("CERT_OTEL_CONTENT_MAX_CHARS", "many", "'many' is not a whole number"),
            ("CERT_OTEL_SEMCONV", "new", "'new' is unknown; use compat, latest or both"),
            ("CERT_OTEL_REQUEST_LOGPROBS", "2", "'2' is neither true nor false"),
        ],
    )
    def test_a_malformed_value_is_named(self, variable: str, text: str, message: str) -> None:
        """The message says which setting, and what is wrong with it; the default stays."""
        parsed = Config.from_environ({variable: text, "CERT_OTEL_COST_ALIASES": "a"})

        assert [str(problem) for problem in parsed.problems] == [f"{variable}: {message}"]
        assert parsed.config == Config(cost_aliases=("a",))

    def test_infinity_is_no_size(self) -> None:
        """A file that never rotates is one without the setting."""
        assert problem_of({"CERT_OTEL_JSONL_MAX_MB": "inf"}).problem == (
            "'inf' must be greater than 0"
        )

    def test_a_broken_pattern_is_named(self) -> None:
        """A regular expression that does not compile would redact nothing."""
        problem = problem_of({"CERT_OTEL_REDACT": "("})

        assert problem.setting == "CERT_OTEL_REDACT"
        assert problem.problem.startswith("not a regular expression: ")

    @pytest.mark.parametrize(
        ("variable", "meant"),
        [
            ("CERT_OTEL_JSNOL", "CERT_OTEL_JSONL"),
            ("CERT_OTEL_JSONL_MAX_FILE", "CERT_OTEL_JSONL_MAX_FILES"),
            ("CERT_OTEL_HASHKEY", "CERT_OTEL_HASH_KEY"),
            ("CERT_OTEL_REDACTOR", "CERT_OTEL_REDACT"),
        ],
    )
    def test_a_misspelt_variable_is_corrected(self, variable: str, meant: str) -> None:
        """The hint is the closest known name."""
        problem = problem_of({variable: "x"})

        assert (problem.setting, problem.problem) == (
            variable,
            f"unknown setting; did you mean {meant}?",
        )

    @pytest.mark.parametrize("variable", ["CERT_OTEL_Z", "CERT_OTEL_ENDPOINT"])
    def test_a_strange_variable_gets_the_list(self, variable: str) -> None:
        """Where nothing is close, every known name is given: the prefix is no likeness."""
        assert problem_of({variable: "1"}).problem == (
            f"unknown setting; known are {', '.join(VARIABLES)}"
        )

    @pytest.mark.parametrize("field", ["capture_content", "redactor"])
    def test_what_only_code_may_set_is_unknown(self, field: str) -> None:
        """Content has OpenTelemetry's switch, and a function cannot be spelt as text."""
        parsed = Config.from_environ({f"CERT_OTEL_{field.upper()}": "true"})

        assert parsed.config == Config()
        assert len(parsed.problems) == 1

    def test_all_are_reported_at_once(self) -> None:
        """One mistake does not hide the next, nor a good value."""
        parsed = Config.from_environ(
            {
                "CERT_OTEL_QUIET": "?",
                "CERT_OTEL_SEMCONV": "?",
                CAPTURE_CONTENT: "?",
                "CERT_OTEL_JSONL": "a.jsonl",
            }
        )

        assert [problem.setting for problem in parsed.problems] == [
            "CERT_OTEL_QUIET",
            "CERT_OTEL_SEMCONV",
            CAPTURE_CONTENT,
        ]
        assert parsed.config == Config(jsonl="a.jsonl")


class TestContentSwitch:
    """OpenTelemetry's own variable, in the values that its instrumentors take."""

    @pytest.mark.parametrize(
        ("text", "on_span", "on_event"),
        [
            ("", False, False),
            ("NO_CONTENT", False, False),
            ("false", False, False),
            ("0", False, False),
            ("true", True, False),
            ("True", True, False),
            ("1", True, False),
            ("SPAN_ONLY", True, False),
            ("span_only", True, False),
            ("EVENT_ONLY", False, True),
            (" SPAN_AND_EVENT ", True, True),
        ],
    )
    def test_values(self, text: str, on_span: bool, on_event: bool) -> None:
        """Unset is off; `true` is the span."""
        settings, problems = Config.from_environ({CAPTURE_CONTENT: text})

        assert (settings.capture_content, settings.capture_content_events) == (on_span, on_event)
        assert problems == []

    def test_an_unknown_value_is_off(self) -> None:
        """Nothing is captured because somebody mistyped."""
        settings, [problem] = Config.from_environ({CAPTURE_CONTENT: "SPANS"})

        assert (settings.capture_content, settings.capture_content_events) == (False, False)
        assert str(problem) == (
            f"{CAPTURE_CONTENT}: 'SPANS' is unknown; "
            "use NO_CONTENT, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT"
        )


class TestConfigure:
    """Settings from code."""

    def test_code_wins_over_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What code does not mention, the environment sets."""
        monkeypatch.setenv("CERT_OTEL_JSONL", "environment.jsonl")
        monkeypatch.setenv("CERT_OTEL_SEMCONV", "latest")

        returned = config.configure(jsonl="code.jsonl")

        assert returned == Config(jsonl="code.jsonl", semconv="latest")
        assert config.get_config() == returned

    def test_calls_add_up(self) -> None:
        """A second call keeps what the first one set."""
        config.configure(quiet=True)
        config.configure(cost_aliases=("gen_ai.usage.cost",))

        assert config.get_config() == Config(quiet=True, cost_aliases=("gen_ai.usage.cost",))

    def test_a_function_can_be_given(self) -> None:
        """The redactor is what no variable can hold."""
        config.configure(redactor=str.upper)

        assert config.get_config().redactor is str.upper

    @pytest.mark.parametrize(
        ("settings", "part"),
        [
            ({"json": "a"}, "json: unknown setting; known are disabled, quiet, jsonl,"),
            ({"jsonl": 3}, "Expected `str`, got `int` - at `$.jsonl`"),
            ({"jsonl": ""}, "Expected `str` of length >= 1 - at `$.jsonl`"),
            ({"quiet": "yes"}, "Expected `bool`, got `str` - at `$.quiet`"),
            ({"semconv": "new"}, "Invalid enum value 'new' - at `$.semconv`"),
            ({"jsonl_max_mb": 0}, "Expected `float` > 0.0 - at `$.jsonl_max_mb`"),
            ({"jsonl_max_mb": float("nan")}, "Expected `float` > 0.0 - at `$.jsonl_max_mb`"),
            ({"jsonl_max_mb": float("inf")}, "jsonl_max_mb: 'inf' must be greater than 0"),
            ({"jsonl_max_files": -1}, "Expected `int` >= 1 - at `$.jsonl_max_files`"),
            ({"content_max_chars": 2.5}, "Expected `int`, got `float` - at `$.content_max_chars`"),
            ({"cost_aliases": "a,b"}, "Expected `array`, got `str` - at `$.cost_aliases`"),
            ({"redact": "("}, "redact: not a regular expression"),
            ({"redactor": "upper"}, "redactor: 'upper' cannot be called"),
        ],
    )
    def test_a_mistake_changes_nothing(self, settings: dict[str, Any], part: str) -> None:
        """The error names the setting; what held before holds on, listeners hear nothing."""
        before = config.configure(jsonl="kept.jsonl")
        heard: list[Config] = []
        config.on_change(heard.append)

        with pytest.raises(ConfigError) as caught:
            config.configure(**{"request_logprobs": True, **settings})

        assert part in str(caught.value)
        assert config.get_config() == before
        assert heard == []

    def test_listeners_hear_what_holds_now(self) -> None:
        """Each change is told once, to everybody, complete."""
        first: list[Config] = []
        second: list[Config] = []
        config.on_change(first.append)
        config.on_change(second.append)

        config.configure(quiet=True)

        assert first == second == [Config(quiet=True)]

    def test_reset_returns_to_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What code set is forgotten, the environment is read anew, listeners hear of it."""
        config.configure(quiet=True)
        heard: list[Config] = []
        config.on_change(heard.append)
        monkeypatch.setenv("CERT_OTEL_JSONL", "new.jsonl")

        config.reset()

        assert config.get_config() == Config(jsonl="new.jsonl")
        assert heard == [Config(jsonl="new.jsonl")]


class TestProblems:
    """What was wrong with the environment, for the host to speak about."""

    def test_they_are_kept_for_the_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Reading the settings does not raise; the mistake can be asked for."""
        monkeypatch.setenv("CERT_OTEL_QUIET", "maybe")
        config.reset()

        assert config.get_config() == Config()
        assert [problem.setting for problem in config.get_problems()] == ["CERT_OTEL_QUIET"]

    def test_settings_from_code_do_not_hide_them(self) -> None:
        """An application that configures first of all still hears of a mistake around it."""
        program = """
from cert_otel import config

config.configure(jsonl="code.jsonl")
print([str(problem) for problem in config.get_problems()])
"""

        printed = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "CERT_OTEL_QUIET": "maybe"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

        assert printed == """["CERT_OTEL_QUIET: 'maybe' is neither true nor false"]\n"""
