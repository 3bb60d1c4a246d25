"""Last value per topic, sent to new subscribers: active alarms, and the last message of every other topic."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Set

from monitor.messages import HEARTBEAT_TOPIC, AlarmMessage, Message

__all__ = ["LastValues"]

MAX_ACTIVE = 1_000  # active alarms stored for one bed
# Every subscriber receives what one new subscription repeats, so repetitions may take a fifth of the loop at most.
REPEAT_FREE = 100  # messages that are always repeated at once
REPEAT_S = 60e-6  # wait for each of the others before the next repetition, s


class LastValues:
    """Messages by topic, as published; counts `active_forgotten`."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self._last: dict[str, bytes] = {}
        self._active: dict[str, dict[str, bytes]] = {}  # topic -> alarm_id -> last message, oldest message first
        self._wanted: set[bytes] = set()  # prefixes of new subscriptions
        self._due_s = -math.inf

    def store(self, topic: str, body: Message, raw: bytes) -> None:
        """Store a published message."""
        if not isinstance(body, AlarmMessage):
            self._last[topic] = raw
            return
        active = self._active.setdefault(topic, {})
        active.pop(body.alarm.alarm_id, None)
        if body.alarm.state != "cleared":
            active[body.alarm.alarm_id] = raw
        if len(active) > MAX_ACTIVE:
            del active[next(iter(active))]
            self._counters["active_forgotten"] += 1

    def want(self, prefixes: Iterable[bytes]) -> None:
        """Note new subscriptions, which `due` serves."""
        self._wanted.update(prefixes)

    def due(self, now_s: float) -> list[tuple[str, bytes]]:
        """Return what must be sent now for new subscriptions (see `select`)."""
        if not self._wanted or now_s < self._due_s:
            return []
        messages = self.select(self._wanted)
        self._wanted.clear()
        self._due_s = now_s + max(0, len(messages) - REPEAT_FREE) * REPEAT_S
        return messages

    def select(self, prefixes: Set[bytes]) -> list[tuple[str, bytes]]:
        """Return (topic, message) of the topics that begin with one of the prefixes.

        Alarms come first, oldest message first; the heartbeat comes last, so it marks that the rest was sent.
        """
        lengths = {len(prefix) for prefix in prefixes}  # so that many subscriptions cost no more than a few
        topics = {
            topic
            for topic in (*self._active, *self._last)
            if any(topic.encode()[:length] in prefixes for length in lengths)
        }
        alarms = [(topic, raw) for topic, active in self._active.items() for raw in active.values()]
        last = sorted(self._last.items(), key=lambda item: item[0] == HEARTBEAT_TOPIC)
        return [(topic, raw) for topic, raw in (*alarms, *last) if topic in topics]
