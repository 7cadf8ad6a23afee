"""Attention: the formula by hand, and every back end against the explicit one."""

from __future__ import annotations

import pytest
import torch

from behavior_prism.encoder import attention
from behavior_prism.encoder.attention import Attention, attend, choose_backend

pytestmark = pytest.mark.torch


@pytest.fixture
def qkv():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, 20, 16, generator=generator) for _ in range(3)]


def paddings(*lengths, of=20):
    return (torch.arange(of) >= torch.tensor(lengths)[:, None]).float()


def by_hand(q, k, v, cap, paddings=None, causal=False):
    """Row by row, as the paper's text says it, in double precision."""
    out = torch.zeros_like(q, dtype=torch.float64)
    for b, h, n in torch.cartesian_prod(*(torch.arange(size) for size in q.shape[:3])).tolist():
        seen = [m for m in range(k.shape[2]) if not (causal and m > n) and (paddings is None or not paddings[b, m])]
        logits = k[b, h, seen].double() @ q[b, h, n].double()
        logits = cap * torch.tanh(logits / cap) if cap else logits
        out[b, h, n] = logits.softmax(0) @ v[b, h, seen].double()
    return out


@pytest.mark.parametrize("backend", ["explicit", "chunked", "flex"])
@pytest.mark.parametrize(("cap", "masked", "causal"), [(50.0, True, False), (0.7, True, True), (0.0, False, True)])
def test_every_back_end_agrees_with_the_formula(qkv, monkeypatch, backend, cap, masked, causal):
    monkeypatch.setattr(attention, "MAX_LOGITS", 4 * 2 * 3 * 20 * 3)  # three queries a block
    pads = paddings(20, 13) if masked else None
    with torch.no_grad():
        ours = attend(*qkv, cap=cap, key_paddings_BM=pads, causal=causal, backend=backend)
    # a cap written with a sigmoid costs up to cap * 2**-23 of a logit, see the module
    assert torch.allclose(ours.double(), by_hand(*qkv, cap, pads, causal), rtol=0, atol=2e-5)


def test_the_cap_stands_before_the_mask(qkv):
    """A cap of 0.01 makes all keys nearly equal; a masked one must still weigh nothing."""
    q, k, v = qkv
    out = attend(q, k, v, cap=0.01, key_paddings_BM=paddings(5, 5))
    assert torch.allclose(out, v[:, :, :5].mean(2, keepdim=True).expand_as(out), atol=0.05)


@pytest.mark.parametrize("cap", [150.0, 1e3, 1e6])
def test_large_caps_are_as_exact(qkv, cap):
    ours = attend(*qkv, cap=cap)
    assert torch.allclose(ours.double(), by_hand(*qkv, cap), rtol=0, atol=5e-5)


def test_half_precision_without_a_cap_does_not_overflow():
    x = torch.full((1, 1, 1, 64), 40.0, dtype=torch.float16)
    keys = torch.cat([x, -x], dim=2)
    assert torch.equal(attend(x, keys, keys, cap=0.0), x)


@pytest.mark.parametrize("backend", ["explicit", "chunked", "flex"])
def test_all_masked_is_an_average_and_never_nan(qkv, backend):
    with torch.no_grad():
        out = attend(*qkv, cap=50.0, key_paddings_BM=torch.ones(2, 20), backend=backend)
    assert torch.allclose(out, qkv[2].mean(2, keepdim=True).expand_as(out), atol=1e-5)


def test_chunked_gradients_are_those_of_explicit(qkv, monkeypatch):
    monkeypatch.setattr(attention, "MAX_LOGITS", 4 * 2 * 3 * 20 * 3)
    gradients = []
    for backend in ("explicit", "chunked"):
        leaves = [t.clone().requires_grad_() for t in qkv]
        attend(
            *leaves, cap=5.0, key_paddings_BM=paddings(20, 7), causal=True, backend=backend
        ).square().sum().backward()
        gradients.append([t.grad for t in leaves])
    for explicit, chunked in zip(*gradients, strict=True):
        assert torch.allclose(explicit, chunked, rtol=1e-4, atol=1e-5)


def test_gradients_are_right():
    generator = torch.Generator().manual_seed(0)
    leaves = [torch.randn(1, 2, 4, 3, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(3)]

    def in_double(q, k, v):  # the logits are brought to float32 by design; their gradients then are good to some 1e-3
        return attend(q, k, v, cap=2.0, causal=True)

    assert torch.autograd.gradcheck(in_double, leaves, eps=1e-3, atol=2e-3, nondet_tol=0)


def test_same_with_and_without_gradients(qkv):
    plain = attend(*qkv, cap=0.5)
    assert torch.equal(plain, attend(qkv[0].requires_grad_(), *qkv[1:], cap=0.5))


def test_chunked_holds_few_logits(monkeypatch):
    """The largest intermediate stays below the bound."""
    monkeypatch.setattr(attention, "MAX_LOGITS", 4000)
    sizes = []
    real = attention._explicit

    def watched(q, k, *rest):
        sizes.append(q.shape[2] * k.shape[2])
        return real(q, k, *rest)

    monkeypatch.setattr(attention, "_explicit", watched)
    x = torch.randn(1, 1, 100, 8)
    assert choose_backend(x, x) == "chunked"
    assert torch.allclose(attend(x, x, x, cap=50.0), real(x, x, x, 50.0, None, False), atol=1e-5)
    assert len(sizes) == 10 and max(sizes) <= 1000


def test_small_and_single_queries_are_explicit():
    x = torch.zeros(1, 2, 8, 16)
    assert choose_backend(x, x) == "explicit"
    many = torch.zeros(1, 1, 1, 1).expand(64, 16, 1, 64)
    keys = torch.zeros(1, 1, 1, 1).expand(64, 16, 2**17, 64)
    assert choose_backend(many, keys) == "explicit"  # one query cannot be cut further


def test_what_cannot_run_is_told(qkv):
    with pytest.raises(ValueError, match=r"one of \['auto', 'explicit', 'chunked', 'flex'\], got 'sdpa'"):
        attend(*qkv, cap=1.0, backend="sdpa")
    with pytest.raises(ValueError, match="no gradients on cpu"):
        attend(qkv[0].requires_grad_(), *qkv[1:], cap=1.0, backend="flex")
    meta = [t.to("meta") for t in qkv]
    with pytest.raises(ValueError, match="not on meta"):
        attend(*meta, cap=1.0, backend="flex")


def test_self_attention_keeps_wanted_tokens():
    module = Attention(24, 4, 50.0)
    x = torch.randn(2, 7, 24)
    assert torch.allclose(module(x, keep=slice(2, 5)), module(x)[:, 2:5], atol=1e-6)
    with pytest.raises(ValueError, match="not causal"):
        Attention(24, 4, 50.0, causal=True)(x, keep=slice(2, 5))
