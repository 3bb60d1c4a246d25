"""What msgspec is to know of our types before any thread asks for it."""

from __future__ import annotations

import msgspec

__all__ = ["learn"]


def learn(*kinds: type) -> None:
    """Have msgspec look at types now, while their module is imported.

    It looks at a type when it is first converted to, and where two threads do that first at once (shards that start
    in one worker do) one of them reads what is half written, and the process dies (seen with msgspec 0.22).
    """
    for kind in kinds:
        msgspec.json.Decoder(kind)
