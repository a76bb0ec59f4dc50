"""docs/collector.md names the versions that are tested, and settings that are."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Final

import peer_versions
import pytest
from collector_harness import ROOT

from cert_otel.service.settings import load

if TYPE_CHECKING:
    from pathlib import Path

PAGE: Final = (ROOT / "docs" / "collector.md").read_text(encoding="utf-8")
PINS: Final = {
    "rotel": peer_versions.ROTEL,
    "Arize Phoenix": peer_versions.PHOENIX,
    "Jaeger": peer_versions.JAEGER,
    "telemetrygen": peer_versions.TELEMETRYGEN,
}


class TestVersions:
    @pytest.mark.parametrize("name", PINS)
    def test_are_those_that_are_installed(self, name: str) -> None:
        """The table has the version of each pin."""
        (version,) = re.findall(rf"^\| {name} \| ([^ ]+) \|", PAGE, re.MULTILINE)

        assert PINS[name].endswith((f"@{version}", f"=={version}"))

    def test_rotel_comes_with_the_environment(self) -> None:
        """What `make setup` installs is the version of the pin."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        groups = project["dependency-groups"]["dev"]

        assert [one.partition(";")[0] for one in groups if one.startswith("rotel")] == [
            peer_versions.ROTEL
        ]


class TestRecipes:
    @pytest.mark.parametrize("text", re.findall(r"```yaml\n# cert.yaml\n(.*?)```", PAGE, re.DOTALL))
    def test_are_settings(self, tmp_path: Path, text: str) -> None:
        """What is to stand in cert.yaml is read without complaint, and delivers something."""
        file = tmp_path / "cert.yaml"
        file.write_text(text, encoding="utf-8")

        assert load(file, {}).deliver.to
