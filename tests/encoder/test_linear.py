"""The product by oneDNN is the product."""

from __future__ import annotations

import pytest
import torch

from behavior_prism.encoder import linear
from behavior_prism.encoder.linear import Linear

pytestmark = pytest.mark.torch


@pytest.fixture
def calls(monkeypatch):
    """How often oneDNN was asked."""
    if linear._ONEDNN is None:
        pytest.skip("torch comes without oneDNN here")
    seen, real = [], linear._ONEDNN

    def watched(*args):
        seen.append(1)
        return real(*args)

    monkeypatch.setattr(linear, "_ONEDNN", watched)
    return seen


@pytest.mark.parametrize("shape", [(1, 24), (7, 24), (2, 3, 24), (2, 3, 5, 24)])
def test_same_as_torch(calls, shape):
    layer, x = Linear(24, 36), torch.randn(shape)
    with torch.no_grad():
        expected = torch.nn.functional.linear(x, layer.weight, layer.bias)
        assert torch.allclose(layer(x), expected, atol=1e-5)
        assert torch.allclose(layer.rows(x, slice(5, 30)), expected[..., 5:30], atol=1e-5)
        strided = torch.randn(24, 8).T[::2]
        assert torch.allclose(layer(strided), torch.nn.functional.linear(strided, layer.weight, layer.bias), atol=1e-5)
    assert len(calls) == 3


def test_only_where_it_is_the_same_thing(calls):
    layer, x = Linear(24, 36), torch.randn(2, 24)
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    layer.requires_grad_(False)
    x.requires_grad_(True)
    layer(x).sum().backward()
    assert x.grad is not None
    with torch.no_grad():
        assert layer.to(torch.bfloat16)(x.bfloat16()).dtype == torch.bfloat16
        with torch.autocast("cpu", torch.bfloat16):
            assert layer.float()(x).dtype == torch.bfloat16
    assert calls == []
    layer(x.detach())  # frozen weights and an input without gradients: nothing to keep
    assert len(calls) == 1


def test_other_derivatives_and_errors_are_torchs_own():
    layer, x, tangent = Linear(4, 6).requires_grad_(False), torch.randn(3, 4), torch.randn(3, 4)
    _, ours = torch.func.jvp(layer, (x,), (tangent,))
    assert torch.allclose(ours, tangent @ layer.weight.T, atol=1e-6)
    with pytest.raises(RuntimeError, match="3x5 and 4x6"):
        layer(torch.randn(3, 5))
    assert layer.to("meta")(x.to("meta")).shape == (3, 6)
    assert torch.jit.trace(Linear(4, 6).requires_grad_(False), x)(x).shape == (3, 6)
