"""Where features come from: what made them, on what machine, when; and the way out to netCDF."""

from __future__ import annotations

import datetime as dt
import json
import platform
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from behavior_prism.files import atomic_write
from behavior_prism.schemas import log_operation

from .store import open_features

if TYPE_CHECKING:
    from .extraction_plan import ExtractionPlan


def now() -> str:
    """The time, in UTC, to the second.

    Returns
    -------
    str
        ISO 8601.
    """
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def describe_machine(device: Any = "cpu") -> dict[str, Any]:
    """What decides the last bits of a result, and how long it took; no names of users or hosts.

    Parameters
    ----------
    device : torch.device or str
        What computes.

    Returns
    -------
    dict
        JSON-compatible.
    """
    import torch

    device = torch.device(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "device": device.type,
        "device_name": name,
        "threads": torch.get_num_threads(),
    }


def describe_extraction(plan: ExtractionPlan) -> dict[str, Any]:
    """Attributes of a new store that do not enter its key.

    Parameters
    ----------
    plan : ExtractionPlan
        What is computed.

    Returns
    -------
    dict
        JSON-compatible.
    """
    import torch

    import behavior_prism

    encoder, recording = plan.encoder, plan.recording
    attrs = {
        "recording": recording.name,
        "video": str(recording.video.path.resolve()),
        "fps": recording.video.fps,
        "individual_source": plan.individuals.source,
        "encoder_trained": int(encoder.trained),
        "encoder_notice": encoder.notice,
        "encoder_dtype": str(encoder.dtype).removeprefix("torch."),
        "behavior_prism_version": behavior_prism.__version__,
        "torch_version": str(torch.__version__),
        "machines": json.dumps([describe_machine(encoder.device)]),
        "started": now(),
    }
    return log_operation(attrs, "extract_features", encoder=encoder.name, weights=encoder.weights_id[:12])


def export_netcdf(store: str | Path | xr.Dataset, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write features as one netCDF-4 file, which every tool of science reads.

    Parameters
    ----------
    store : str, pathlib.Path or xarray.Dataset
        A feature store, or a part of one that was opened.
    path : str or pathlib.Path
        The file to make.
    overwrite : bool
        Replace what is there.

    Returns
    -------
    pathlib.Path
        The file. netCDF has no half precision (features become float32, the same numbers) and no truth values (they
        become 0 and 1).

    Raises
    ------
    FileNotFoundError, ValueError, FileExistsError
        If there is no such store, or something is at ``path``.

    Examples
    --------
    >>> export_netcdf("a.features.zarr", "a.nc")  # doctest: +SKIP
    """
    dataset = store if isinstance(store, xr.Dataset) else open_features(store)
    dataset = dataset.drop_encoding()
    encoding: dict[str, Any] = {}
    for name, array in dataset.variables.items():
        if array.dtype == "float16":
            dataset[name] = array.astype("float32")
            frames = max(1, min(array.shape[1], (1 << 22) // max(1, 4 * array[0, :1].size)))
            encoding[str(name)] = {"zlib": True, "complevel": 1, "chunksizes": (1, frames, *array.shape[2:])}
        elif array.dtype == bool:
            dataset[name] = array.astype("int8")
    path = Path(path)
    with atomic_write(path, overwrite=overwrite) as fresh, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        dataset.to_netcdf(fresh, engine="h5netcdf", encoding=encoding)
    return path
