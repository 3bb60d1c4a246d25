"""The attacks by name. A new attack is a function in a module of its kind, and a line here."""

from __future__ import annotations

from attacks import beds, clients, keys, metrics, page, readers, requests, topics
from attacks.attack import Attack

__all__ = ["ATTACKS", "PAGE_ATTACKS"]

ATTACKS: dict[str, Attack] = {
    "strip-flood": requests.flood_without_keys,
    "strip-flood-viewer": requests.flood_with_a_viewers_key,
    "pings": requests.pings_between_requests,
    "endless-message": requests.endless_message,
    "silent-reader": readers.silent_reader,
    "removed-key": keys.removed_key,
    "many-topics": topics.many_topics,
    "many-topics-viewer": topics.many_topics_of_a_viewer,
    "long-topics": topics.long_topics,
    "cancelled-topics": topics.cancelled_for_others,
    "doubled-topics": topics.doubled,
    "dripping-metrics": metrics.dripping,
    "silent-metrics": metrics.silent,
    "jumping-sender": beds.jumping_sender,
    "flooding-sender": beds.flooding_sender,
    "lying-sender": beds.lying_sender,
    "locked-journal": beds.journal_locked,
    "deleted-journal": beds.journal_moved,
    "full-disk": clients.full_disk,
    "names": clients.names,
    "terminal-escapes": clients.terminal_escapes,
}

PAGE_ATTACKS: dict[str, Attack] = {
    "foreign": page.foreign_requests,
    "guessed-tokens": page.guessed_tokens,
    "stolen-cookie": page.stolen_cookie,
    "removed-token": page.removed_token,
    "paths": page.paths,
    "connections": page.connections_in_turn,
    "slow-loris": page.slow_loris,
    "large-frame": page.large_frame,
    "request-flood": page.request_flood,
    "stopped-reader": page.stopped_reader,
    "killed-server": page.killed_server,
}
