"""Versions and machine, for bug reports; and system libraries that are missing."""

from __future__ import annotations

import ctypes.util
import json
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch", "numpy", "xarray", "zarr", "av", "opencv-python", "opencv-python-headless", "scikit-learn", "umap-learn",
    "matplotlib", "sleap-io", "skops", "napari",
)  # fmt: skip


def collect_info() -> dict[str, str]:
    """What is installed where.

    Returns
    -------
    dict of str to str
        Name and version, in the order to print.

    Examples
    --------
    >>> "python" in collect_info()
    True
    """
    from behavior_prism import __version__

    info = {
        "behavior-prism": __version__,
        "python": sys.version.split()[0],
        "system": platform.platform(),
    }
    for package in PACKAGES:
        try:
            info[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            info[package] = "not installed"
    if "not installed" not in (info["opencv-python"], info["opencv-python-headless"]):
        info["warning"] = "opencv-python and opencv-python-headless overwrite each other: uninstall one of them"
    missing = missing_libraries()
    info["opencv works"] = "yes" if not missing else f"no: missing {', '.join(missing)}"
    if missing:
        info["to mend it"] = "apt-get install libgl1 libglib2.0-0 (or your system's packages of that name)"
    return info


def describe_store(path: str | Path) -> dict[str, Any]:
    """Where a store is from: what it was made of, by what, with which settings, on which machines, when.

    Parameters
    ----------
    path : str or pathlib.Path
        A store of features or predictions, also an unfinished one.

    Returns
    -------
    dict
        JSON-compatible, in the order to print.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is not there, or no store of ours.
    """
    from behavior_prism.analysis import read_attrs
    from behavior_prism.analysis.store import attrs_of

    path = Path(path)
    kind = str(attrs_of(path).get("behavior_prism", "features")) if path.exists() else "features"
    attrs = read_attrs(path, kind)
    out: dict[str, Any] = {"store": str(path), "kind": kind}
    for name, value in attrs.items():
        if name == "behavior_prism":
            continue
        out[name] = _decoded(value)
    return out


def _decoded(value: Any) -> Any:
    """Attributes that hold JSON as text, as what they are."""
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def missing_libraries() -> list[str]:
    """System libraries that OpenCV's ordinary wheel links and a bare server lacks.

    Returns
    -------
    list of str
        Empty where none is missing, or where the headless wheel or another system makes it moot.
    """
    if platform.system() != "Linux":
        return []
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        needed = [name for name in ("GL", "gthread-2.0", "glib-2.0") if ctypes.util.find_library(name) is None]
        return [f"lib{name}" for name in needed] or [str(error)]
    return []
