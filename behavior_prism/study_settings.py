"""``study.toml``: what a study is called, which behaviours it is about, and how its features are made.

People write it; it is made once and only read after that, so that nothing of theirs is lost.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from behavior_prism.datasets import Behavior, CropSpec, Ethogram

SCHEMA = 1
_TOP = {
    "schema": int,
    "name": str,
    "exclusive": list,
    "encoder": dict,
    "defaults": dict,
    "crop": dict,
    "behavior": list,
}
_ENCODER = {"name": str, "weights": str, "int8": bool}
_DEFAULTS = {"length": int, "step": int, "rate": (int, float), "stride": int, "grid": str, "individual_source": str}
_CROP: dict[str, Any] = {f.name: object for f in fields(CropSpec)}
_BEHAVIOR = {f.name: int if f.name == "code" else str for f in fields(Behavior)}
INDIVIDUAL_SOURCES = ("view", "crop", "roi")


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """What ``study.toml`` says.

    Parameters
    ----------
    name : str
        Of the study.
    ethogram : Ethogram
        Behaviours under study.
    encoder : mapping
        ``name``, ``weights`` and ``int8``, as ``behavior-prism extract`` takes them.
    defaults : mapping
        ``length``, ``step`` or ``rate``, ``stride``, ``grid`` (rows, columns), ``individual_source``; only what is set.
    crop : CropSpec, optional
        How animals are cut out; None if the whole view is taken.
    """

    name: str
    ethogram: Ethogram = field(default_factory=Ethogram)
    encoder: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    crop: CropSpec | None = None


def read_settings(path: Path) -> StudySettings:
    """Read a ``study.toml``.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    StudySettings

    Raises
    ------
    ValueError
        If it is not one; file and line are named.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        found = tomllib.loads(text)
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected UTF-8 text, got other bytes") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from None
    schema = found.get("schema")
    if schema != SCHEMA:
        newer = " (made by a newer version)" if isinstance(schema, int) and schema > SCHEMA else ""
        raise ValueError(f"{_at(path, text, 'schema')}: expected schema = {SCHEMA}, got {schema!r}{newer}")
    _check(path, text, found, _TOP, "")
    for section, allowed in (("encoder", _ENCODER), ("defaults", _DEFAULTS), ("crop", _CROP)):
        _check(path, text, found.get(section, {}), allowed, section)
    if not found.get("name", "").strip():
        raise ValueError(f"{_at(path, text, 'name')}: expected the name of the study, got none")
    return StudySettings(
        name=found["name"],
        ethogram=_ethogram(path, text, found),
        encoder={"name": "tiny", "weights": "auto", "int8": False, **found.get("encoder", {})},
        defaults=_defaults(path, text, found.get("defaults", {})),
        crop=_crop(path, text, found["crop"]) if "crop" in found else None,
    )


def _at(path: Path, text: str, key: str, section: str = "", number: int = 0) -> str:
    """File and line of a key; of the ``number``-th table of that name."""
    inside, seen = not section, -1
    for line, content in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", content):
            inside = header[1] == section
            seen += inside
            if inside and seen == number and key == "":
                return f"{path}, line {line}"
        elif (
            inside
            and (not section or seen == number)
            and key
            and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", content)
        ):
            return f"{path}, line {line}"
    return str(path)


def _check(path: Path, text: str, found: Any, allowed: Mapping[str, Any], section: str, number: int = 0) -> None:
    where = f"[{section}] " if section else ""
    for key, value in found.items():
        at = _at(path, text, key, section, number)
        if key not in allowed:
            raise ValueError(f"{at}: {where}expected one of {', '.join(allowed)}, got {key!r}")
        kind = allowed[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind not in (bool, object)):
            name = kind.__name__ if isinstance(kind, type) else "number"
            raise ValueError(f"{at}: {where}{key}: expected a {name}, got {value!r}")


