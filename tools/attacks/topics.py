"""Attacks with subscriptions: too many, too long, cancelled for others, doubled."""

from __future__ import annotations

import time
from pathlib import Path

import zmq
from common.programs import wait_for

from attacks.attack import Outcome
from attacks.raw_peer import RawPeer, message
from attacks.target import Target, client_socket

__all__ = ["cancelled_for_others", "doubled", "long_topics", "many_topics", "many_topics_of_a_viewer"]

HOLD_S = 10.0
MANY = 20_000
LONG_TOPICS, LONG_BYTES = 9_900, 4_000
WAVES = b"v1/p1/wave/"
SUBSCRIBE, CANCEL = b"\x01", b"\x00"


def many_topics(folder: Path) -> Outcome:
    """Distinct topics on the waves port, from a program without a key."""
    with Target(folder) as target:
        sub = client_socket(zmq.SUB, target.ends.waves)
        for number in range(MANY):
            sub.subscribe(b"v1/%d/wave/" % number)
        time.sleep(HOLD_S)
        sub.close(0)
        return target.outcome(f"{MANY:,} topics on the waves port")


def many_topics_of_a_viewer(folder: Path) -> Outcome:
    """Topics in several connections with one viewer's key, each within the limits, dropped and made again."""
    with Target(folder, keys=True) as target:
        end_s = time.monotonic() + HOLD_S
        while time.monotonic() < end_s and target.program.alive:
            subs = [client_socket(zmq.SUB, target.ends.alarms, target.viewer) for _ in range(20)]
            for sub in subs:
                for number in range(900):
                    sub.subscribe(b"v1/%d/wave/" % number)
                sub.subscribe(b"v1/")
            time.sleep(1.0)
            for sub in subs:
                sub.close(0)
        return target.outcome(
            f"20 connections with 900 topics each and a viewer's key, made again every second, {HOLD_S:g} s"
        )


def long_topics(folder: Path) -> Outcome:
    """Topics of kilobytes, which ZeroMQ keeps in a tree with a node a byte."""
    with Target(folder) as target:
        sub = client_socket(zmq.SUB, target.ends.alarms)
        for number in range(LONG_TOPICS):
            sub.subscribe((b"%d/" % number).ljust(LONG_BYTES, b"x"))
        time.sleep(HOLD_S)
        sub.close(0)
        return target.outcome(f"{LONG_TOPICS:,} topics of {LONG_BYTES:,} bytes")


def cancelled_for_others(folder: Path) -> Outcome:
    """A stranger cancels topics that it never had; an honest viewer must keep its waves."""
    with Target(folder) as target:
        viewer = _viewer(target)
        with RawPeer(target.ends.waves, b"SUB") as stranger:
            stranger.send(message(CANCEL + WAVES) * 100)
            kept = _still_receives(viewer)
        viewer.close(0)
        now = "the waves of an honest viewer go on" if kept else "the waves of an honest viewer have ended"
        return target.outcome("a stranger cancels 100 times a topic that it never had", now, good=kept)


def doubled(folder: Path) -> Outcome:
    """A client subscribes twice to waves and leaves; the monitor must stop making them."""
    with Target(folder, "--metrics", "*") as target:
        client = client_socket(zmq.XSUB, target.ends.waves)
        for _ in range(10):
            client.send(SUBSCRIBE + WAVES)
        client.recv_multipart()
        client.close(0)
        time.sleep(1.0)
        before = target.metric('ecg_monitor_bus_events_total{event="waves"}')
        target.wait_for_beats(5)
        made = target.metric('ecg_monitor_bus_events_total{event="waves"}') - before
        now = f"{made:.0f} waves made after it has left"
        return target.outcome("10 subscriptions to the same waves, then the client leaves", now, good=made == 0)


def _viewer(target: Target) -> zmq.Socket[bytes]:
    """A subscriber that has received a wave."""
    viewer = client_socket(zmq.SUB, target.ends.waves)
    viewer.subscribe(WAVES)
    wait_for(lambda: viewer.poll(100), "wave")
    return viewer


def _still_receives(viewer: zmq.Socket[bytes]) -> bool:
    """Whether waves still arrive after some time."""
    end_s = time.monotonic() + 3.0
    while time.monotonic() < end_s:
        if viewer.poll(100):
            viewer.recv_multipart()
    return bool(viewer.poll(5_000))
