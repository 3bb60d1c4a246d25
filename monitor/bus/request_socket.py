"""The control socket of the bus: requests read, held to their limits and rights, and each answered once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec
import zmq

from monitor.bus.authenticator import Authenticator
from monitor.bus.rate_limits import ClientRateLimits
from monitor.bus.requests import ControlRequest, RequestError, SlowDownError, parse_request
from monitor.messages import Reply, Request, encode

__all__ = ["RequestSocket"]

# And not more in one turn of the loop, so that a client that floods cannot keep it from the next samples.
REQUESTS_A_CALL = 64
ANSWER_BYTES_A_CALL = 2_000_000


class RequestSocket:
    """Requests in, replies out, of a bound ROUTER socket.

    Args:
        sock: bound; closed by who made it.
        epoch: of the run, in every reply.
        gate: says who asks, where there are keys.
        counters: of the bus: requests, bad_requests, slowed, replies_lost, internal_errors.
        clock: monotonic time, s.
        serve: the reply to a request, or None where it must wait for somebody else's; RequestError where it is wrong.
    """

    def __init__(
        self,
        sock: zmq.Socket[bytes],
        *,
        epoch: str,
        gate: Authenticator | None,
        counters: Counter[str],
        clock: Callable[[], float],
        serve: Callable[[Request], Reply | None],
    ) -> None:
        self._sock = sock
        self._epoch = epoch
        self._authenticator = gate
        self._counters = counters
        self._serve = serve
        self._limits = ClientRateLimits(clock)
        self._answered_bytes = 0  # in this turn of the loop

    def receive(self) -> list[ControlRequest]:
        """Read requests; answer what can be answered here, and what is wrong.

        Returns:
            The others, each to be answered with `.reply`.
        """
        waiting: list[ControlRequest] = []
        self._answered_bytes = 0
        for _ in range(REQUESTS_A_CALL):
            if self._answered_bytes >= ANSWER_BYTES_A_CALL:
                break
            try:
                parts = self._sock.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            identity, *frames = (part.bytes for part in parts)
            client = None if self._authenticator is None else self._authenticator.hear(self._sock, parts[-1])
            peer = identity if client is None else client.public.encode()
            self._counters["requests"] += 1
            # A REQ socket puts an empty frame before the body, a DEALER need not.
            envelope = [identity, *frames[:1]] if len(frames) > 1 and not frames[0] else [identity]
            wait_s = self._limits.request(peer)
            try:
                request = parse_request(frames[len(envelope) - 1 :])
                if wait_s > 0:
                    raise SlowDownError(request, wait_s)
                if self._authenticator is not None:
                    request = self._authenticator.permit(request, client)
                reply = self._serve(request)
            except SlowDownError as error:
                self._counters["slowed"] += 1
                data = {"retry_after_s": round(error.retry_after_s, 3)}
                self._answer(envelope, peer, Reply(ok=False, id=error.request_id, error=str(error), data=data))
                continue
            except RequestError as error:
                self._counters["bad_requests"] += 1
                self._answer(envelope, peer, Reply(ok=False, id=error.request_id, error=str(error)))
                continue
            except Exception as error:  # whatever a request does, the monitor goes on
                self._counters["internal_errors"] += 1
                self._answer(envelope, peer, Reply(ok=False, error=f"internal error: {error}"))
                continue
            if reply is None:
                waiting.append(ControlRequest(request, self._answerer(envelope, peer, request)))
            else:
                self._answer(envelope, peer, msgspec.structs.replace(reply, id=request.id))
        return waiting

    def _answerer(self, envelope: list[bytes], peer: bytes, request: Request) -> Callable[[Reply], bool]:
        return lambda reply: self._answer(envelope, peer, msgspec.structs.replace(reply, id=request.id))

    def _answer(self, envelope: list[bytes], peer: bytes, reply: Reply) -> bool:
        try:
            body = encode(msgspec.structs.replace(reply, epoch=self._epoch))
        except (TypeError, ValueError) as error:  # data that is no JSON: our mistake, but the client must hear of it
            self._counters["internal_errors"] += 1
            body = encode(Reply(ok=False, id=reply.id, epoch=self._epoch, error=f"internal error: {error}"))
        self._limits.answered(peer, len(body))
        self._answered_bytes += len(body)
        try:
            self._sock.send_multipart([*envelope, body], zmq.NOBLOCK)
        except zmq.ZMQError:  # the client has gone (EHOSTUNREACH) or does not read (EAGAIN)
            self._counters["replies_lost"] += 1
            return False
        return True
