"""Released weights: where they are, how they come here, and that they stay the same.

The official checkpoints lie on the Hugging Face Hub as Flax ``.npz`` files; the tokenizer of the video-text models is
T5's. Files are kept in one folder, looked up there first, and checked: the size against what the model's parameters
need, the SHA-256 against what it was at the first fetch.

Source of names: google-deepmind/videoprism (README and ``models.py``); pinned revisions: embeddings-benchmark/mteb.
"""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import json
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from .checkpoints import build
from .config import preset
from .tokenizer import FILE_NAMES, Tokenizer, find_tokenizer
from .weights_file import open_weights

TOKENIZER_URL = "https://storage.googleapis.com/t5-data/vocabs/cc_en.32000/sentencepiece.model"
LOCK_ENDING = ".lock.json"  # what was met at the first fetch lies beside each file under this ending


@dataclass(frozen=True, slots=True)
class Release:
    """Weights that can be fetched.

    Parameters
    ----------
    repo : str
        Repository on the Hub, ``owner/name``.
    file : str
        Weights file in it.
    revision : str
        Commit where known, else a branch; the commit met at the first fetch is kept from then on.
    size : str or None
        Name of the model's size, where known.
    tokenizer_url : str or None
        Where the tokenizer lies, if not in the repository.
    """

    repo: str
    file: str
    revision: str = "main"
    size: str | None = None
    tokenizer_url: str | None = None

    @property
    def key(self) -> str:
        """Where the file is kept, below the folder of all weights."""
        usual = self.revision in ("main", TRANSFORMERS_REVISIONS.get(self.repo))
        return f"{self.repo}/{self.file}" if usual else f"{self.repo}@{self.revision}/{self.file}"

    @property
    def url(self) -> str:
        """Address of the file, for people."""
        return f"https://huggingface.co/{self.repo}/resolve/{self.revision}/{self.file}"


RELEASES = {
    "base": Release("google/videoprism-base-f16r288", "flax_base_f16r288_repeated.npz", size="base"),
    "large": Release("google/videoprism-large-f8r288", "flax_large_f8r288_repeated.npz", size="large"),
    "lvt-base": Release(
        "google/videoprism-lvt-base-f16r288",
        "flax_lvt_base_f16r288_repeated.npz",
        size="lvt-base",
        tokenizer_url=TOKENIZER_URL,
    ),
    "lvt-large": Release(
        "google/videoprism-lvt-large-f8r288",
        "flax_lvt_large_f8r288_repeated.npz",
        size="lvt-large",
        tokenizer_url=TOKENIZER_URL,
    ),
}
# Commits of these repositories that hold weights in the layout of `transformers`.
TRANSFORMERS_REVISIONS = {
    "google/videoprism-base-f16r288": "2be2ef51d0d611d0fadf21a6d1470a4ad4af9249",
    "google/videoprism-large-f8r288": "2e20e540e1cb89e734e2f2477590b7f8197250ca",
    "google/videoprism-lvt-base-f16r288": "fb6de9f0eb7bc285be86bdca1cf7daa3e3ef51ff",
    "google/videoprism-lvt-large-f8r288": "03900b4ecc0b278b30abdc5953c575bb5f083865",
}


def weights_dir() -> Path:
    """Folder of fetched weights: ``$BEHAVIOR_PRISM_WEIGHTS``, else ``~/.cache/behavior_prism/weights``.

    Returns
    -------
    pathlib.Path
    """
    chosen = os.environ.get("BEHAVIOR_PRISM_WEIGHTS")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(chosen) if chosen else Path(cache) / "behavior_prism" / "weights"
    return folder.expanduser().resolve()


def find_release(name: str) -> Release | None:
    """Look up weights by the name of a size or of a repository.

    Parameters
    ----------
    name : str
        ``base``, ``videoprism-lvt-base``, ...: the official Flax file. ``owner/repo``, ``owner/repo@revision`` or
        ``owner/repo@revision:file``: any repository, ``model.safetensors`` by default.

    Returns
    -------
    Release or None
        None if no weights were released for that size.

    Examples
    --------
    >>> find_release("base").file
    'flax_base_f16r288_repeated.npz'
    >>> find_release("tiny") is None
    True
    """
    if "/" not in name:
        return RELEASES.get(name.removeprefix("videoprism-"))
    rest, _, file = name.partition(":")
    repo, _, revision = rest.partition("@")
    official = next((r for r in RELEASES.values() if r.repo == repo), None)
    if official is not None and file == official.file:
        return dataclasses.replace(official, revision=revision or official.revision)
    return Release(
        repo,
        file or "model.safetensors",
        revision or TRANSFORMERS_REVISIONS.get(repo, "main"),
        size=official.size if official else None,
    )


def find_weights(release: Release, folder: Path | None = None) -> Path | None:
    """Look for fetched weights, and see that they are still what they were.

    Parameters
    ----------
    release : Release
        Which.
    folder : pathlib.Path, optional
        Folder of all weights, see :func:`weights_dir`.

    Returns
    -------
    pathlib.Path or None
        None if they are not here.

    Raises
    ------
    ValueError
        If the size or the SHA-256 is not the expected one.
    """
    path = (folder or weights_dir()) / release.key
    if not path.is_file():
        return None
    _check_size(path, release)
    _check_hash(path)
    return path


