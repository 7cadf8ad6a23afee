"""Shards of short clips: tar files in webdataset's layout, read at random.

The files of a clip follow one another in a tar and share their name up to the first dot of the last part:
``cage1-00000120.mp4`` and ``cage1-00000120.json``. The json holds ``captions`` (a list, or ``caption``), ``source``,
``fps`` and ``frames``. ``webdataset`` reads these files as they are; here they are read by place in the file instead
of one after the other, so that the order of clips is free and a run can go on anywhere. The places lie in
``NAME.index.json`` beside each tar that :mod:`.shard_writing` made; of other tars they are found by going through the
headers once. Pictures (``.jpg``, ``.png``, ``.webp``; img2dataset writes such tars) are clips of one frame.
"""

from __future__ import annotations

import json
import math
import os
import tarfile
from collections import OrderedDict
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

VIDEO_ENDINGS = ("mp4", "webm", "mkv", "mov", "avi")
PICTURE_ENDINGS = ("jpg", "jpeg", "png", "webp")
MANIFEST = "shards.json"
INDEX_ENDING = ".index.json"
FORMAT = "behavior_prism shards 1"
_OPEN_SHARDS = 32
_MOST = 2**31 - 1  # frames of a clip, and frames per second


@dataclass(frozen=True, eq=False)
class ClipTable:
    """Where the clips of some shards lie; one row per clip, as columns, so that ten million take half a gigabyte.

    Parameters
    ----------
    shard : numpy.ndarray
        In which shard, int32.
    offset, size : numpy.ndarray
        Where its video begins in the tar and how long it is [bytes], int64.
    text_offset, text_size : numpy.ndarray
        The same of what is written about it; size 0 if nothing is.
    frames : numpy.ndarray
        How many it has, int32; 0 if nothing says so.
    fps : numpy.ndarray
        Frames per second, float32; 0 if nothing says so.
    captioned : numpy.ndarray
        Whether it has a caption, bool.
    """

    shard: np.ndarray
    offset: np.ndarray
    size: np.ndarray
    text_offset: np.ndarray
    text_size: np.ndarray
    frames: np.ndarray
    fps: np.ndarray
    captioned: np.ndarray

    def __len__(self) -> int:
        return len(self.shard)

    def take(self, rows: np.ndarray) -> ClipTable:
        """Keep some rows.

        Parameters
        ----------
        rows : numpy.ndarray
            Their numbers, or a mask.

        Returns
        -------
        ClipTable
        """
        return ClipTable(**{column: getattr(self, column)[rows] for column in COLUMNS})


COLUMNS = {
    "shard": np.int32,
    "offset": np.int64,
    "size": np.int64,
    "text_offset": np.int64,
    "text_size": np.int64,
    "frames": np.int32,
    "fps": np.float32,
    "captioned": np.bool_,
}


def find_shards(place: str | Path) -> list[Path]:
    """List the shards of a folder, or take a single one.

    Parameters
    ----------
    place : str or pathlib.Path
        A folder with ``.tar`` files, or one such file.

    Returns
    -------
    list of pathlib.Path
        By name.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is none, or they are still being made.
    """
    place = Path(place)
    if place.is_file() and place.suffix == ".tar":
        return [place]
    if not place.is_dir():
        raise FileNotFoundError(f"{place}: expected a folder of shards or a .tar file, got no such thing")
    manifest = place / MANIFEST
    if manifest.is_file() and not read_json(manifest).get("complete"):
        raise ValueError(f"{place}: these shards are not complete; run `behavior-prism pretrain shards` to its end")
    shards = sorted(p for p in place.glob("*.tar") if not p.name.startswith("."))
    if not shards:
        raise ValueError(f"{place}: expected shards (.tar), got none")
    return shards


