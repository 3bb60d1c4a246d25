"""The control socket: requests are read, limited, authorized and answered once."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import msgspec
import zmq

from monitor.bus.requests import ControlRequest, RequestError, parse_request
from monitor.bus.sockets import BusSockets, Sender
from monitor.errors import plain_line
from monitor.messages import Reply, Request, encode
from monitor.token_bucket import TokenBucket

__all__ = ["RequestSocket"]

# Limits of one turn of the loop, so that a flood of requests does not delay the next samples.
REQUESTS_PER_CALL = 64
PIPELINE_REQUESTS_PER_CALL = 4  # a strip takes 5 ms
RECEIVED_PER_CALL = 5_000  # messages of closed connections too, which are not answered
BATCH = 64
ANSWER_BYTES_PER_CALL = 2_000_000
# A client that recovers 200,000 missed beats sends 200 requests for 55 MB in all; a dashboard sends one request a
# second. An answer to `since` costs 8 ms of the loop per MB (measured, journal on disk), so one client can use 6 % of
# the loop for long.
REQUESTS_PER_S = 100.0
REQUESTS_BURST = 400.0
ANSWER_BYTES_PER_S = 8e6
ANSWER_BYTES_BURST = 32e6
MAX_CLIENTS = 1_000  # the client with the oldest request is forgotten first; it begins again with full buckets


class _Limits(NamedTuple):
    requests: TokenBucket
    answer_bytes: TokenBucket


class ClientRateLimits:
    """Buckets of every client: time fills them, requests and answers empty them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._clients: OrderedDict[bytes, _Limits] = OrderedDict()

    def request(self, client: bytes) -> float:
        """Count a request; returns 0 if it may be served, else the time to wait before the next request, s.

        `client` is its public key, or without keys the identity of its connection.
        """
        limits, now_s = self._of(client), self._clock()
        wait_s = max(limits.requests.wait_s(now_s), limits.answer_bytes.wait_s(now_s, 0.0))
        if wait_s == 0.0:
            limits.requests.take(now_s)
        return wait_s

    def answered(self, client: bytes, n_bytes: int) -> None:
        """Count an answer; the answer that empties the bucket is still sent whole."""
        self._of(client).answer_bytes.spend(self._clock(), n_bytes)

    def _of(self, client: bytes) -> _Limits:
        limits = self._clients.get(client)
        if limits is None:
            now_s = self._clock()
            limits = self._clients[client] = _Limits(
                TokenBucket(REQUESTS_PER_S, REQUESTS_BURST, now_s),
                TokenBucket(ANSWER_BYTES_PER_S, ANSWER_BYTES_BURST, now_s),
            )
            if len(self._clients) > MAX_CLIENTS:
                self._clients.popitem(last=False)
        self._clients.move_to_end(client)
        return limits


class RequestSocket:
    """Requests and replies of the control socket.

    Args:
        sockets: of the bus; the caller closes them.
        counters: of the bus: requests, bad_requests, slowed, replies_lost, internal_errors.
        serve: returns the reply to a request, or None if the caller of `receive` must answer; raises RequestError
            for a wrong request.
    """

    def __init__(
        self,
        sockets: BusSockets,
        *,
        epoch: str,
        counters: Counter[str],
        clock: Callable[[], float],
        serve: Callable[[Request], Reply | None],
    ) -> None:
        self._sockets = sockets
        self._epoch = epoch
        self._counters = counters
        self._serve = serve
        self._limits = ClientRateLimits(clock)
        self._answered_bytes = 0  # in this turn of the loop
        self._received: deque[tuple[list[zmq.Frame], Sender]] = deque()  # at most `BATCH`, not answered yet

    @property
    def pending(self) -> bool:
        """Whether requests that were received wait for the next turn."""
        return bool(self._received)

    def receive(self) -> list[ControlRequest]:
        """Read requests; answer those that `serve` answers, and wrong ones. Answer the returned others by `.reply`.

        What is over the limits of a turn waits in ZeroMQ, which reads the connections by turns.
        """
        waiting: list[ControlRequest] = []
        self._answered_bytes = 0
        left = RECEIVED_PER_CALL
        answered = 0
        while (
            answered < REQUESTS_PER_CALL
            and len(waiting) < PIPELINE_REQUESTS_PER_CALL
            and self._answered_bytes < ANSWER_BYTES_PER_CALL
        ):
            while not self._received and left > 0:
                batch = self._sockets.receive(self._sockets.control, BATCH)
                if not batch:
                    return waiting
                left -= len(batch)
                self._received.extend((parts, sender) for parts, sender in batch if sender is not None)
            if not self._received:
                break
            parts, sender = self._received.popleft()
            if sender.connection.closing:
                continue
            answered += 1
            identity, *frames = (part.bytes for part in parts)
            client = sender.client
            peer = identity if client is None else client.public.encode()
            self._counters["requests"] += 1
            # A REQ socket puts an empty frame before the body; a DEALER need not.
            envelope = [identity, *frames[:1]] if len(frames) > 1 and not frames[0] else [identity]
            answer = partial(self._answer, envelope, peer)
            wait_s = self._limits.request(peer)
            try:
                request = parse_request(frames[len(envelope) - 1 :])
                if wait_s > 0:
                    self._counters["slowed"] += 1
                    error_text = f"{request.op}: slow down, send it again in {wait_s:.2g} s"
                    answer(request.id, Reply(ok=False, error=error_text, data={"retry_after_s": round(wait_s, 3)}))
                    continue
                if self._sockets.authenticator is not None and client is not None:
                    request = self._sockets.authenticator.authorize(request, client)
                reply = self._serve(request)
            except RequestError as error:
                self._counters["bad_requests"] += 1
                answer(error.request_id, Reply(ok=False, error=str(error)))
            except Exception as error:  # no request may stop the monitor
                self._counters["internal_errors"] += 1
                answer("", Reply(ok=False, error=f"internal error: {plain_line(error)}"))
            else:
                if reply is None:
                    waiting.append(ControlRequest(request, partial(answer, request.id)))
                else:
                    answer(request.id, reply)
        return waiting

    def _answer(self, envelope: list[bytes], peer: bytes, request_id: str, reply: Reply) -> bool:
        """Send a reply; False if the client has left or does not read."""
        try:
            body = encode(msgspec.structs.replace(reply, id=request_id, epoch=self._epoch))
        except (TypeError, ValueError) as error:  # data that is not JSON: a bug here, but the client needs a reply
            self._counters["internal_errors"] += 1
            body = encode(
                Reply(ok=False, id=request_id, epoch=self._epoch, error=f"internal error: {plain_line(error)}")
            )
        self._limits.answered(peer, len(body))
        self._answered_bytes += len(body)
        try:
            self._sockets.control.send_multipart([*envelope, body], zmq.NOBLOCK)
        except zmq.ZMQError:  # the client has left (EHOSTUNREACH) or does not read (EAGAIN)
            self._counters["replies_lost"] += 1
            return False
        return True
