"""The linear layer of the towers, where nearly all of the time goes.

Without gradients, in float32 on a CPU, the product goes to oneDNN, which torch carries with it but does not use there:
MKL, which it does use, leaves some of the speed of processors that are not Intel's lying (an eighth on an AMD EPYC,
see benchmarks/encoder.py). The same numbers but for the order of sums.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Private by name, but what torch.compile itself calls for a frozen model; without it everything works as usual.
_ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


class Linear(nn.Linear):
    """A linear layer of which a part of the outputs can be had alone.

    Parameters
    ----------
    in_features, out_features : int
        Channels in and out. It always has a bias.

    Examples
    --------
    >>> Linear(3, 8).rows(torch.ones(2, 3), slice(0, 5)).shape
    torch.Size([2, 5])
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer.

        Parameters
        ----------
        input : torch.Tensor
            Shape (..., channels in).

        Returns
        -------
        torch.Tensor
            Shape (..., channels out).
        """
        return _product(input, self.weight, self.bias)

    def rows(self, x: Tensor, rows: slice) -> Tensor:
        """Apply the part of the layer that makes these outputs.

        Parameters
        ----------
        x : torch.Tensor
            Shape (..., channels in).
        rows : slice
            Of the outputs.

        Returns
        -------
        torch.Tensor
            Shape (..., outputs of the slice).
        """
        return _product(x, self.weight[rows], self.bias[rows])


def _product(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if _ONEDNN is None or torch.compiler.is_compiling() or not _is_plain(x, weight):
        return F.linear(x, weight, bias)
    return _ONEDNN(x, weight, bias, "none", [], "")


def _is_plain(x: Tensor, weight: Tensor) -> bool:
    """Float32 on a CPU, and nobody asks for gradients (of either kind), another precision, or a trace."""
    in_float32 = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    on_cpu = x.device.type == weight.device.type == "cpu" and x.shape[-1] == weight.shape[1]
    needs_grad = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    in_functorch = torch._C._functorch.peek_interpreter_stack() is not None  # pyright: ignore[reportAttributeAccessIssue]
    transformed = in_functorch or torch.autograd.forward_ad._current_level >= 0
    tracing = torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
    return in_float32 and on_cpu and not (needs_grad or transformed or tracing)
