"""What a run leaves to be read: its configuration, a line of numbers every few steps, pictures.

::

    run/
        config.json          settings, and for every start: when, from which step, versions, processes
        state.json           how far it is, and whether it is running, finished, interrupted or failed
        metrics.jsonl        one JSON object a line: {"step": 10, "loss": 1.2, ...}; null for what is not finite
        pictures/            step_00000100_masks.png
        tensorboard/         only if asked for

After a resume nothing is in ``metrics.jsonl`` twice: lines behind the step that the run goes on from are dropped, and
so is a last line that was cut off.
"""

from __future__ import annotations

import json
import math
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Literal

import torch
from torch import Tensor

from .png import write_png
from .whole_files import write_whole

State = Literal["running", "finished", "interrupted", "failed"]


class RunLog:
    """Writes a run's folder; on all processes but the first it does nothing.

    Parameters
    ----------
    folder : str or pathlib.Path
        Of the run; made if it is not there.
    active : bool
        Whether this is the process that writes.
    tensorboard : bool
        Also write TensorBoard's files.

    Raises
    ------
    ValueError
        If TensorBoard is wanted and not installed.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with RunLog(folder) as log:
    ...     log.start({"steps": 2}, step=0, world=1)
    ...     log.write(1, {"loss": 0.5})
    >>> read_metrics(folder)
    [{'step': 1, 'loss': 0.5}]
    """

    def __init__(self, folder: str | Path, *, active: bool = True, tensorboard: bool = False) -> None:
        self.folder = Path(folder)
        self._active = active
        self._lines: IO[str] | None = None
        self._board: Any = None
        self._wants_board = tensorboard and active
        if self._wants_board:
            try:
                import torch.utils.tensorboard  # noqa: F401
            except ImportError:
                raise ValueError(
                    "tensorboard: expected the package to be installed, got none: pip install tensorboard"
                ) from None
        if active:
            self.folder.mkdir(parents=True, exist_ok=True)

    def start(self, settings: Mapping[str, Any], *, step: int, world: int) -> None:
        """Write the configuration, and drop lines behind the step to go on from.

        Parameters
        ----------
        settings : mapping
            JSON.
        step : int
            Steps that are done.
        world : int
            Processes.
        """
        if not self._active:
            return
        path = self.folder / "config.json"
        starts = []
        if path.is_file():
            try:
                starts = json.loads(path.read_text(encoding="utf-8"))["starts"]
            except (ValueError, KeyError, TypeError):
                raise ValueError(f"{path}: expected what a trainer writes, got something else") from None
        starts.append({"when": _now(), "step": step, "processes": world, **code_version()})
        write_whole(path, json.dumps({**settings, "starts": starts}, indent=1).encode() + b"\n")
        self._truncate(step)
        self._lines = open(self.folder / "metrics.jsonl", "a", encoding="utf-8")  # noqa: SIM115 (closed in `close`)
        if self._wants_board:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Add a line of numbers.

        Parameters
        ----------
        step : int
            Steps that are done.
        values : mapping of str to float, int or str
            By name.
        """
        if self._lines is None:
            return
        clean = {name: finite_or_none(value) for name, value in values.items()}
        self._lines.write(json.dumps({"step": step, **clean}) + "\n")
        self._lines.flush()
        if self._board is not None:
            for name, value in clean.items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    self._board.add_scalar(name, value, step)
            self._board.flush()

    def state(self, state: State, step: int, steps: int) -> None:
        """Say how the run stands; a run that was killed stays at ``running``, and ``when`` tells.

        Parameters
        ----------
        state : {"running", "finished", "interrupted", "failed"}
            How.
        step, steps : int
            Steps that are done, and of the whole run.
        """
        if self._active:
            values = {"state": state, "step": step, "steps": steps, "when": _now()}
            write_whole(self.folder / "state.json", json.dumps(values).encode() + b"\n")

    def picture(self, step: int, name: str, pixels_HWC: Tensor) -> None:
        """Write a picture.

        Parameters
        ----------
        step : int
            Steps that are done.
        name : str
            What it shows.
        pixels_HWC : torch.Tensor
            uint8, shape (height, width, 3).
        """
        if self._active:
            folder = self.folder / "pictures"
            folder.mkdir(exist_ok=True)
            write_png(folder / f"step_{step:08d}_{name.replace('/', '_')}.png", pixels_HWC)

    def close(self) -> None:
        """Close the files."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None
        if self._board is not None:
            self._board.close()
            self._board = None

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _truncate(self, step: int) -> None:
        path = self.folder / "metrics.jsonl"
        if path.is_file():
            lines = [json.dumps(line) + "\n" for line in read_metrics(self.folder) if line["step"] <= step]
            write_whole(path, "".join(lines).encode())


def read_metrics(folder: str | Path) -> list[dict[str, Any]]:
    """Read the numbers of a run, also while it goes on.

    Parameters
    ----------
    folder : str or pathlib.Path
        Of the run.

    Returns
    -------
    list of dict
        One per line; a last line that is not whole is left out.

    Raises
    ------
    FileNotFoundError
        If the run has no numbers yet.
    ValueError
        If a line before the last is not what a trainer writes.
    """
    path = Path(folder) / "metrics.jsonl"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file: expected the folder of a run")
    lines = path.read_text(encoding="utf-8").split("\n")
    values = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            value = json.loads(line)
            if not isinstance(value, dict) or not isinstance(value.get("step"), int):
                raise ValueError("no step")
        except ValueError as error:
            if number == len(lines):  # cut off: the newline is missing
                break
            raise ValueError(f"{path}, line {number}: expected a JSON object with a step ({error})") from None
        values.append(value)
    return values


def code_version() -> dict[str, Any]:
    """Say which code this is.

    Returns
    -------
    dict
        Versions of the package, of Python and of torch; the commit, where the package is a git checkout, and whether
        files differ from it.
    """
    try:
        package = metadata.version("behavior-prism")
    except metadata.PackageNotFoundError:
        package = "not installed"
    tracked = _git("ls-files", Path(__file__).name)  # else it is the commit of what the package is installed in
    commit = _git("rev-parse", "HEAD") if tracked else None
    return {
        "behavior_prism": package,
        "commit": commit,
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")) if commit else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def finite_or_none(value: Any) -> Any:
    """Replace a number that JSON does not have.

    Parameters
    ----------
    value : object
        Anything JSON, or a float that is not finite.

    Returns
    -------
    object
        None for a float that is not finite.

    Examples
    --------
    >>> finite_or_none(float("nan")) is None, finite_or_none(0.5)
    (True, 0.5)
    """
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).resolve().parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
