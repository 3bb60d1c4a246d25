"""Many beds on many cores and machines: Ray runs workers with shards of beds, and a hub gives them one address.

`placement` assigns shards to workers (pure). `shard` runs one pipeline and continues after a kill where its journal
ends. `worker_pool` holds the shards of each core. `hub` publishes the messages of all shards as one monitor. `fleet`
keeps all of it running with Ray.
"""
