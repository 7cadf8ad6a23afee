from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from behavior_prism import encoder
from behavior_prism.encoder import hash_parameters, load_encoder, save_encoder

pytestmark = pytest.mark.torch

# Stored features are filed under this number: if it changes, everybody's random-weights features are made anew.
TINY_SEED_0 = "fc639f6f1a9695b69e233b12650135fb17ea3c13c7e9f957f869942e892c9e6e"


@pytest.fixture(scope="module")
def tiny():
    return load_encoder("tiny", device="cpu")


def test_random_tiny_is_ready_and_says_what_it_is(tiny):
    assert (tiny.name, tiny.trained, tiny.num_frames, tiny.image_size) == ("tiny", False, 8, (96, 96))
    assert "random, untrained weights (seed 0)" in tiny.notice
    assert "\n" not in tiny.notice + tiny.describe()
    for word in ("tiny", "untrained", "4.1 M", "8 x 96x96", "cpu float32", tiny.weights_id[:12]):
        assert word in tiny.describe()
    assert not tiny.model.training
    assert not any(p.requires_grad for p in tiny.model.parameters())
    assert tiny.model(torch.rand(1, 8, 96, 96, 3)).shape == (1, 8, 64, 192)


def test_random_weights_never_change(tiny):
    assert tiny.weights_id == TINY_SEED_0
    assert load_encoder("videoprism-tiny", device="cpu").weights_id == TINY_SEED_0


@pytest.mark.parametrize(("threads", "instructions"), [("1", "default"), ("2", "avx2")])
def test_random_weights_depend_on_neither_threads_nor_processor(threads, instructions):
    code = "from behavior_prism.encoder import load_encoder; print(load_encoder('tiny', device='cpu').weights_id)"
    env = os.environ | {"OMP_NUM_THREADS": threads, "ATEN_CPU_CAPABILITY": instructions}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == TINY_SEED_0


def test_loading_leaves_the_global_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    load_encoder("tiny", device="cpu")
    assert torch.equal(torch.rand(3), expected)


def test_hash_sees_every_parameter_and_the_sizes(small):
    first = hash_parameters(small)
    assert first == hash_parameters(small)
    for name, parameter in small.named_parameters():
        kept = parameter.flatten()[0].clone()
        parameter.view(-1)[0] += 1
        assert hash_parameters(small) != first, name
        parameter.view(-1)[0] = kept
    assert hash_parameters(small) == first
    object.__setattr__(small.config, "atten_logit_cap", 10.0)
    try:
        assert hash_parameters(small) != first
    finally:
        object.__setattr__(small.config, "atten_logit_cap", 50.0)


def test_type_of_parameters_and_id(tiny):
    half = load_encoder("tiny", device="cpu", dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert half.weights_id != tiny.weights_id  # other numbers come out: features must not pass for each other
    with pytest.raises(ValueError, match="dtype: expected a type of floats .*, got torch.int8"):
        load_encoder("tiny", dtype=torch.int8)
    with pytest.raises(ValueError, match="dtype: expected a type of floats .*, got 'bfloat16'"):
        load_encoder("tiny", dtype="bfloat16")
    with pytest.raises(ValueError, match="device: expected one that is here, or 'auto', got 'warp'"):
        load_encoder("tiny", device="warp")
    assert load_encoder("tiny", weights="random", device="cpu").weights_id == tiny.weights_id


def test_untrained_weights_stay_untrained_through_a_file(tiny, tmp_path):
    save_encoder(tmp_path / "a.safetensors", tiny.model, trained=False)
    loaded = load_encoder(tmp_path / "a.safetensors", device="cpu")
    assert not loaded.trained and "random, untrained" in loaded.notice
    assert loaded.weights_id == tiny.weights_id


def test_file_of_a_size_without_a_name(small, tmp_path):
    save_encoder(tmp_path / "mice.safetensors", small, trained=True)
    loaded = load_encoder(tmp_path / "mice.safetensors", device="cpu")
    assert (loaded.name, loaded.num_frames, loaded.image_size, loaded.trained) == ("mice", 4, (24, 24), True)
    with pytest.raises(ValueError, match="expected weights of the size 'tiny'"):
        load_encoder("tiny", weights=tmp_path / "mice.safetensors")


def test_what_cannot_be_loaded_is_told(tmp_path):
    with pytest.raises(ValueError, match="expected one of .*'tiny'.* got 'huge'"):
        load_encoder("huge")
    for name in ("none.npz", "none.safetensors"):
        with pytest.raises(FileNotFoundError, match=name):
            load_encoder(tmp_path / name)
        with pytest.raises(FileNotFoundError, match=name):
            load_encoder("tiny", weights=tmp_path / name)
    with pytest.raises(ValueError, match=r"expected one weights file, got a\.npz and b\.npz"):
        load_encoder("a.npz", weights="b.npz")
    np.savez(tmp_path / "x.npz", a=np.zeros(2))
    with pytest.raises(ValueError, match=r"x\.npz: expected the weights of one of the sizes"):
        load_encoder(tmp_path / "x.npz")


def test_importing_the_room_does_not_load_torch():
    code = "import sys, behavior_prism.encoder as e; dir(e); assert 'torch' not in sys.modules, 'torch was loaded'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there():
    assert set(encoder.__all__) == set(dir(encoder))
    for name in encoder.__all__:
        assert getattr(encoder, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_it"):
        encoder.nothing_like_it  # noqa: B018
