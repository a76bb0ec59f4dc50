"""What a call cost: usage times the rates of a table that ships with the package.

The table is compiled from genai-prices by scripts/compile_prices.py and read from disk when
the first call is priced; nothing here opens a connection. docs/pricing.md says what is priced
and what is not.
"""

from __future__ import annotations

from cert_otel.pricing._call import price_call
from cert_otel.pricing._table import ModelRef, TableInfo, find_model, table_info

__all__ = ["ModelRef", "TableInfo", "find_model", "price_call", "table_info"]
