"""The attacks by name. A new attack is a function in a module of its kind, and a line here."""

from __future__ import annotations

from attacks import clients, requests
from attacks.attack import Attack

__all__ = ["ATTACKS"]

ATTACKS: dict[str, Attack] = {
    "strip-flood": requests.flood_without_keys,
    "strip-flood-viewer": requests.flood_with_a_viewers_key,
    "full-disk": clients.full_disk,
    "names": clients.names,
    "terminal-escapes": clients.terminal_escapes,
}
