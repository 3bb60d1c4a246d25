"""The subscriptions of the server: one thread that owns the clients of all monitors.

The clients are not thread-safe and wait on ZeroMQ sockets, so they live in one thread. Messages go to the event loop in
batches; requests of pages come the other way through a queue that wakes the thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import zmq

from monitor.client.client import AlarmClient, ConnectionState, Received
from monitor.client.positions import Position
from monitor.errors import ClientError
from monitor.messages import AlarmMessage, Reply, Request

__all__ = ["Batch", "Feed"]

_POLL_S: Final = 0.25  # longest wait, so that a silent monitor is seen to be silent
_BATCH_S: Final = 0.015  # messages that arrive within this time go to the pages together
_REQUEST_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Batch:
    """What one monitor sent since the batch before.

    Attributes:
        monitor: its number.
        received: messages in the order of their topics.
        state: state of the connection.
        silent_s: time since the last heartbeat, s; None before the first.
        epoch: run of the monitor; empty before the first message.
        position: up to which all messages were received, if it may have changed for alarms; else None.
    """

    monitor: int
    received: Sequence[Received]
    state: ConnectionState
    silent_s: float | None
    epoch: str = ""
    position: Position | None = None


class Feed:
    """Thread of the clients.

    Args:
        clients: one for each monitor; closed by the thread.
        loop: event loop of `on_batch`.
        on_batch: called in the loop: for each monitor that sent something, and about four times a second.
    """

    def __init__(
        self, clients: Sequence[AlarmClient], loop: asyncio.AbstractEventLoop, on_batch: Callable[[Batch], None]
    ) -> None:
        self._clients = clients
        self._loop = loop
        self._on_batch = on_batch
        self._joined = [False] * len(clients)  # whether the position is known
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stop = threading.Event()
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._wake, self._woken = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
        endpoint = f"inproc://web-feed-{id(self)}"
        self._woken.bind(endpoint)
        self._wake.connect(endpoint)
        self._thread = threading.Thread(target=self._run, name="web feed", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and close the clients; called in the thread of the event loop."""
        self._stop.set()
        self._signal()
        self._thread.join()
        self._wake.close(linger=0)

    def set_detail(self, monitor: int, wave_beds: Collection[str], beat_beds: Collection[str]) -> None:
        """Choose the beds of a monitor whose waves, and whose beats and events are received."""
        self._do(lambda: self._clients[monitor].set_detail(wave_beds, beat_beds))

    async def request(self, monitor: int, request: Request) -> Reply:
        """Send a request to a monitor; messages go on meanwhile.

        Raises:
            ClientError: no reply in time.
        """
        future: asyncio.Future[Reply | None] = self._loop.create_future()

        def settle(reply: Reply | None) -> None:
            if not future.done():
                future.set_result(reply)

        def give(reply: Reply | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(settle, reply)

        self._do(lambda: self._clients[monitor].ask(request, give, _REQUEST_S))
        if (reply := await future) is None:
            raise ClientError(self._clients[monitor].no_answer(request, _REQUEST_S))
        return reply

    def _batch(self, number: int, client: AlarmClient) -> Batch:
        received = client.poll()
        position = None
        # A position names every topic: with hundreds of beds it is too long to be made for each batch.
        if not self._joined[number] or any(isinstance(body, AlarmMessage) for _, body, _ in received):
            position = client.position
            self._joined[number] = position is not None
        return Batch(number, received, client.state, client.silent_s, client.epoch, position)

    def _do(self, work: Callable[[], None]) -> None:
        self._work.put(work)
        self._signal()

    def _signal(self) -> None:
        with contextlib.suppress(zmq.Again):
            self._wake.send(b"", zmq.NOBLOCK)

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._woken, zmq.POLLIN)
        for client in self._clients:
            for sock in client.sockets:
                poller.register(sock, zmq.POLLIN)
        try:
            while not self._stop.is_set():
                poller.poll(int(_POLL_S * 1000))
                self._stop.wait(_BATCH_S)
                with contextlib.suppress(zmq.Again):
                    while True:
                        self._woken.recv(zmq.NOBLOCK)
                with contextlib.suppress(queue.Empty):
                    while True:
                        self._work.get_nowait()()
                for number, client in enumerate(self._clients):
                    batch = self._batch(number, client)
                    with contextlib.suppress(RuntimeError):  # the loop is closed
                        self._loop.call_soon_threadsafe(self._on_batch, batch)
        finally:
            for client in self._clients:
                client.close()
            self._woken.close(linger=0)
