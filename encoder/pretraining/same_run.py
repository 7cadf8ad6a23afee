"""Whether a run that is resumed is the run that is there: same settings, same shapes, same teacher."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from .checkpoint import CheckpointRecord
from .objective import Objective
from .trainer_config import FREE, TrainerConfig


def settings_of(
    config: TrainerConfig,
    objective: Objective,
    lr_scales: Mapping[str, float] | None,
    description: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Collect what must be the same when a run is resumed.

    Parameters
    ----------
    config : TrainerConfig
        All of it counts but :data:`~behavior_prism.encoder.pretraining.trainer_config.FREE`.
    objective : Objective
        Its kind, and names and shapes of what is learned.
    lr_scales : mapping of str to float or None
        By name of parameter.
    description : mapping or None
        What else decides the numbers.

    Returns
    -------
    dict
        As JSON gives it back.

    Raises
    ------
    ValueError
        If the description is not JSON.
    """
    free = set(FREE) - {"accumulate"}  # stands in the settings, and is compared by itself
    shapes = {name: tuple(p.shape) for name, p in objective.named_parameters() if p.requires_grad}
    settings = {
        **{name: value for name, value in dataclasses.asdict(config).items() if name not in free},
        "objective": type(objective).__name__,
        "parameters": hashlib.sha256(json.dumps(shapes, sort_keys=True).encode()).hexdigest()[:16],
        "lr_scales": dict(sorted((lr_scales or {}).items())),
        "description": dict(description or {}),
    }
    try:
        return json.loads(json.dumps(settings, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"description: expected JSON, got something else ({error})") from None


def hash_of_frozen(objective: Objective) -> str:
    """Tell one teacher from another.

    Parameters
    ----------
    objective : Objective
        Before it is split over processes.

    Returns
    -------
    str
        SHA-256 of all that its ``frozen`` names, hex; empty if that is nothing.
    """
    if not objective.frozen:
        return ""
    digest = hashlib.sha256()
    for name, value in sorted(objective.state_dict().items()):
        if name.startswith(objective.frozen):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def refuse_another_run(
    folder: Path, record: CheckpointRecord, settings: dict[str, Any], teacher: str, world: int
) -> None:
    """Raise if a checkpoint is of another run.

    Parameters
    ----------
    folder : pathlib.Path
        Of the run, for the message.
    record : CheckpointRecord
        What the checkpoint says.
    settings : dict
        From :func:`settings_of`.
    teacher : str
        From :func:`hash_of_frozen`.
    world : int
        Processes: with another number of them, batches may be accumulated otherwise.

    Raises
    ------
    ValueError
        If something differs; what, is named.
    """
    old = record.settings
    differ = [f"{name}: {there} there, {now} now" for name, there, now in _differences(old, settings)]
    if record.world == world and old["accumulate"] != settings["accumulate"]:
        differ.append(f"accumulate: {old['accumulate']} there, {settings['accumulate']} now")
    if differ:
        more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
        raise ValueError(
            f"{folder}: expected the settings of the run that is there, got others ({'; '.join(differ[:3])}{more}): "
            "choose another folder, or resume with the settings in its config.json"
        )
    if record.teacher != teacher:
        raise ValueError(
            f"{folder}: expected the teacher of the run that is there ({record.teacher[:12] or 'none'}), got another "
            f"({teacher[:12] or 'none'}): give the weights that the run was started with"
        )


def _differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Places at which two nests of dicts differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if not name and key == "accumulate":
                continue
            yield from _differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield name, old, new
