"""Many beds on many cores and machines: shards of beds in workers that Ray keeps alive, and a hub in front of them.

`placement` says which worker has which shard (pure); `shard` runs one pipeline and goes on where it was killed;
`worker` holds the shards of one core; `hub` gives subscribers one address; `fleet` watches over all of it with Ray.
"""
