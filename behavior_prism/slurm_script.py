"""What is asked of SLURM, and the script of an array job that needs nothing but ``sbatch``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .files import atomic_write


@dataclass(frozen=True, kw_only=True)
class SlurmOptions:
    """What one job, which is one worker, gets.

    Parameters
    ----------
    jobs : int
        Workers at the same time.
    gpus, cpus : int
        Of a job. Without GPU it takes the cores.
    memory : str
        As SLURM writes it: ``"32G"``.
    time : str
        Longest time: ``"12:00:00"``.
    partition, account : str
        As the cluster wants them.
    gpu_type : str
        Name in ``--gres=gpu:<type>:1``.
    extra : sequence of str
        More options of ``sbatch``: ``"--qos=long"``.
    setup : sequence of str
        Lines of shell before the work: ``"module load cuda"``.
    logs : str
        Folder for what the jobs print.
    name : str
        Of the job.
    python : str
        Interpreter; by default the running one.

    Raises
    ------
    ValueError
        If an option is no option.
    """

    jobs: int = 4
    gpus: int = 1
    cpus: int = 8
    memory: str = "32G"
    time: str = "12:00:00"
    partition: str = ""
    account: str = ""
    gpu_type: str = ""
    extra: Sequence[str] = ()
    setup: Sequence[str] = ()
    logs: str = "slurm_logs"
    name: str = "behavior-prism"
    python: str = field(default_factory=lambda: sys.executable)

    def __post_init__(self) -> None:
        for key, least in (("jobs", 1), ("gpus", 0), ("cpus", 1)):
            if getattr(self, key) < least:
                raise ValueError(f"{key}: expected a whole number from {least} on, got {getattr(self, key)}")
        for key in ("memory", "time", "partition", "account", "gpu_type", "name", "logs"):
            value = getattr(self, key)
            if any(c.isspace() for c in value) or (not value and key in ("memory", "time", "name", "logs")):
                raise ValueError(f"{key}: expected a word without spaces, got {value!r}")
        for option in self.extra:
            if not option.startswith("-") or "\n" in option:
                raise ValueError(f"extra: expected an option of sbatch such as --qos=long, got {option!r}")

    def directives(self) -> list[str]:
        """What SLURM's own options do not come to by dask-jobqueue.

        Returns
        -------
        list of str
            Options of ``sbatch``.
        """
        gpu = [f"--gres=gpu:{f'{self.gpu_type}:' if self.gpu_type else ''}{self.gpus}"] if self.gpus else []
        return [*gpu, *self.extra]


def slurm_script(command: Sequence[str], parts: int, options: SlurmOptions | None = None) -> str:
    """Script of an array job that shares the recordings of an ``extract`` command.

    Parameters
    ----------
    command : sequence of str
        Arguments of ``behavior-prism``: ``["extract", "study"]``.
    parts : int
        Into how many parts the work is cut; ``options.jobs`` of them run at the same time.
    options : SlurmOptions, optional
        What a job gets.

    Returns
    -------
    str
        For ``sbatch``.

    Raises
    ------
    ValueError
        If there is nothing to do.

    Examples
    --------
    >>> print(slurm_script(["extract", "my study"], 32, SlurmOptions(python="python")).splitlines()[-1])
    exec python -m behavior_prism extract 'my study' --shard "$SLURM_ARRAY_TASK_ID/32"
    """
    options = options or SlurmOptions()
    if parts < 1:
        raise ValueError(f"parts: expected a whole number from 1 on, got {parts}")
    if not command:
        raise ValueError("command: expected the arguments of behavior-prism, got none")
    directives = [
        f"--job-name={options.name}",
        f"--array=1-{parts}%{options.jobs}",
        f"--time={options.time}",
        "--nodes=1",
        "--ntasks=1",
        f"--cpus-per-task={options.cpus}",
        f"--mem={options.memory}",
        *([f"--partition={options.partition}"] if options.partition else []),
        *([f"--account={options.account}"] if options.account else []),
        f"--chdir={Path.cwd()}",  # paths mean there what they mean here
        f"--output={options.logs}/%A_%a.log",
        *options.directives(),
    ]
    return "\n".join(
        [
            "#!/bin/bash",
            *(f"#SBATCH {line}" for line in directives),
            f"# Logs go to {options.logs}, which must be there, else SLURM starts nothing. Submitted again",
            f"# it goes on where it stopped; `sbatch --array=3,7 ...` runs parts 3 and 7 of the {parts} again.",
            "set -euo pipefail",
            *options.setup,
            f"export OMP_NUM_THREADS={options.cpus}",
            f'exec {shlex.quote(options.python)} -m behavior_prism {shlex.join(command)} --shard "'
            f'$SLURM_ARRAY_TASK_ID/{parts}"',
            "",
        ]
    )


def write_slurm_script(
    path: str | Path,
    command: Sequence[str],
    parts: int,
    options: SlurmOptions | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write the script of an array job, and make the folder of its logs.

    Parameters
    ----------
    path : str or pathlib.Path
        The file to make.
    command, parts, options
        As in :func:`slurm_script`.
    overwrite : bool
        Replace what is there.

    Returns
    -------
    pathlib.Path
    """
    path, options = Path(path), options or SlurmOptions()
    text = slurm_script(command, parts, options)
    with atomic_write(path, overwrite=overwrite) as fresh:
        fresh.write_text(text, encoding="utf-8", newline="\n")
    Path(options.logs).mkdir(parents=True, exist_ok=True)  # where sbatch is called; without it SLURM starts nothing
    return path
