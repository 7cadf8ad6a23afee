"""The recording that a name of a video stands for, as other tools write it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from .label_format import Writing

_VIDEOS = (
    ".3gp", ".avi", ".flv", ".fmf", ".gif", ".h264", ".h265", ".m4v", ".mj2", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg",
    ".mpg", ".mts", ".seq", ".tif", ".tiff", ".ts", ".ufmf", ".webm", ".wmv",
)  # fmt: skip


def video_recording(text: str, recordings: Sequence[str] = ()) -> str:
    r"""Name of the recording of a video.

    Parameters
    ----------
    text : str
        A path, also of Windows, a file's name, or the name of a recording as it is.
    recordings : sequence of str
        Names at hand; one of them that is written out is taken as it stands.

    Returns
    -------
    str
        Without folders and the ending of a video; a dot within a name is no ending.

    Examples
    --------
    >>> video_recording("D:\\data\\Mouse06_Top.seq"), video_recording("mouse.1"), video_recording("mouse.1.mp4")
    ('Mouse06_Top', 'mouse.1', 'mouse.1')
    """
    if text in recordings:
        return text
    name = PurePosixPath(text.strip().replace("\\", "/"))
    return name.stem if name.suffix.lower() in _VIDEOS else name.name


def tell_name(recording: str, writing: Writing, ending: str = ".mp4") -> None:
    """Report the name of a recording that a file cannot hold, because it is read as the path of a video.

    Parameters
    ----------
    recording : str
        What is written.
    writing : Writing
        Whose report is told.
    ending : str
        What follows the name in the file.
    """
    if recording and (read := video_recording(recording + ending)) != recording:
        writing.report.lose(f"the name of the recording {recording!r}, which is read as {read!r}")
