"""One line of a journal of labels: what was done, by whom, and a checksum over all of it.

A line is JSON in UTF-8, keys sorted, no spaces, ended by a line feed. ``crc`` comes first: the CRC-32 (eight hex
digits) of the same line without it, so that a line that was cut short, glued to another or changed by a bit tells of
itself. Wall time is for people; the order of entries is that of Lamport's logical clock, which no wrong date upsets.
"""

from __future__ import annotations

import json
import re
import secrets
import unicodedata
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .journal_operations import check_operation

Key = tuple[int, str, int, str]
_ID = re.compile(r"[0-9a-f]{16}")
_LIMIT = 1 << 53  # whole numbers that every reader of JSON holds exactly
_HEAD = len(b'{"crc":"00000000",')
# names that Windows takes for devices, whatever their ending
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was done.

    Parameters
    ----------
    id : str
        16 hex digits, drawn at random: an entry that lies in two files (a copy, an archive) counts once.
    writer : str
        Who, as a file name.
    seq : int
        Number of the entry among those of its writer, from 1.
    clock : int
        1 + the largest clock that its writer had seen.
    time : str
        Wall time in UTC, ISO 8601.
    op : str
        What was done, one of :data:`~.journal_operations.OPERATIONS`.
    data : dict
        Its particulars.
    tx : str
        The transaction it is a part of; it counts only if an entry ``commit`` of that id is there. Empty: on its own.
    base : bool
        Whether it was written anew by a compaction; it cannot be undone any more.
    """

    id: str
    writer: str
    seq: int
    clock: int
    time: str
    op: str
    data: dict[str, Any] = field(default_factory=dict)
    tx: str = ""
    base: bool = False

    @property
    def key(self) -> Key:
        """Place in the merged order; the id only parts what a copied file made alike."""
        return (self.clock, self.writer, self.seq, self.id)

    @property
    def unit(self) -> str:
        """What an undo names: the transaction, or the entry."""
        return self.tx or self.id


def new_id() -> str:
    """An id that nobody else draws."""
    return secrets.token_hex(8)


def now() -> str:
    """Wall time in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def encode(entry: Entry) -> bytes:
    """The line of an entry.

    Parameters
    ----------
    entry : Entry
        Any.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError
        If it holds NaN, or text that is not Unicode.
    """
    fields: dict[str, Any] = {name: getattr(entry, name) for name in ("id", "writer", "seq", "clock", "time", "op")}
    fields["data"] = entry.data
    if entry.tx:
        fields["tx"] = entry.tx
    if entry.base:
        fields["base"] = True
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        body = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"journal: expected text that is Unicode, got {error.object[error.start]!r}") from None
    return b'{"crc":"%08x",%b\n' % (zlib.crc32(body), body[1:])


def decode(line: bytes) -> Entry:
    """The entry of a line.

    Parameters
    ----------
    line : bytes
        With or without its line feed.

    Returns
    -------
    Entry

    Raises
    ------
    ValueError
        If the line is damaged, or is none that this version writes.
    """
    line = line.rstrip(b"\r\n")
    if not (line.startswith(b'{"crc":"') and line[16:18] == b'",'):
        raise ValueError("damaged: not the beginning of an entry")
    body = b"{" + line[_HEAD:]
    if line[8:16] != b"%08x" % zlib.crc32(body):
        raise ValueError("damaged: the checksum does not fit")
    try:
        fields = _DECODER.decode(body.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(fields, dict):
        raise ValueError("expected an object")
    return _checked(fields)


def _checked(fields: dict[str, Any]) -> Entry:
    unknown = set(fields) - {"id", "writer", "seq", "clock", "time", "op", "data", "tx", "base"}
    if unknown:
        raise ValueError(f"unknown field {min(unknown)!r}; it was written by a newer version")
    for name, kind in (("id", str), ("writer", str), ("seq", int), ("clock", int), ("time", str), ("op", str)):
        if type(fields.get(name)) is not kind:
            raise ValueError(f"expected {name} as {kind.__name__}, got {fields.get(name)!r:.40}")
    for name in ("id", "tx"):
        if fields.get(name, "") != "" and not (isinstance(fields[name], str) and _ID.fullmatch(fields[name])):
            raise ValueError(f"expected {name} as 16 hex digits, got {fields[name]!r:.40}")
    if not (fields["id"] and 0 < fields["seq"] < _LIMIT and 0 < fields["clock"] < _LIMIT):
        raise ValueError("expected an id, and numbers from 1 on")
    if not isinstance(fields.get("data"), dict) or fields.get("base", False) not in (True, False):
        raise ValueError("expected data as an object")
    check_operation(fields["op"], fields["data"])
    return Entry(**fields)


def _refuse(word: str) -> Any:
    raise ValueError(f"expected numbers, got {word}")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def writer_slug(name: str) -> str:
    """A writer's name as a file name: lower case, letters, digits, ``-`` and ``_``.

    Parameters
    ----------
    name : str
        Of a person or a program.

    Returns
    -------
    str
        It never leads out of a folder. Names that give the same are one writer.

    Raises
    ------
    ValueError
        If nothing is left.

    Examples
    --------
    >>> writer_slug("Ann Lee"), writer_slug("../../etc/passwd"), writer_slug("CON")
    ('ann-lee', 'etc-passwd', 'writer-con')
    """
    text = unicodedata.normalize("NFC", str(name)).casefold()
    slug = re.sub(r"[^\w]+", "-", text).strip("-")[:40].strip("-")
    if not slug:
        raise ValueError(f"writer: expected a name with letters or digits, got {name!r}")
    return f"writer-{slug}" if slug in _DEVICES else slug
