"""cert.yaml is read strictly, and what is wrong with it is named with its line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.errors import ConfigError
from cert_otel.service.settings import Settings, json_schema, load, parse_endpoint

ROOT = Path(__file__).parents[2]


def read(path: Path, text: str, **environ: str) -> Settings:
    """Read a file that holds `text`."""
    file = path / "cert.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ)


class TestLoad:
    def test_defaults(self, tmp_path: Path) -> None:
        """No file, an empty one, and one with empty sections mean the defaults."""
        assert load(None) == read(tmp_path, "") == read(tmp_path, "receiver: {}\n") == Settings()

    def test_sections(self, tmp_path: Path) -> None:
        """What the file says is set, the rest keeps its default."""
        settings = read(tmp_path, "receiver:\n  max_message_mib: 8\nlogs: {format: json}\n")

        assert settings.receiver.max_message_mib == 8
        assert settings.logs.format == "json"
        assert settings.receiver.grpc.endpoint == "127.0.0.1:4317"

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            (
                "receiver:\n  grcp: {}\n",
                r"cert.yaml:2: receiver.grcp: is no setting; did you mean grpc\?",
            ),
            (
                "\n\nnonsense: 1\n",
                "cert.yaml:3: nonsense: is no setting; known are receiver, security",
            ),
            ("security:\n  tls:\n    cert: a\n", r"cert.yaml:3: .*did you mean cert_file\?"),
            (
                "inbox:\n  path: x\n  cap_bytes: many\n",
                "cert.yaml:3: inbox.cap_bytes: Expected `int`",
            ),
            (
                "deliver:\n  to:\n  - event\n  - mail\n",
                r"cert.yaml:4: deliver.to\[3?1?\]: Invalid enum",
            ),
            (
                "scorer: {sampling_rate: 2}",
                "cert.yaml:1: scorer.sampling_rate: Expected `float` <= 1",
            ),
            ("receiver: {grpc: {endpoint: 4317}}", "cert.yaml:1: receiver.grpc.endpoint: "),
            (
                "receiver:\n  http: {endpoint: '127.0.0.1:99999'}",
                "cert.yaml:2: receiver.http.endpoint: 99999 is no port",
            ),
            ("api: 3\n", "cert.yaml:1: api: Expected `object`"),
            ("a: 1\na: 2\n", "cert.yaml:2: a stands there twice"),
            ("a: [1\n", "is not YAML"),
            ("deliver: {to: [event]}", "deliver.to: event needs deliver.endpoint"),
            ("deliver: {to: [span]}", "deliver.to: span needs"),
            ("deliver: {to: [phoenix]}", "deliver.to: phoenix needs"),
            ("deliver: {metrics: true}", "deliver.metrics: needs"),
            ("inbox: {cap_bytes: 10000000}", "inbox.cap_bytes: must be at least four"),
            (
                "scorer:\n  model: m\n  quantization: 2bit\n",
                "cert.yaml:3: scorer.quantization: Invalid enum value '2bit'",
            ),
            ("scorer:\n  dtype: int8\n", "cert.yaml:2: scorer.dtype: Invalid enum value 'int8'"),
            ("scorer: {device: tpu}", "cert.yaml:1: scorer.device: Expected `str` matching"),
            ("scorer:\n\n  window_tokens: 0\n", "cert.yaml:3: scorer.window_tokens: Expected"),
            ("scorer: {max_age_h: 0}", "cert.yaml:1: scorer.max_age_h: Expected `float` > 0"),
            (
                "scorer:\n  revision: main\n",
                "cert.yaml:2: scorer.revision: is of a model; name that in scorer.model",
            ),
            (
                "scorer:\n  model: a/b\n  allow_remote_code: [a/c]\n",
                "cert.yaml:3: scorer.allow_remote_code: a/c is not scorer.model",
            ),
        ],
    )
    def test_problems(self, tmp_path: Path, text: str, problem: str) -> None:
        """An error names the file, the line and the key."""
        with pytest.raises(ConfigError, match=problem):
            read(tmp_path, text)

    def test_no_file(self, tmp_path: Path) -> None:
        """A file that is not there is named."""
        with pytest.raises(ConfigError, match=r"missing\.yaml: cannot be read"):
            load(tmp_path / "missing.yaml")

    @pytest.mark.parametrize("text", ["a: " + "[" * 50 + "]" * 50, "a: &a [*a]"])
    def test_endless(self, tmp_path: Path, text: str) -> None:
        """What contains itself, or is nested without end, is refused."""
        with pytest.raises(ConfigError):
            read(tmp_path, text)


class TestEnvironment:
    def test_put_in(self, tmp_path: Path) -> None:
        """Variables are put in anywhere in a value, whatever type it has."""
        settings = read(
            tmp_path,
            "receiver: {max_message_mib: '${env:MIB}'}\n"
            "api:\n  enabled: ${env:API}\n"
            "security: {tokens: ['${env:A}-${env:B:-none}', '$${env:A}']}\n",
            MIB="7",
            API="false",
            A="12345",
        )

        assert settings.receiver.max_message_mib == 7
        assert not settings.api.enabled
        assert settings.security.tokens == ("12345-none", "${env:A}")

    def test_missing(self, tmp_path: Path) -> None:
        """A variable that is not set, and has no default, is an error that names both."""
        with pytest.raises(ConfigError, match=r"cert.yaml:2: trail.path needs .* CERT_TRAIL"):
            read(tmp_path, "trail:\n  path: ${env:CERT_TRAIL}\n")

    @given(value=st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1))
    def test_never_parsed(self, value: str) -> None:
        """What a variable holds is text and never becomes part of the file's structure."""
        import tempfile  # noqa: PLC0415 - hypothesis wants no fixture of a function

        with tempfile.TemporaryDirectory() as directory:
            settings = read(Path(directory), "security: {tokens: ['${env:T}']}", T=value)

        assert settings.security.tokens == (value,)


