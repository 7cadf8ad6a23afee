"""Gradient caching against autograd on the whole batch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from behavior_prism.encoder.pretraining.gradient_cache import cached_backward, num_samples, split_batch

pytestmark = pytest.mark.torch


class Towers(nn.Module):
    """Two small towers and a learned temperature, in double precision."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 8))
        self.b = nn.Sequential(nn.Linear(3, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 8))
        self.log_scale = nn.Parameter(torch.tensor([1.3]))
        self.double()

    def embed(self, batch):
        return nn.functional.normalize(self.a(batch["a"])), nn.functional.normalize(self.b(batch["b"]))

    def loss_of(self, a, b):
        logits = self.log_scale.exp() * (a @ b.T)
        own = torch.arange(len(a))
        return (nn.functional.cross_entropy(logits, own) + nn.functional.cross_entropy(logits.T, own)) / 2, logits.shape


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    return {
        "a": torch.randn(11, 5, generator=generator).double(),
        "b": torch.randn(11, 3, generator=generator).double(),
    }


@pytest.mark.parametrize("chunk_size", [1, 4, 11, 50])
def test_equals_autograd_in_double_precision(batch, chunk_size):
    whole, cached = Towers(), Towers()
    loss, _ = whole.loss_of(*whole.embed(batch))
    (0.25 * loss).backward()
    got, shape = cached_backward(cached.embed, cached.loss_of, batch, chunk_size, 0.25)
    assert shape == (11, 11) and not got.requires_grad
    assert abs(float(got - loss.detach())) < 1e-12
    for (name, p), q in zip(whole.named_parameters(), cached.parameters(), strict=True):
        assert p.grad.abs().max() > 1e-4, name
        assert (p.grad - q.grad).abs().max() < 1e-12, name


def test_adds_to_gradients_that_are_there(batch):
    once, twice = Towers(), Towers()
    cached_backward(once.embed, once.loss_of, batch, 4)
    for _ in range(2):
        cached_backward(twice.embed, twice.loss_of, batch, 4, 0.5)
    for p, q in zip(once.parameters(), twice.parameters(), strict=True):
        assert torch.allclose(p.grad, q.grad, atol=1e-14)


def test_never_more_than_a_chunk_with_a_graph(batch):
    model, seen = Towers(), []

    def embed(chunk):
        seen.append((len(chunk["a"]), torch.is_grad_enabled()))
        return model.embed(chunk)

    cached_backward(embed, model.loss_of, batch, 4)
    assert seen == [(4, False), (4, False), (3, False), (4, True), (4, True), (3, True)]


def test_under_autocast_gradients_are_not_lost(batch):
    """Autocast remembers the copies of weights made without a graph; the second pass must not get them."""
    whole, cached = Towers().float(), Towers().float()
    batch = {name: value.float() for name, value in batch.items()}
    with torch.autocast("cpu", torch.bfloat16):
        whole.loss_of(*whole.embed(batch))[0].backward()
        cached_backward(cached.embed, cached.loss_of, batch, 4)
    for (name, p), q in zip(whole.named_parameters(), cached.named_parameters(), strict=True):
        grad = q[1].grad
        assert grad is not None, name
        assert (p.grad - grad).norm() < 0.05 * p.grad.norm(), name


def test_an_embedding_without_influence_has_no_gradient(batch):
    model = Towers()
    cached_backward(model.embed, lambda a, b: (a.sum(), None), batch, 4)
    assert all(not p.grad.any() for p in model.b.parameters())


def test_chunks_are_views(batch):
    chunks = split_batch(batch, 4)
    assert [len(chunk["b"]) for chunk in chunks] == [4, 4, 3]
    assert chunks[1]["a"].data_ptr() == batch["a"][4:].data_ptr()


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({}, "at least 1, got {}"),
        ({"a": torch.zeros(2, 1), "b": torch.zeros(3)}, "got {'a': 2, 'b': 3}"),
        ({"a": torch.zeros(0, 1)}, "at least 1, got {'a': 0}"),
        ({"a": torch.tensor(3.0)}, "at least 1, got {'a': 0}"),
    ],
)
def test_bad_batches_are_one_clear_line(batch, message):
    with pytest.raises(ValueError) as error:
        num_samples(batch)
    assert message in str(error.value)


def test_empty_chunks_are_refused(batch):
    with pytest.raises(ValueError, match="chunk_size: expected at least 1 sample, got 0"):
        split_batch(batch, 0)
