"""The modules of models/reference import each other by plain name; so do these tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "models" / "reference"))
