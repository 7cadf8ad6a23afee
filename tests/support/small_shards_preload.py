"""Loaded by each worker of a test before anything else: small shards, as in the test's own process."""

from small_extraction import SHARD_BYTES

from behavior_prism.analysis import feature_shards

feature_shards.SHARD_BYTES = SHARD_BYTES
