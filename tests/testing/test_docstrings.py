"""The examples in the public docstrings."""

from __future__ import annotations

import doctest
import importlib

import pytest


class TestDocstrings:
    @pytest.mark.parametrize(
        "name",
        ["_capture", "_determinism", "_provider", "_replies", "_routing", "_sink", "_tokens"],
    )
    def test_examples_hold(self, name: str) -> None:
        """Every module that users meet has examples, and they give what they say."""
        module = importlib.import_module(f"cert_otel.testing.{name}")
        result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)

        assert result.attempted > 0
        assert result.failed == 0
