"""Work ahead in a thread, by a bounded number of items: what reads does not wait, what is read does not pile up."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


def prefetch(items: Iterator[T], depth: int = 2) -> Generator[T]:
    """Compute the next items in a thread while the present one is used.

    Parameters
    ----------
    items : iterator
        Consumed in a background thread; an exception in it is raised here.
    depth : int
        How many items may wait.

    Yields
    ------
    object
        The items, in order.
    """
    waiting: queue.Queue[tuple[bool, Any]] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def put(entry: tuple[bool, Any]) -> None:
        while not stopped.is_set():
            try:
                waiting.put(entry, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                if stopped.is_set():
                    return
                put((True, item))
            put((False, None))
        except BaseException as error:  # handed over and raised by the reader
            put((False, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            is_item, value = waiting.get()
            if is_item:
                yield value
            elif value is None:
                return
            else:
                raise value
    finally:
        stopped.set()
        thread.join()