def fetch_weights(release: Release, folder: Path | None = None) -> Path:
    """Get weights from the Hub unless they are here, with the tokenizer of a video-text model.

    Parameters
    ----------
    release : Release
        Which.
    folder : pathlib.Path, optional
        Folder of all weights, see :func:`weights_dir`.

    Returns
    -------
    pathlib.Path
        The weights file; the tokenizer, if there is one, lies beside it.

    Raises
    ------
    FileNotFoundError
        If they are not here and cannot be fetched; says which file is wanted and where to put it.
    ValueError
        If what came is not what was expected.

    Examples
    --------
    >>> fetch_weights(find_release("base"))  # doctest: +SKIP
    """
    folder = (folder or weights_dir()).expanduser().resolve()
    path = find_weights(release, folder) or _download(release, folder)
    tokenizer = find_tokenizer(path)
    if tokenizer is not None:
        _check_hash(tokenizer)
    elif release.tokenizer_url is not None:
        _fetch_tokenizer(release, path.with_name(FILE_NAMES[0]))
    elif _reads_texts(path):
        _fetch_tokenizer_from_hub(release, folder, path)
    return path


def _reads_texts(path: Path) -> bool:
    with open_weights(path) as file:
        return any("text_encoder" in name or "text_model" in name for name in file.shapes)


def _download(release: Release, folder: Path) -> Path:
    target = folder / release.key
    try:
        path = _get_from_hub(release, release.file, target)
    except OSError as error:
        raise FileNotFoundError(
            f"the weights {release.repo} are not here and could not be fetched ({error}). "
            f"On a machine with internet download {release.url} and put it at {target}, or give its path as weights"
        ) from None
    try:
        _check_size(path, release)
    except ValueError:
        path.unlink()
        raise
    _check_hash(path, commit=_commit_of(path))
    return path


def _get_from_hub(release: Release, name: str, target: Path) -> Path:
    """Download one file of a repository beside ``target``; every failure is an OSError of one line."""
    from huggingface_hub import errors, hf_hub_download

    lost_connection = getattr(errors, "HTTPError", OSError)  # of the library that huggingface_hub speaks http with
    revision = release.revision
    if revision == "main":  # the commit of the first fetch, unless another one is asked for
        revision = _read_lock(target).get("commit", revision)
    try:
        got = hf_hub_download(
            release.repo,
            name,
            revision=revision,
            local_dir=target.parent,
            endpoint=os.environ.get("HF_ENDPOINT"),
        )
    except (errors.HfHubHTTPError, lost_connection, OSError, ValueError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise OSError(lines[0]) from None
    return Path(got)


def _commit_of(path: Path) -> str | None:
    """The commit that a download came from, as huggingface_hub notes it beside the file."""
    note = path.parent / ".cache" / "huggingface" / "download" / f"{path.name}.metadata"
    lines = note.read_text(encoding="utf-8").splitlines() if note.is_file() else []
    return lines[0].strip() if lines else None


def _fetch_tokenizer(release: Release, target: Path) -> None:
    """Get the tokenizer from its own address, through a temporary name and only if it is one."""
    assert release.tokenizer_url is not None
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".tokenizer")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file, urllib.request.urlopen(release.tokenizer_url, timeout=60) as answer:
            shutil.copyfileobj(answer, file)
        Tokenizer(part)
        part.chmod(0o644)  # temporary files are for their owner only; a lab may share this folder
        part.replace(target)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = str(error).replace(str(part), "the file that came")
        raise FileNotFoundError(
            f"the tokenizer of {release.repo} is not here and could not be fetched ({reason}). On a machine with "
            f"internet download {release.tokenizer_url} and put it at {target}"
        ) from None
    finally:
        part.unlink(missing_ok=True)
    _check_hash(target)


def _fetch_tokenizer_from_hub(release: Release, folder: Path, weights: Path) -> None:
    for name in FILE_NAMES:
        try:
            _check_hash(_get_from_hub(release, name, folder / release.key))
            return
        except OSError:
            continue
    # the video side works without: who wants texts is told then, by load_encoder


def _check_size(path: Path, release: Release) -> None:
    if release.size is None:
        return
    parameters = sum(p.numel() for p in build(preset(release.size).config).parameters())
    least, most = 2 * parameters, 4 * parameters + 4 * 2**20  # half precision, or float32 with the file's own headers
    size = path.stat().st_size
    if not least <= size <= most:
        raise ValueError(f"{path}: expected {least} to {most} bytes for {release.size!r}, got {size}; fetch it again")


def _check_hash(path: Path, commit: str | None = None) -> None:
    """Hold a file to the SHA-256 of its first fetch; note it if this is the first."""
    digest = sha256(path)
    known = _read_lock(path).get("sha256")
    if known is None:
        _write_lock(
            path, {"sha256": digest, "size": str(path.stat().st_size), **({"commit": commit} if commit else {})}
        )
    elif known != digest:
        raise ValueError(
            f"{path}: expected SHA-256 {known[:12]}... as at the first fetch, got {digest[:12]}...; delete the file to "
            f"fetch it again, and {_lock_of(path).name} beside it too if the change is meant"
        )


def sha256(path: Path) -> str:
    """SHA-256 of a file.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    str
        Hex.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + LOCK_ENDING)


def _read_lock(path: Path) -> dict[str, str]:
    lock = _lock_of(path)
    if not lock.exists():
        return {}
    try:
        entries = json.loads(lock.read_text(encoding="utf-8"))
        if not all(isinstance(value, str) for value in entries.values()):
            raise ValueError("a value is no text")
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"{lock}: expected a JSON object of texts ({error}); delete it to note the file anew"
        ) from None
    return entries


def _write_lock(path: Path, entries: dict[str, str]) -> None:
    """One small file per weights file, so that two processes never write the same one with different content."""
    text = json.dumps(entries, indent=1, sort_keys=True) + "\n"
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".lock")
    except OSError:
        return  # a folder that others filled and that is not ours to write in
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).chmod(0o644)
    Path(name).replace(_lock_of(path))
