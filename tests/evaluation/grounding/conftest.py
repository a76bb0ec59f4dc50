"""The changes of answers are those of benchmarks/metamorphic.py."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path.append(str(ROOT / "benchmarks"))