def list_clips(shards: list[Path]) -> ClipTable:
    """List the clips of some shards.

    Parameters
    ----------
    shards : list of pathlib.Path
        The ``.tar`` files.

    Returns
    -------
    ClipTable
        By shard and place.

    Raises
    ------
    ValueError
        If a shard is damaged, cut short or holds no clip.
    """
    parts: list[dict[str, np.ndarray]] = []
    for number, path in enumerate(shards):
        index = path.with_name(path.stem + INDEX_ENDING)
        source = index if index.is_file() else path
        columns = read_json(index).get("clips") if source is index else scan_shard(path)
        try:
            given = {c: columns[c] for c in COLUMNS if c != "shard"} if columns else {}
            part: dict[str, np.ndarray] = {c: np.asarray(given[c], COLUMNS[c]) for c in given}
            part["shard"] = np.full(len(part["offset"]), number, np.int32) if part else np.empty(0, np.int32)
            if len({len(column) for column in part.values()}) > 1:
                raise ValueError("columns of one length")
        except (TypeError, KeyError, ValueError, OverflowError) as error:
            raise ValueError(f"{source}: expected the places of clips ({error})") from None
        if not len(part["shard"]):
            raise ValueError(f"{path}: expected clips ({', '.join(VIDEO_ENDINGS)}), got none")
        stop = int(max((part["offset"] + part["size"]).max(), (part["text_offset"] + part["text_size"]).max()))
        if stop > path.stat().st_size:
            raise ValueError(f"{path}: corrupt: expected {stop} bytes or more, got {path.stat().st_size}")
        parts.append(part)
    return ClipTable(**{column: np.concatenate([part[column] for part in parts]) for column in COLUMNS})


def scan_shard(path: Path) -> dict[str, list[Any]]:
    """Go through the headers of a tar.

    Parameters
    ----------
    path : pathlib.Path
        The tar.

    Returns
    -------
    dict of str to list
        The columns of a :class:`ClipTable` without ``shard``.

    Raises
    ------
    ValueError
        If it is damaged, or what is written about a clip is.
    """
    _refuse_cut_short(path)
    samples: dict[str, dict[str, Any]] = {}
    empty = {column: 0 for column in COLUMNS if column != "shard"} | {"captioned": False}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                key, ending = split_name(member.name)
                row = samples.setdefault(key, dict(empty))
                if ending in VIDEO_ENDINGS + PICTURE_ENDINGS:
                    row |= {"offset": member.offset_data, "size": member.size}
                    row["frames"] = 1 if ending in PICTURE_ENDINGS else row["frames"]
                elif ending in ("json", "txt"):
                    file = tar.extractfile(member)
                    assert file is not None
                    captions, facts = read_text(file.read(), f"{path}: {member.name}")
                    if captions or not row["text_size"]:
                        row |= {"text_offset": member.offset_data, "text_size": member.size}
                        row["captioned"] = bool(captions)
                    row["frames"] = row["frames"] or int(_number(facts, "frames", f"{path}: {member.name}"))
                    row["fps"] = row["fps"] or _number(facts, "fps", f"{path}: {member.name}")
    except (tarfile.TarError, TypeError) as error:
        raise ValueError(f"{path}: corrupt: expected a tar file ({error})") from None
    rows = [row for row in samples.values() if row["size"]]
    return {column: [row[column] for row in rows] for column in empty}


def _number(facts: dict[str, Any], name: str, what: str) -> float:
    """A number of frames, or of frames per second; 0 if nothing says so."""
    try:
        value = float(facts.get(name) or 0)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not 0 <= value <= _MOST:
        raise ValueError(f"{what}: corrupt: expected {name} to be a number from 0 on, got {facts[name]!r}")
    return value


def _refuse_cut_short(path: Path) -> None:
    """A tar ends with two blocks of zeros; ``tarfile`` takes one that was cut between two files for a whole one."""
    end = 2 * tarfile.BLOCKSIZE
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - end))
        if file.read(end) != bytes(end):
            raise ValueError(f"{path}: corrupt: expected the end of a tar file, got something else or part of one")


