"""Linear layers in whole numbers: int8 weights, one scale per output; int8 activations, one scale per token.

A scale per token keeps every token's result independent of what else is in the batch, as features that are extracted
in parts must be. Off by default: what it costs in accuracy shows on trained weights only, see
``behavior-prism weights verify --precision int8``.

Shapes: N tokens, D channels in, E channels out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .linear import Linear
from .transformer import Block

LARGEST = 127.0


class Int8Linear(nn.Module):
    """A linear layer computed in int8; inference only.

    Parameters
    ----------
    linear : torch.nn.Linear
        Whose weights are taken over, rounded.
    """

    weight_int8: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight_ED = linear.weight.detach().float()
        scale_E = weight_ED.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / LARGEST
        self.register_buffer("weight_int8", (weight_ED / scale_E[:, None]).round().to(torch.int8))
        self.register_buffer("scale", scale_E)
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach().clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer.

        Parameters
        ----------
        x : torch.Tensor
            Shape (..., D).

        Returns
        -------
        torch.Tensor
            Shape (..., E), in the dtype of ``x``.
        """
        return self.rows(x, slice(None))

    def rows(self, x: Tensor, rows: slice) -> Tensor:
        """Apply the part of the layer that makes these outputs.

        Parameters
        ----------
        x : torch.Tensor
            Shape (..., D).
        rows : slice
            Of the outputs.

        Returns
        -------
        torch.Tensor
            Shape (..., outputs of the slice).
        """
        x_ND = x.reshape(-1, x.shape[-1]).float()
        scale_N1 = x_ND.abs().amax(dim=1, keepdim=True).clamp_(min=torch.finfo(torch.float32).tiny).div_(LARGEST)
        x_int8 = (x_ND / scale_N1).round_().to(torch.int8)
        # private by name, but what torchao stands on; there is no public product of int8 matrices
        out = torch._int_mm(x_int8, self.weight_int8[rows].t()).float()  # pyright: ignore[reportPrivateImportUsage]
        out = out.mul_(scale_N1).mul_(self.scale[rows])
        if self.bias is not None:
            out = out.add_(self.bias[rows])
        return out.view(*x.shape[:-1], out.shape[-1]).to(x.dtype)


def quantize_layers(model: nn.Module) -> None:
    """Turn the linear layers of all transformer blocks into int8, in place.

    The projection of patches, embeddings and poolers stay as they are: they cost little.

    Parameters
    ----------
    model : torch.nn.Module
        A frozen model of this package, on the CPU.

    Raises
    ------
    ValueError
        If it is not on the CPU, or has gradients.

    Examples
    --------
    >>> from behavior_prism.encoder import load_encoder
    >>> model = load_encoder("tiny", device="cpu").model
    >>> quantize_layers(model)
    >>> model.spatial_encoder.layers[0].ff_layer.ffn_layer1.weight_int8.dtype
    torch.int8
    """
    if any(p.requires_grad for p in model.parameters()):
        raise ValueError("int8: expected a frozen model, got one with gradients")
    if any(p.device.type != "cpu" for p in model.parameters()):
        raise ValueError("int8: expected a model on the cpu; on a GPU bfloat16 is the fast type")
    for block in (m for m in model.modules() if isinstance(m, Block)):
        for module in list(block.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, Linear):
                    setattr(module, name, Int8Linear(child))
