"""How a job travels to a worker: its recording as it was described, its encoder by name, loaded once it is there."""

from __future__ import annotations

import io
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from behavior_prism.encoder import LoadedEncoder

    from .extraction_jobs import Job

_one_at_a_time = threading.Lock()  # a worker may have several threads, but memory and cores for one recording


@dataclass(frozen=True, kw_only=True)
class EncoderSource:
    """How a worker gets the encoder: what :func:`~behavior_prism.encoder.load_encoder` is called with.

    Parameters
    ----------
    name : str
        Size, weights file or repository.
    weights, tokenizer : str, optional
        As in ``load_encoder``.
    dtype : str
        Name of a type of torch.
    int8, compile
        As in ``load_encoder``.
    device : str
        Of the worker.
    """

    name: str = "tiny"
    weights: str | None = "auto"
    tokenizer: str | None = None
    dtype: str = "float32"
    int8: bool = False
    compile: bool = False
    device: str = "auto"

    def load(self) -> LoadedEncoder:
        """Load it.

        Returns
        -------
        LoadedEncoder
        """
        import torch

        from behavior_prism.encoder import load_encoder

        return load_encoder(
            self.name,
            weights=self.weights,
            tokenizer=self.tokenizer,
            dtype=getattr(torch, self.dtype),
            int8=self.int8,
            compile=self.compile,
            device=self.device,
        )


@lru_cache(maxsize=1)  # a worker that lives long must not keep them all
def encoder_here(source: EncoderSource, weights_id: str) -> LoadedEncoder:
    """The encoder of this process, loaded once.

    Parameters
    ----------
    source : EncoderSource
        Which.
    weights_id : str
        That of whoever plans.

    Returns
    -------
    LoadedEncoder

    Raises
    ------
    ValueError
        If other weights are found here.
    """
    encoder = source.load()
    if encoder.weights_id != weights_id:
        raise ValueError(
            f"{source.name}: expected the weights {weights_id[:12]}, got {encoder.weights_id[:12]} on this worker; "
            "give every worker the same file"
        )
    return encoder


def pack(job: Job, source: EncoderSource) -> bytes:
    """Make a job fit to travel: its encoder stays and is loaded where it arrives.

    Parameters
    ----------
    job : Job
        A recording to extract.
    source : EncoderSource
        What its encoder was loaded from.

    Returns
    -------
    bytes
        For ``cloudpickle.loads`` of the worker; never kept on a disk.
    """
    import cloudpickle

    from behavior_prism.encoder import LoadedEncoder

    class _Pickler(cloudpickle.Pickler):
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, LoadedEncoder):
                return encoder_here, (source, obj.weights_id)
            return super().reducer_override(obj)

    file = io.BytesIO()
    _Pickler(file).dump(job)
    return file.getvalue()


@contextmanager
def arrived(packed: bytes, folder: str, threads: int | None) -> Iterator[Job]:
    """Unpack a job where its relative paths mean what they meant.

    Parameters
    ----------
    packed : bytes
        From :func:`pack`.
    folder : str
        Where it was packed.
    threads : int, optional
        Cores that torch may use; by default as it likes.

    Yields
    ------
    Job
    """
    import cloudpickle
    import torch

    with _one_at_a_time:
        if not os.path.isdir(folder):
            raise ValueError(f"{folder}: this worker ({platform.node()}) does not see that folder")
        if os.getcwd() != folder:
            os.chdir(folder)
        if threads is not None and torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        yield cloudpickle.loads(packed)
