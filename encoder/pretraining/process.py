"""What the loop asks of its process: signals that stop it, garbage collected by all at once, a folder of its own.

Stopping: the first SIGTERM or SIGINT asks for a stop. SIGTERM may come more than once, since a scheduler signals every
process of a job and ``torchrun`` passes on what it gets; SIGKILL follows if it takes too long. A Ctrl-C after the first
signal means now.
"""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

COLLECT_EVERY = 500  # steps between garbage collections with several processes, so that all pause together
_LOCK = ".lock"  # empty, and left: to remove it would let two processes lock two files of one name


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT instead of ending.

    Yields
    ------
    list of int
        Grows with every signal; always empty outside of the main thread, where signals cannot be listened to.

    Examples
    --------
    >>> with stop_signals() as signalled:
    ...     signal.raise_signal(signal.SIGTERM)
    ...     len(signalled)
    1
    """
    seen: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def _listen(number: int, _: FrameType | None) -> None:
        seen.append(number)
        signal.signal(signal.SIGINT, before[signal.SIGINT])  # the next one is heard as if nobody listened

    for number in before:
        signal.signal(number, _listen)
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def collecting_together(world: int) -> Iterator[Callable[[int], None]]:
    """Let no process stop for garbage while the others wait for it: all collect at the same steps.

    Parameters
    ----------
    world : int
        Processes; nothing is changed for one.

    Yields
    ------
    callable
        To be called with every step.
    """
    if world == 1 or not gc.isenabled():
        yield lambda step: None
        return

    def _collect(step: int) -> None:
        if step % COLLECT_EVERY == 0:
            gc.collect()

    gc.collect()
    gc.disable()
    try:
        yield _collect
    finally:
        gc.enable()


@contextmanager
def only_trainer(folder: Path, *, active: bool = True) -> Iterator[None]:
    """Keep every other process from training in the same folder.

    The lock is the operating system's: it ends with the process, however that ends. A file system without locks, and
    Windows, tell nobody from anybody.

    Parameters
    ----------
    folder : pathlib.Path
        Of the run.
    active : bool
        Whether this is the process that writes; of those that train together, one is.

    Yields
    ------
    None

    Raises
    ------
    BlockingIOError
        If another process trains in it.

    Examples
    --------
    >>> import tempfile
    >>> with only_trainer(Path(tempfile.mkdtemp())):
    ...     pass
    """
    if not active or fcntl is None:
        yield
        return
    with open(folder / _LOCK, "ab") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unlike those of flock, no worker of a loader inherits it
        except (BlockingIOError, PermissionError):
            raise BlockingIOError(
                f"{folder}: another process is training in it; wait for that one or stop it"
            ) from None
        except OSError:  # no locks on this file system
            pass
        yield
