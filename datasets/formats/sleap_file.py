"""Parts of SLEAP's label files that hold no poses: groups of columns, and lists of JSON (videos, tracks)."""

from __future__ import annotations

import json
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from ..recording import recording_name
from .h5_guard import own_items, read_table


class Columns:
    """A group of columns; a group that is not there has none.

    Parameters
    ----------
    group : h5py.Group or None
        One dataset per column.
    what : str
        Its place, for messages.
    """

    def __init__(self, group: Any, what: str) -> None:
        if group is not None and not hasattr(group, "keys"):
            raise ValueError(f"{what}: expected a group")
        self.items, self.what = {} if group is None else own_items(group), what

    def numbers(self, name: str, kind: Any = np.int64) -> np.ndarray:
        """A column of whole numbers, or of any."""
        if name not in self.items:
            if self.items:
                raise ValueError(f"{self.what}: expected the column {name!r}")
            return np.zeros(0, dtype=kind)
        values = read_table(self.items[name], f"{self.what}/{name}")
        if values.ndim != 1 or values.dtype.kind not in ("iub" if kind is np.int64 else "fiu"):
            raise ValueError(f"{self.what}/{name}: expected a column of numbers")
        return values.astype(kind)

    def texts(self, name: str) -> list[str]:
        """A column of text; none where it is not there."""
        return texts_in(self.items[name], f"{self.what}/{name}") if name in self.items else []

    def metadata(self, count: int) -> list[dict[str, str]]:
        """Keys and values of every row, which stand in three columns."""
        out: list[dict[str, str]] = [{} for _ in range(count)]
        if "meta_owner" in self.items:
            columns = self.numbers("meta_owner").tolist(), self.texts("meta_key"), self.texts("meta_val")
            for owner, key, value in zip(*columns, strict=False):
                if 0 <= owner < count:
                    out[owner][key] = value
        return out


def texts_in(table: Any, what: str) -> list[str]:
    """Cells of a table of text.

    Parameters
    ----------
    table : h5py.Dataset
        Any.
    what : str
        Its place, for messages.

    Returns
    -------
    list of str
    """
    values = np.ravel(read_table(table, what))
    if values.dtype.kind not in "OSU":
        raise ValueError(f"{what}: expected text")
    try:
        return [v.decode() if isinstance(v, bytes) else str(v) for v in values]
    except UnicodeDecodeError:
        raise ValueError(f"{what}: not UTF-8 text") from None


def json_lines(top: dict[str, Any], name: str, path: Path) -> list[Any]:
    """Rows of a table of JSON: videos are dictionaries, tracks are lists of two.

    Parameters
    ----------
    top : dict of str to h5py.Dataset
        What lies in the file.
    name : {"videos_json", "tracks_json"}
        The table.
    path : pathlib.Path
        The file, for messages.

    Returns
    -------
    list of dict or list of list
    """
    out = []
    for text in texts_in(top[name], f"{path}, {name}") if name in top else []:
        out.append(_parsed(text, f"{path}, {name}"))
        if not (isinstance(out[-1], dict) if name == "videos_json" else isinstance(out[-1], list) and len(out[-1]) > 1):
            raise ValueError(f"{path}, {name}: not the JSON that SLEAP writes")
    return out


def _parsed(text: str | bytes, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what}: not JSON ({error})") from None


def recording_of(file: Any, number: int, about: Any) -> str:
    """Name of a video: of its file, of the folder of its pictures, or of where packed frames came from.

    Parameters
    ----------
    file : h5py.File
        The open file.
    number : int
        Which video.
    about : dict
        Its entry in ``videos_json``.

    Returns
    -------
    str
        Empty if nothing tells it.
    """
    for depth in range(4):
        backend = about.get("backend") if isinstance(about.get("backend"), dict) else {}
        name = about.get("filename") or backend.get("filename") or backend.get("filenames") or ""
        if isinstance(name, list):
            return PureWindowsPath(str(name[0])).parent.name if name else ""
        if name != ".":
            return recording_name(PureWindowsPath(str(name)).name) if name else ""
        source = about.get("source_video")
        if not isinstance(source, dict) and not depth:
            group = own_items(own_items(file).get(f"video{number}", {})).get("source_video")
            stored = None if group is None else group["json"][()] if "json" in group else group.attrs.get("json")
            source = None if stored is None else _parsed(stored, f"video{number}/source_video")
        if not isinstance(source, dict):
            return ""
        about = source
    return ""
