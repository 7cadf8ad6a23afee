"""Options of ``extract`` and ``show`` that are more than a word or a number, and errors that name options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from behavior_prism.datasets import CropSpec

# what options are called in Python, where errors about them come from
_OPTION_OF = {
    "rate and step": "--rate and --step",
    "individual_source": "--source",
    "clip_stride": "--clip-stride",
    "max_undecodable": "--max-undecodable",
    "crops: size": "--crop",
    "crops: smooth": "--smooth",
    "overwrite and part": "--overwrite and --shard",
    "parts": "--slurm-parts",
    **{name: f"--{name}" for name in ("length", "step", "stride", "rate", "grid", "batch", "device", "cluster", "fps")},
    **{
        name: f"--slurm-{name.replace('_', '-')}"
        for name in ("jobs", "gpus", "cpus", "memory", "time", "partition", "account", "gpu_type", "extra")
    },
}


def with_option_names(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call something whose errors shall name options, not arguments.

    Parameters
    ----------
    call : callable
        What.
    *arguments, **named
        Its arguments.

    Returns
    -------
    object
        What it returns.

    Raises
    ------
    ValueError
        The one it raises, in other words.
    """
    try:
        return call(*arguments, **named)
    except ValueError as error:
        raise ValueError(_with_options(str(error))) from None


def _with_options(text: str) -> str:
    for name, option in _OPTION_OF.items():
        if text.startswith(f"{name}:"):
            return option + text.removeprefix(name)
    return text


def named_option(option: str, parse: Callable[[str], Any], text: str) -> Any:
    """Read a text whose errors shall begin with the option.

    Parameters
    ----------
    option : str
        As it is typed.
    parse : callable
        Reads it.
    text : str
        What was given.

    Returns
    -------
    object
        What ``parse`` returns.

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from None


def refuse_together(*groups: Mapping[str, Any]) -> None:
    """Raise if two of a group were given.

    Parameters
    ----------
    *groups : mapping of str to object
        Options and what was given; what is false was not.

    Raises
    ------
    ValueError
        If more than one was.
    """
    for group in groups:
        given = [name for name, value in group.items() if value]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)}: expected one of them, got {len(given)}")


def parse_grid(text: str) -> tuple[int, int]:
    """Read ``4x4``.

    Parameters
    ----------
    text : str
        Rows and columns.

    Returns
    -------
    (int, int)

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        rows, cols = (int(n) for n in text.lower().split("x"))
    except ValueError:
        raise ValueError(f"--grid: expected ROWSxCOLS such as 4x4, got {text!r}") from None
    return rows, cols


def parse_batch(text: str) -> tuple[int, int]:
    """Read ``16,4``.

    Parameters
    ----------
    text : str
        Frames and windows at once.

    Returns
    -------
    (int, int)

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        frames, windows = (int(n) for n in text.split(","))
    except ValueError:
        raise ValueError(f"--batch: expected FRAMES,WINDOWS such as 16,4, got {text!r}") from None
    return frames, windows


def parse_frames(text: str | None) -> tuple[int, int] | None:
    """Read ``0:300``.

    Parameters
    ----------
    text : str or None
        An interval, half-open.

    Returns
    -------
    (int, int) or None

    Raises
    ------
    ValueError
        If it is none.
    """
    if text is None:
        return None
    try:
        start, stop = (int(n) for n in text.split(":"))
    except ValueError:
        raise ValueError(f"--frames: expected START:STOP such as 0:300, got {text!r}") from None
    if start < 0 or stop <= start:
        raise ValueError(f"--frames: expected START:STOP with 0 <= START < STOP, got {text!r}")
    return start, stop


def parse_regions(texts: Sequence[str], arena: Path | None) -> dict[str, tuple[int, int, int, int]]:
    """Read regions, or the zones of a file.

    Parameters
    ----------
    texts : sequence of str
        ``NAME=X,Y,WIDTH,HEIGHT``.
    arena : pathlib.Path or None
        A file of zones, in place of texts.

    Returns
    -------
    dict of str to (int, int, int, int)
        Left, top, width and height in pixels.

    Raises
    ------
    ValueError
        If a text cannot be read, or a name stands twice.
    """
    if arena is not None:
        from .datasets import load_arena

        return load_arena(arena).regions()
    regions: dict[str, tuple[int, int, int, int]] = {}
    for text in texts:
        name, _, numbers = text.rpartition("=")
        try:
            x, y, w, h = (int(n) for n in numbers.split(","))
        except ValueError:
            raise ValueError(
                f"--region: expected NAME=X,Y,WIDTH,HEIGHT such as well1=0,0,200,200, got {text!r}"
            ) from None
        name = name or f"region{len(regions) + 1}"
        if name in regions:
            raise ValueError(f"--region: expected every name once, got {name!r} twice")
        regions[name] = (x, y, w, h)
    return regions


def parse_crops(
    crop: float | None, pixels: float | None, body: str | None, up: str | None, smooth: float
) -> CropSpec | None:
    """Read how crops are cut.

    Parameters
    ----------
    crop, pixels : float or None
        Side, in body lengths or in pixels.
    body, up : str or None
        ``TAIL,HEAD``.
    smooth : float
        Seconds.

    Returns
    -------
    CropSpec or None
        None if no side was given.

    Raises
    ------
    ValueError
        If something is out of range, or a side is missing.
    """
    from .datasets import CropSpec

    size = crop if pixels is None else pixels
    if size is None:
        if body is not None or up is not None or smooth:
            raise ValueError("--body, --up and --smooth: expected --crop or --crop-pixels, got neither")
        return None
    unit = "body_lengths" if pixels is None else "pixels"
    return with_option_names(
        CropSpec, size=size, unit=unit, body=parse_pair("--body", body), up=parse_pair("--up", up), smooth=smooth
    )


def parse_pair(option: str, text: str | None) -> tuple[str, str] | None:
    """Read ``TAIL,HEAD``.

    Parameters
    ----------
    option : str
        As it is typed.
    text : str or None
        Two key points.

    Returns
    -------
    (str, str) or None

    Raises
    ------
    ValueError
        If it is none.
    """
    if text is None:
        return None
    names = [n.strip() for n in text.split(",")]
    if len(names) != 2 or not all(names):
        raise ValueError(f"{option}: expected TAIL,HEAD such as tail_base,nose, got {text!r}")
    return names[0], names[1]
