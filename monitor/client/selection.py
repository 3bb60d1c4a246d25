"""The topics that a subscriber wants: streams of beds, and extra topics with some of their past messages."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from monitor.messages import Request, Stream, bed_topic

__all__ = ["TopicSelection"]

CACHE_MAX = 50_000  # topics are text from the network, so the cache is bounded


class TopicSelection:
    """Decides whether a topic is wanted.

    Args:
        beds: names; None = all.
        streams: streams of these beds.

    Attributes:
        extra: extra topics -> number of past messages wanted from the journal.
    """

    def __init__(self, beds: Collection[str] | None, streams: Collection[Stream]) -> None:
        self._beds = None if beds is None else frozenset(beds)
        self._streams = frozenset(streams)
        self.extra: dict[str, int] = {}
        self._cache: dict[str, bool] = {}

    @property
    def snapshot_request(self) -> Request:
        """The request for the last values: of one bed if there is just one, else of all."""
        single = self._beds is not None and len(self._beds) == 1
        return Request(op="snapshot", bed="".join(self._beds or ()) if single else "")

    def __contains__(self, topic: str) -> bool:
        known = self._cache.get(topic)
        if known is None:
            _, bed, stream, *_ = f"{topic}///".split("/")
            known = topic in self.extra or (stream in self._streams and (self._beds is None or bed in self._beds))
            if len(self._cache) >= CACHE_MAX:
                self._cache.clear()
            self._cache[topic] = known
        return known

    def topics_of(self, beds: Collection[str]) -> list[str]:
        """Return the wanted topics of these beds, extra topics aside."""
        names = (bed_topic(bed, stream) for bed in beds for stream in self._streams)
        return [name for name in names if name in self]

    def set_extra(self, topics: Mapping[str, int]) -> tuple[list[str], list[str]]:
        """Replace the extra topics; returns those that are no longer wanted, and the new ones."""
        before, self.extra = self.extra, dict(topics)
        self._cache.clear()
        return [name for name in before if name not in self], [name for name in topics if name not in before]
