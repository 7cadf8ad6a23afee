"""What the two readers of MATLAB files share: their limits, and the mark of a value that only MATLAB can read."""

from __future__ import annotations

from dataclasses import dataclass

MAX_UNPACKED = 256 << 20
MAX_VALUES = 2_000_000  # cells, fields and elements of struct arrays
MAX_DEPTH = 24


@dataclass(frozen=True)
class Unreadable:
    """A value that only MATLAB can read.

    Parameters
    ----------
    kind : str
        Its MATLAB class, as far as the file says.
    """

    kind: str
