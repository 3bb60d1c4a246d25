"""The monitors that the dashboard subscribes to: their clients, states, subscriptions and requests."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from monitor.client.liveness import ConnectionState
from monitor.dashboard.bed_order import BedOrder, BedRef
from monitor.dashboard.state import DashboardState
from monitor.errors import ClientError
from monitor.messages import Message, Reply, Request

__all__ = ["BusClient", "Monitors"]

REQUEST_TIMEOUT_S = 1.0  # the screen does not change meanwhile


class BusClient(Protocol):
    """A subscriber to one monitor: the part of `monitor.client.client.AlarmClient` that the dashboard uses."""

    @property
    def state(self) -> ConnectionState:
        """State of the connection."""

    def poll(self, timeout_s: float = 0.0) -> Sequence[tuple[str, Message, bytes]]:
        """Topics, messages and their bytes (of a wave message: its samples), after at most `timeout_s`."""

    def request(self, request: Request, timeout_s: float = 2.0) -> Reply:
        """Send a request and wait for the reply."""

    def set_detail(self, wave_beds: Collection[str], beat_beds: Collection[str] = ()) -> None:
        """Choose the beds whose waves, and whose beats and events, are received."""


class Monitors:
    """Clients (not closed here) and states, by address of the monitor."""

    def __init__(self, clients: Mapping[str, BusClient]) -> None:
        self._clients = dict(clients)
        self.states = {address: DashboardState() for address in clients}
        self.order = BedOrder(self.states)
        self._subscribed: tuple[frozenset[BedRef], BedRef | None] | None = None
        self.subscribe(frozenset(), None, 0.0)

    def fold(self, now_s: float) -> None:
        """Fold all received messages into the states; does not wait."""
        for address, client in self._clients.items():
            state = self.states[address]
            for _topic, message, raw in client.poll(0.0):
                state.apply(message, raw, now_s=now_s)
            state.set_connection(client.state, now_s)

    def subscribe(self, waves: frozenset[BedRef], opened: BedRef | None, now_s: float) -> None:
        """Subscribe to the waves of some beds, and to beats and events of the opened one only."""
        if (waves, opened) == self._subscribed:
            return
        self._subscribed = waves, opened
        for address, client in self._clients.items():
            wave_beds = {ref.name for ref in waves if ref.address == address}
            beat_beds = {opened.name} if opened is not None and opened.address == address else set()
            client.set_detail(wave_beds, beat_beds)
            self.states[address].set_detail(wave_beds, beat_beds, now_s)

    def request(self, address: str, request: Request, done: str) -> str:
        """Send a request to one monitor.

        Returns:
            `done`, or one line with the reason why it was not done.
        """
        try:
            reply = self._clients[address].request(request, REQUEST_TIMEOUT_S)
        except ClientError as error:
            return str(error)
        return done if reply.ok else f"refused: {reply.error}"

    def is_gone(self, ref: BedRef) -> bool:
        """Whether the monitor's present run has listed its beds without this one."""
        state = self.states[ref.address]
        listed = state.heartbeat is not None and state.heartbeat.epoch == state.epoch
        return listed and ref.name not in state.beds
