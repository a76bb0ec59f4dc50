"""Matrix products, each by the fastest exact routine of its device.

In float32, torch multiplies by MKL, which leaves AVX-512 unused on processors that are not
Intel's: oneDNN, which torch carries as well, was measured 2.1 to 2.3 times as fast on an AMD
EPYC, with the same rounding error (docs/scoring.md).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

_HALF: Final = frozenset({torch.bfloat16, torch.float16})


def multiply(rows: Tensor, weight: Tensor) -> Tensor:
    """Return rows @ weight.T accumulated and returned in float32, or float64 for that.

    Args:
        rows: [n, width].
        weight: [m, width], on the same device; half precision or not.

    Returns:
        A new tensor [n, m].
    """
    if rows.is_cuda and rows.dtype in _HALF:
        return torch.mm(rows, weight.t(), out_dtype=torch.float32)
    dtype = torch.float64 if rows.dtype == torch.float64 else torch.float32
    rows, weight = rows.to(dtype), weight.to(dtype)
    if is_onednn_faster() and _is_plain(rows, weight):
        return _multiply_onednn(rows, weight, None)
    return functional.linear(rows, weight)


class FastLinear(TorchFunctionMode):
    """Within this context, float32 layers on the CPU run by oneDNN; the model stays untouched."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Pass every call of torch on, but for `linear`."""
        if func is functional.linear and not kwargs and _is_plain(args[0], args[1]):
            return _multiply_onednn(args[0], args[1], args[2] if len(args) > 2 else None)  # noqa: PLR2004 - the optional bias
        return func(*args, **(kwargs or {}))


@cache
def is_onednn_faster() -> bool:
    """Tell whether this processor has AVX-512, and torch the routine."""
    has_routine = hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return bool(has_routine and torch.cpu.get_capabilities().get("avx512_f", False))


def _multiply_onednn(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")  # noqa: SLF001 - torch has no public name for it; is_onednn_faster asks for it
    return product


def _is_plain(rows: Tensor, weight: Tensor) -> bool:
    return (
        rows.dtype == weight.dtype == torch.float32
        and rows.device.type == weight.device.type == "cpu"
        and rows.numel() > 0
        and weight.is_contiguous()
        and not torch.is_grad_enabled()
    )