def _ethogram(path: Path, text: str, found: Mapping[str, Any]) -> Ethogram:
    behaviors: list[Behavior] = []
    for number, entry in enumerate(found.get("behavior", [])):
        if not isinstance(entry, dict):
            raise ValueError(f"{_at(path, text, 'behavior')}: expected tables [[behavior]], got {entry!r}")
        _check(path, text, entry, _BEHAVIOR, "behavior", number)
        at = _at(path, text, "", "behavior", number)
        if "name" not in entry:
            raise ValueError(f"{at}: [[behavior]] expected a name, got none")
        try:
            behaviors.append(Behavior(**entry))
            Ethogram(behaviors)  # so that a name that stands twice is told with its line
        except ValueError as error:
            raise ValueError(f"{at}: {error}") from None
    exclusive = found.get("exclusive", [])
    at = _at(path, text, "exclusive")
    if not all(isinstance(g, list) and all(isinstance(n, str) for n in g) for g in exclusive):
        raise ValueError(f"{at}: expected groups of names such as [['walk', 'rest']], got {exclusive!r}")
    try:
        return Ethogram(behaviors, exclusive)
    except ValueError as error:
        raise ValueError(f"{at}: {error}") from None


def _defaults(path: Path, text: str, found: dict[str, Any]) -> dict[str, Any]:
    def refuse(key: str, expected: str) -> ValueError:
        return ValueError(
            f"{_at(path, text, key, 'defaults')}: [defaults] {key}: expected {expected}, got {found[key]!r}"
        )

    for key in ("length", "step", "stride", "rate"):
        if key in found and not (0 < found[key] < float("inf")):
            raise refuse(key, "a positive number")
    if "rate" in found and "step" in found:
        raise refuse("rate", "a step or a rate, not both")
    if found.get("individual_source", "view") not in INDIVIDUAL_SOURCES:
        raise refuse("individual_source", f"one of {', '.join(INDIVIDUAL_SOURCES)}")
    if "grid" in found:
        sides = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", found["grid"])
        if not sides:
            raise refuse("grid", "rows x columns such as '4x4'")
        return {**found, "grid": (int(sides[1]), int(sides[2]))}
    return found


def _crop(path: Path, text: str, found: dict[str, Any]) -> CropSpec:
    try:
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}
        return CropSpec(**plain)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{_at(path, text, '', 'crop')}: {error}") from None


def settings_text(settings: StudySettings) -> str:
    """A ``study.toml`` that says these settings, with notes for people.

    Parameters
    ----------
    settings : StudySettings
        What it shall say.

    Returns
    -------
    str
    """
    lines = [
        "# A study of behavior_prism. Yours to edit; no command writes to it.",
        f"schema = {SCHEMA}",
        f"name = {_value(settings.name)}",
    ]
    if settings.ethogram.exclusive:
        lines.append(f"exclusive = {_value(settings.ethogram.exclusive)}")
    lines += ["", "[encoder]", *(f"{k} = {_value(v)}" for k, v in settings.encoder.items())]
    lines += ["", "[defaults]  # length, step or rate, stride, grid, individual_source"]
    lines += [f"{k} = {_value('x'.join(map(str, v)) if k == 'grid' else v)}" for k, v in settings.defaults.items()]
    if settings.crop is not None:
        mine = {f.name: getattr(settings.crop, f.name) for f in fields(CropSpec)}
        usual = CropSpec()
        lines += ["", "[crop]  # animals are cut out by their tracks"]
        lines += [f"{k} = {_value(v)}" for k, v in mine.items() if v is not None and v != getattr(usual, k)]
    for behavior in settings.ethogram:
        said = {f.name: getattr(behavior, f.name) for f in fields(Behavior)}
        lines += ["", "[[behavior]]  # id stays when the name changes"]
        lines += [f"{k} = {_value(v)}" for k, v in said.items() if v not in ("", None)]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    escaped = "".join(
        f"\\u{ord(c):04x}" if ord(c) < 32 or ord(c) == 127 else "\\" + c if c in '"\\' else c for c in str(value)
    )
    return f'"{escaped}"'