def read_text(content: bytes, what: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Read what is written about a clip: json, or a text that is its caption.

    Parameters
    ----------
    content : bytes
        The file.
    what : str
        Names it in errors.

    Returns
    -------
    captions : tuple of str
        Those that there are.
    facts : dict
        What else the json says.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    try:
        text = content.decode()
        if not text.lstrip().startswith("{"):
            return ((text.strip(),) if text.strip() else ()), {}
        facts = json.loads(text)
        captions = facts.get("captions") or facts.get("caption") or []
        captions = (captions,) if isinstance(captions, str) else tuple(captions)
        if not all(isinstance(caption, str) for caption in captions):
            raise ValueError("captions are texts")
        captions = tuple(caption.strip() for caption in captions if caption.strip())
    except (ValueError, TypeError) as error:
        raise ValueError(f"{what}: corrupt: expected captions, fps and frames ({error})") from None
    return captions, facts


def split_name(name: str) -> tuple[str, str]:
    """Split a member's name as webdataset does: at the first dot of its last part.

    Parameters
    ----------
    name : str
        In the tar.

    Returns
    -------
    (str, str)
        Key and ending, the latter in lower case.

    Examples
    --------
    >>> split_name("a.b/cage1.left.mp4")
    ('a.b/cage1', 'left.mp4')
    """
    folder, slash, last = name.rpartition("/")
    stem, _, ending = last.partition(".")
    return f"{folder}{slash}{stem}", ending.lower()


def read_json(path: Path) -> dict[str, Any]:
    """Read a json file that holds an object.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If it does not.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON ({error})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(found).__name__}")
    return found


class ShardFiles:
    """The bytes of shards; files stay open between reads and are opened afresh in every process.

    Parameters
    ----------
    paths : list of pathlib.Path
        The shards.
    """

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self._open: OrderedDict[int, Any] = OrderedDict()
        self._process = os.getpid()

    def read(self, shard: int, offset: int, size: int) -> bytes:
        """Read a part.

        Parameters
        ----------
        shard : int
            Of which file.
        offset, size : int
            Which bytes.

        Returns
        -------
        bytes

        Raises
        ------
        ValueError
            If the file has become shorter.
        """
        if self._process != os.getpid():  # a forked child would share, and move, its parent's place in the file
            self._open, self._process = OrderedDict(), os.getpid()
        file = self._open.pop(shard, None) or self.paths[shard].open("rb")
        self._open[shard] = file
        if len(self._open) > _OPEN_SHARDS:
            self._open.popitem(last=False)[1].close()
        file.seek(offset)
        content: bytes = file.read(size)
        if len(content) != size:
            raise ValueError(f"{self.paths[shard]}: cut short: expected {size} bytes at {offset}, got {len(content)}")
        return content

    def member_name(self, shard: int, offset: int) -> str:
        """What the tar calls the file that begins there.

        Parameters
        ----------
        shard, offset : int
            As in :meth:`read`.

        Returns
        -------
        str
        """
        header = self.read(shard, offset - tarfile.BLOCKSIZE, 100)
        return header.split(b"\0")[0].decode(errors="replace")

    def __getstate__(self) -> dict[str, Any]:
        return {"paths": self.paths}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["paths"])  # type: ignore[misc]


def decode_frames(content: bytes, wanted: np.ndarray, what: str) -> np.ndarray:
    """Decode some frames of a short video, or a picture, that is in memory.

    Parameters
    ----------
    content : bytes
        A whole file.
    wanted : numpy.ndarray
        Frames, not decreasing, shape (T,).
    what : str
        Names the clip in errors.

    Returns
    -------
    numpy.ndarray
        uint8 RGB, shape (T, height, width, 3).

    Raises
    ------
    ValueError
        If it is damaged or has fewer frames.
    """
    kept: dict[int, np.ndarray] = {}
    needed, last = set(wanted.tolist()), int(wanted[-1])
    count = 0
    try:
        with av.open(BytesIO(content), "r") as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"  # many workers, one clip each
            stream.codec_context.options = {"err_detect": "explode"}
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise ValueError(f"{what}: frame {count} cannot be decoded")
                if count in needed:
                    kept[count] = frame.to_ndarray(format="rgb24")
                count += 1
                if count > last:
                    break
    except (av.error.FFmpegError, IndexError) as error:
        raise ValueError(f"{what}: cannot be decoded ({' '.join(str(error).split())})") from None
    if count <= last:
        raise ValueError(f"{what}: expected at least {last + 1} frames, got {count}")
    return np.stack([kept[frame] for frame in wanted.tolist()])
