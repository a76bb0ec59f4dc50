"""Tests in live/ start the collector that `make collector` builds; without it they are left out."""

from __future__ import annotations

from pathlib import Path

BUILD = Path(__file__).parents[2] / "collector" / "build"

collect_ignore = [] if (BUILD / "cert-otelcol").exists() else ["live"]
