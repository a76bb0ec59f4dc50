"""What a call cost: usage times the rates of a table that ships with the package.

The table is compiled from genai-prices by scripts/compile_prices.py and read from disk when
the first call is priced; nothing here opens a connection. docs/pricing.md says what is priced
and what is not.
"""

from __future__ import annotations

from cert_otel.pricing._call import price_call
from cert_otel.pricing._files import check_files
from cert_otel.pricing._find import ModelRef, TableInfo, find_model, table_info
from cert_otel.pricing._price_lists import find_host_prices, find_price_id
from cert_otel.pricing._providers import (
    AZURE,
    BEDROCK,
    UNKNOWN_SERVER_PROVIDER,
    VERTEX,
    find_server,
)
from cert_otel.pricing._records import price_record

__all__ = [
    "AZURE",
    "BEDROCK",
    "UNKNOWN_SERVER_PROVIDER",
    "VERTEX",
    "ModelRef",
    "TableInfo",
    "check_files",
    "find_host_prices",
    "find_model",
    "find_price_id",
    "find_server",
    "price_call",
    "price_record",
    "table_info",
]
