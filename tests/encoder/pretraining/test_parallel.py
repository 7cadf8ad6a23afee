"""How an objective is spread; what many processes do is tested with the trainer and with the golden losses."""

from __future__ import annotations

import pytest
import torch
from toy_objective import ToyObjective

from behavior_prism.encoder import VideoEncoder
from behavior_prism.encoder.pretraining.masked import MaskedObjective
from behavior_prism.encoder.pretraining.objective import to_device
from behavior_prism.encoder.pretraining.parallel import (
    Layout,
    average_gradients,
    find_layout,
    gathered,
    parallelize,
    precision_of,
    square_of_norm,
    whole_state,
)
from behavior_prism.encoder.pretraining.recipes import find_recipe, objective_config
from behavior_prism.encoder.pretraining.trainer_config import TrainerConfig
from behavior_prism.encoder.transformer import Block, Transformer

pytestmark = pytest.mark.torch
ALONE = Layout(0, 1, torch.device("cpu"))


def with_gradients() -> ToyObjective:
    objective = ToyObjective()
    video = torch.randint(0, 255, (2, 2, 8, 8, 3), dtype=torch.uint8)
    objective.backward({"video": video, "level": torch.tensor([0.1, 0.9])})
    return objective


def test_one_process(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    layout = find_layout("cpu")
    assert (layout.rank, layout.world) == (0, 1) and not torch.distributed.is_initialized()
    assert torch.equal(layout.sum(torch.ones(2)), torch.ones(2))


def test_length_of_gradients_is_that_of_torch():
    objective = with_gradients()
    learned = [p for p in objective.parameters() if p.requires_grad]
    square = square_of_norm(learned, ALONE)
    average_gradients(learned, ALONE)
    assert square.dtype == torch.float64
    assert float(square) ** 0.5 == pytest.approx(float(torch.nn.utils.clip_grad_norm_(learned, 1e9)), rel=1e-6)


def test_scalars_of_a_batch_stay_where_they_can_be_read():
    moved = to_device({"video": torch.zeros(2, 3), "run_length": torch.tensor(5)}, torch.device("meta"))
    assert moved["video"].device.type == "meta" and int(moved["run_length"]) == 5


def test_no_gradients_have_no_length():
    assert float(square_of_norm(ToyObjective().parameters(), ALONE)) == 0


@pytest.mark.slow  # importing the compiler takes seconds
def test_decoders_are_checkpointed_and_every_layer_compiled():
    recipe = find_recipe("smoke_masked")
    objective = MaskedObjective(VideoEncoder(recipe.sizes().config), objective_config(recipe))
    names = list(objective.state_dict())
    parallelize(objective, TrainerConfig(steps=1, compile=True, activation_checkpointing=True), ALONE)
    towers = [module for module in objective.modules() if isinstance(module, Transformer)]
    blocks = [module for module in objective.modules() if isinstance(module, Block)]
    assert len(towers) == 6 and all(tower.grad_checkpointing for tower in towers)  # teacher, student, two decoders
    assert len(blocks) >= 6 and all(block._compiled_call_impl is not None for block in blocks)
    assert list(objective.state_dict()) == names  # neither changes names, so checkpoints fit either way


def test_by_default_nothing_is_changed():
    objective = ToyObjective()
    parallelize(objective, TrainerConfig(steps=1), ALONE)
    assert not any(m.grad_checkpointing for m in objective.modules() if isinstance(m, Transformer))
    assert all(m._compiled_call_impl is None for m in objective.modules() if isinstance(m, Block))


def test_precision():
    with precision_of(TrainerConfig(steps=1, precision="bfloat16"), ALONE):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with precision_of(TrainerConfig(steps=1), ALONE):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_the_whole_state_is_a_copy():
    objective = ToyObjective()
    with gathered(objective):
        state = whole_state(objective.learned_model(), ALONE)
    objective.student.temporal_pos_emb.data.fill_(3)
    assert state.keys() == objective.student.state_dict().keys()
    assert not torch.equal(state["temporal_pos_emb"], objective.student.temporal_pos_emb)
    assert whole_state(objective, Layout(1, 1, torch.device("cpu"))) == {}
