"""Arenas on disk: written whole or not at all, and checked when read.

JSON::

    {"format": "behavior_prism.arena", "version": 1, "camera": "top", "frame_size": [480, 640], "mm_per_pixel": 0.5,
     "zones": [{"name": "well1", "rectangle": [0, 0, 320, 240], "well": true},
               {"name": "nest", "polygon": [[10, 10], [60, 10], [10, 60]], "well": false}]}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from behavior_prism.files import atomic_write

from .arenas import Arena, Zone

_FORMAT, _VERSION = "behavior_prism.arena", 1


def save_arena(arena: Arena, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write an arena to a JSON file.

    Parameters
    ----------
    arena : Arena
        What to write.
    path : str or pathlib.Path
        Where.
    overwrite : bool
        Replace a file that exists.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    FileExistsError
        If it is there and ``overwrite`` is not set.
    """
    zones = []
    for zone in arena.zones:
        shape = {"polygon": zone.polygon} if zone.rectangle is None else {"rectangle": zone.rectangle}
        zones.append({"name": zone.name, **shape, "well": zone.well})
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "camera": arena.camera,
        "frame_size": arena.frame_size,
        "mm_per_pixel": arena.mm_per_pixel,
        "zones": zones,
    }
    with atomic_write(path, overwrite=overwrite) as fresh:
        fresh.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return Path(path)


def load_arena(path: str | Path) -> Arena:
    """Read an arena from a JSON file.

    Parameters
    ----------
    path : str or pathlib.Path
        As on top of this module.

    Returns
    -------
    Arena

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing or its content is wrong.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON
        raise ValueError(f"{path}: expected JSON ({error})") from None
    try:
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError(f"expected an arena ('format': {_FORMAT!r}), got something else")
        if content.get("version") != _VERSION:
            raise ValueError(f"expected version {_VERSION} of the format, got {content.get('version')!r}")
        values = _known(content, {"camera", "frame_size", "mm_per_pixel", "zones"}, {"format", "version"}, "arena")
        if "frame_size" not in values:
            raise ValueError("arena: expected 'frame_size', got none")
        zones = [_known(z, {"name", "rectangle", "polygon", "well"}, set(), "zone") for z in _listed_zones(values)]
        return Arena(**{**values, "zones": tuple(Zone(**{"name": "", **zone}) for zone in zones)})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _listed_zones(values: Mapping[str, Any]) -> list[Any]:
    zones = values.get("zones", [])
    if not isinstance(zones, list):
        raise ValueError(f"arena: expected a list of zones, got {type(zones).__name__}")
    return zones


def _known(content: Any, wanted: set[str], beside: set[str], what: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"{what}: expected names with values, got {type(content).__name__}")
    strange = sorted(set(content) - wanted - beside)
    if strange:
        raise ValueError(f"{what}: expected {sorted(wanted)}, got {strange[0]!r}")
    return {name: content[name] for name in content if name in wanted}
