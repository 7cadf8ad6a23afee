"""One of several processes that share a contrastive batch; started by test_gather.py.

``python gather_worker.py RANK WORLD FOLDER``: reads nothing, meets the others through a file in FOLDER, and the first
process writes ``CASE.safetensors`` there with the gradients averaged over processes, as DDP and FSDP average them.
"""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.distributed as dist
from contrastive_pairs import objective, pairs
from safetensors.torch import save_file
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

from behavior_prism.encoder.pretraining.contrastive import ContrastiveConfig
from behavior_prism.encoder.pretraining.evaluation import CollapseEvaluator, RetrievalEvaluator
from behavior_prism.encoder.pretraining.gather import bounded, gather_rows
from behavior_prism.encoder.pretraining.parallel import Layout, gathered, parallelize
from behavior_prism.encoder.pretraining.schedules import ScheduleConfig
from behavior_prism.encoder.pretraining.trainer_config import TrainerConfig

CASES = {"whole": None, "chunks": 1, "sharded": None, "sharded_chunks": 1, "sharded_by_trainer": 1}
NUM_PAIRS = 4
GROUPS = (-3, 5, -3, 7)  # texts that say the same lie in both processes


def shard(stage, mesh):
    """With torch alone: layers, then the rest; parameters come back for what runs outside of `forward` too."""
    for tower in (stage.model.vision_encoder.spatial_encoder, stage.model.text_encoder.unimodal_transformer):
        for layer in tower.layers:
            fully_shard(layer, mesh=mesh)
    fully_shard(stage, mesh=mesh)
    for name in stage.forward_methods:
        register_fsdp_forward_method(stage, name)


def evaluate(stage):
    """On all processes, as the trainer does it."""
    batches = [pairs(6, seed=8)]
    with gathered(stage):
        return RetrievalEvaluator(batches, batches)(stage, 0) | CollapseEvaluator(batches)(stage, 0)


def gradients(stage, sharded):
    result = {}
    for name, p in stage.named_parameters():
        if sharded:
            result[name] = p.grad.full_tensor()
        else:
            result[name] = p.grad.clone()
            dist.all_reduce(result[name])
            result[name] /= dist.get_world_size()
    return result


def main() -> None:
    """Run all cases."""
    rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    batch, own = pairs(NUM_PAIRS, keep=3, groups=GROUPS), NUM_PAIRS // world
    mine = {name: value[rank * own : (rank + 1) * own] for name, value in batch.items()}
    mesh = dist.device_mesh.init_device_mesh("cpu", (world,))
    for case, chunk_size in CASES.items():
        stage = objective(ContrastiveConfig(chunk_size=chunk_size))
        if case == "sharded_by_trainer":
            config = TrainerConfig(steps=1, schedule=ScheduleConfig(peak=1e-3, warmup=0))
            parallelize(stage, config, Layout(rank, world, torch.device("cpu")))
            (folder / f"scores_{rank}.json").write_text(json.dumps(evaluate(stage)))
        elif case.startswith("sharded"):
            shard(stage, mesh)
        with gathered(stage) if case == "sharded_by_trainer" else nullcontext():
            metrics = stage.backward(mine)
        result = gradients(stage, case.startswith("sharded"))
        for name, value in metrics.items():
            result[f"metrics.{name}"] = value.detach().clone()
            dist.all_reduce(result[f"metrics.{name}"])
            result[f"metrics.{name}"] /= world
        if rank == 0:
            save_file(result, folder / f"{case}.safetensors")
    for name, slopes in {"up": (-3.0, 1.0), "down": (-1.0, 3.0)}.items():
        x = torch.tensor([2.0], requires_grad=True)
        (slopes[rank] * bounded(x, 1.0)).backward()
        (folder / f"{name}_{rank}.txt").write_text(str(float(x.grad)))
    try:
        gather_rows(torch.zeros(2 + rank, 3))
    except ValueError as error:
        (folder / f"refused_{rank}.txt").write_text(str(error))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