class TestExposure:
    OPEN = "{endpoint: 0.0.0.0:1234}"

    @pytest.mark.parametrize(
        ("text", "listener"),
        [
            (f"receiver: {{grpc: {OPEN}}}", "receiver"),
            (f"receiver: {{http: {OPEN}}}", "receiver"),
            (f"api: {OPEN}", "api"),
            (f"metrics: {OPEN}", "metrics"),
        ],
    )
    def test_needs_a_guard(self, tmp_path: Path, text: str, listener: str) -> None:
        """Nothing listens to the network without TLS or token, unless allowed by name."""
        with pytest.raises(ConfigError, match=r"0\.0\.0\.0 is open to the network"):
            read(tmp_path, text)

        for guard in ("tokens: [secret]", "tokens_file: t", f"insecure: [{listener}]"):
            assert read(tmp_path, f"{text}\nsecurity: {{{guard}}}")

    def test_tls_is_one(self, tmp_path: Path) -> None:
        """TLS guards the receiver and the API."""
        tls = "security: {tls: {cert_file: c, key_file: k}}"

        assert read(tmp_path, f"receiver: {{grpc: {self.OPEN}}}\napi: {self.OPEN}\n{tls}")

    def test_disabled(self, tmp_path: Path) -> None:
        """What does not listen needs no guard."""
        assert read(tmp_path, "api: {endpoint: '0.0.0.0:8000', enabled: false}")

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.8.9.1"])
    def test_loopback(self, tmp_path: Path, host: str) -> None:
        """This machine's own addresses need none."""
        assert read(tmp_path, f"api: {{endpoint: '{host}:8000'}}")

    def test_parts(self) -> None:
        """Brackets belong to the notation, not to the host."""
        assert parse_endpoint("[::1]:4317") == ("::1", 4317)


class TestSchema:
    def test_it_is_up_to_date(self) -> None:
        """The schema in docs is the one that the structs give."""
        subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "write_schemas.py"), "--check"], check=True
        )

    @pytest.mark.parametrize(
        ("text", "valid"),
        [("", True), ("logs: {format: json}", True), ("logs: {form: json}", False)],
    )
    def test_it_decides_as_the_reader(self, tmp_path: Path, text: str, *, valid: bool) -> None:
        """What is refused is not valid, what is read is."""
        data: Any = yaml.safe_load(text) or {}

        assert jsonschema.Draft202012Validator(json_schema()).is_valid(data) is valid
        if valid:
            assert read(tmp_path, text)
        json.dumps(json_schema())
