"""Loaded by each worker of a test before anything else: small shards, as in the test's own process."""

from typing import Any

from small_extraction import SHARD_BYTES

from behavior_prism.analysis import feature_shards


def dask_setup(worker: Any) -> None:
    """Dask calls this in the worker's process; importing alone changes nothing, since pytest imports every file."""
    feature_shards.SHARD_BYTES = SHARD_BYTES
