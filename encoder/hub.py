"""Released weights: where they are, how they come here, and that they stay the same.

The official checkpoints lie on the Hugging Face Hub as Flax ``.npz`` files; the tokenizer of the video-text models is
T5's. Files are kept in one folder, looked up there first, and checked: the size against what the model's parameters
need, the SHA-256 against what it was at the first fetch.

Source of names: google-deepmind/videoprism (README and ``models.py``); pinned revisions: embeddings-benchmark/mteb.
"""

from __future__ import annotations

import hashlib
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
from .tokenizer import FILE_NAMES, find_tokenizer

TOKENIZER_URL = "https://storage.googleapis.com/t5-data/vocabs/cc_en.32000/sentencepiece.model"
LOCK_FILE = "weights.json"


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
        return f"{self.repo.split('/')[-1]}/{self.file}"

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
    return Path(chosen) if chosen else Path(cache) / "behavior_prism" / "weights"


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
        return official
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
    folder = folder or weights_dir()
    path = folder / release.key
    if not path.is_file():
        return None
    _check_size(path, release)
    _check_hash(path, folder, release.key)
    return path


def fetch_weights(release: Release, folder: Path | None = None) -> Path:
    """Get weights from the Hub unless they are here, with their tokenizer.

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
    folder = folder or weights_dir()
    found = find_weights(release, folder)
    if found is None:
        found = _download(release, folder)
    if release.size is not None and release.size.startswith("lvt"):
        tokenizer = find_tokenizer(found)
        if tokenizer is None:
            _fetch_tokenizer(release, folder)
        else:
            _check_hash(tokenizer, folder, str(tokenizer.relative_to(folder)))
    return found


def _download(release: Release, folder: Path) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    target = folder / release.key
    revision = _read_lock(folder).get(release.key, {}).get("commit", release.revision)
    try:
        got = hf_hub_download(
            release.repo,
            release.file,
            revision=revision,
            local_dir=target.parent,
            endpoint=os.environ.get("HF_ENDPOINT"),
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FileNotFoundError(
            f"the weights {release.repo} are not here and could not be fetched ({reason}). "
            f"On a machine with internet download {release.url} and put it at {target}, or give its path as weights"
        ) from None
    path = Path(got)
    try:
        _check_size(path, release)
    except ValueError:
        path.unlink()
        raise
    _check_hash(path, folder, release.key, commit=_commit_of(release, target))
    return path


def _commit_of(release: Release, target: Path) -> str:
    """The commit that the download came from, as huggingface_hub notes it beside the file."""
    note = target.parent / ".cache" / "huggingface" / "download" / f"{release.file}.metadata"
    lines = note.read_text().splitlines() if note.is_file() else []
    return lines[0].strip() if lines else release.revision


def _fetch_tokenizer(release: Release, folder: Path) -> None:
    key = f"{release.repo.split('/')[-1]}/{FILE_NAMES[0]}"
    target = folder / key
    target.parent.mkdir(parents=True, exist_ok=True)
    if release.tokenizer_url is None:
        _fetch_tokenizer_from_hub(release, target)
        return
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".tokenizer", delete=False) as part:
        try:
            with urllib.request.urlopen(release.tokenizer_url, timeout=60) as answer:
                shutil.copyfileobj(answer, part)
                expected = answer.headers.get("Content-Length")
            part.close()
            got = Path(part.name).stat().st_size
            if expected is not None and got != int(expected):
                raise OSError(f"expected {expected} bytes, got {got}")
            Path(part.name).replace(target)
        except (urllib.error.URLError, OSError) as error:
            Path(part.name).unlink(missing_ok=True)
            raise FileNotFoundError(
                f"the tokenizer of {release.repo} is not here and could not be fetched ({error}). On a machine with "
                f"internet download {release.tokenizer_url} and put it at {target}"
            ) from None
    _check_hash(target, folder, key)


def _fetch_tokenizer_from_hub(release: Release, target: Path) -> None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    for name in FILE_NAMES:
        try:
            hf_hub_download(release.repo, name, revision=release.revision, local_dir=target.parent)
            return
        except (EntryNotFoundError, OSError):
            continue
    # the video side works without: who wants texts is told then


def _check_size(path: Path, release: Release) -> None:
    if release.size is None:
        return
    parameters = sum(p.numel() for p in build(preset(release.size).config).parameters())
    least, most = 2 * parameters, 4 * parameters + 4 * 2**20  # half precision, or float32 with the file's own headers
    size = path.stat().st_size
    if not least <= size <= most:
        raise ValueError(f"{path}: expected {least} to {most} bytes for {release.size!r}, got {size}; fetch it again")


def _check_hash(path: Path, folder: Path, key: str, commit: str | None = None) -> None:
    lock = _read_lock(folder)
    digest = sha256(path)
    known = lock.get(key, {}).get("sha256")
    if known is None:
        lock[key] = {"sha256": digest, "size": str(path.stat().st_size), **({"commit": commit} if commit else {})}
        _write_lock(folder, lock)
    elif known != digest:
        raise ValueError(
            f"{path}: expected SHA-256 {known[:12]}... as at the first fetch, got {digest[:12]}...; delete the file to "
            f"fetch it again, or its entry in {folder / LOCK_FILE} if the change is meant"
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


def _read_lock(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / LOCK_FILE
    if not path.exists():
        return {}
    try:
        lock = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON ({error}); delete it to record the weights anew") from None
    if not isinstance(lock, dict) or not all(isinstance(entry, dict) for entry in lock.values()):
        raise ValueError(f"{path}: expected one entry per file; delete it to record the weights anew")
    return lock


def _write_lock(folder: Path, lock: dict[str, dict[str, str]]) -> None:
    path = folder / LOCK_FILE
    temporary = path.with_name(f".{LOCK_FILE}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(lock, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    temporary.replace(path)
