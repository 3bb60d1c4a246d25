"""Attacks on the control socket."""

from __future__ import annotations

import time
from pathlib import Path

import zmq

from attacks.attack import Outcome
from attacks.raw_peer import RawPeer, command, message
from attacks.target import Target, client_socket
from monitor.messages import Request, encode

__all__ = ["endless_message", "flood", "flood_with_a_viewers_key", "flood_without_keys", "pings_between_requests"]

REQUESTS = 4_000
ROUNDS = 5


def flood(target: Target, requests: int = REQUESTS) -> None:
    """Send `strip` requests without reading a reply, and close the connection after a second."""
    dealer = client_socket(zmq.DEALER, target.ends.control, target.viewer)
    dealer.setsockopt(zmq.RCVHWM, 1_000)
    for _ in range(requests):
        dealer.send(encode(Request(op="strip", bed="p1")))
    time.sleep(1.0)
    dealer.close(0)


def flood_without_keys(folder: Path) -> Outcome:
    """`flood`, several times, from a program without a key."""
    return _floods(folder, keys=False)


def flood_with_a_viewers_key(folder: Path) -> Outcome:
    """`flood`, several times, with the key of a viewer."""
    return _floods(folder, keys=True)


def _floods(folder: Path, *, keys: bool) -> Outcome:
    who = " with a viewer's key" if keys else ""
    with Target(folder, keys=keys) as target:
        for _ in range(ROUNDS):
            flood(target)
        # The heartbeat timer of the bus was 10 s.
        while target.program.alive and time.monotonic() < target.began_s + 25.0:
            time.sleep(0.1)
        what = f"{REQUESTS:,} `strip` requests on a connection that closes after 1 s, {ROUNDS} times{who}"
        return target.outcome(what)


def pings_between_requests(folder: Path) -> Outcome:
    """Requests with a ZMTP PING between them; the connection closes at once (libzmq answers a PING itself)."""
    wire = (message(encode(Request(op="strip", bed="p1"))) + command(b"PING", bytes(2))) * REQUESTS
    with Target(folder) as target:
        for _ in range(ROUNDS):
            with RawPeer(target.ends.control, b"DEALER") as peer:
                peer.send(wire)
            time.sleep(1.0)
        return target.outcome(f"{REQUESTS:,} requests with a PING after each, {ROUNDS} times")


def endless_message(folder: Path) -> Outcome:
    """A message whose last frame never comes, which ZeroMQ collects in memory: 2 GB in frames of 1,000 KB."""
    more = b"\x03" + (1_000_000).to_bytes(8, "big") + bytes(1_000_000)
    with Target(folder) as target, RawPeer(target.ends.control, b"DEALER") as peer:
        sent = 0
        while sent < 2_000 and peer.send(more):
            sent += 1
        now = f"the connection is closed after {sent} MB"
        return target.outcome("a message without an end on the control socket", now, good=sent < 2_000)
