"""Limits of one client on the control socket: requests and bytes of answers, as token buckets."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["ClientRateLimits"]

# A client that recovers 200,000 missed beats sends 200 requests for 55 MB in all; a dashboard sends one request a
# second. An answer to `since` costs 8 ms of the loop per MB (measured, journal on disk), so one client can use 6 % of
# the loop for long.
REQUESTS_PER_S = 100.0
REQUESTS_BURST = 400.0
ANSWER_BYTES_PER_S = 8e6
ANSWER_BYTES_BURST = 32e6
MAX_CLIENTS = 1_000  # the client with the oldest request is forgotten first; it begins again with full buckets


@dataclass(slots=True)
class _Bucket:
    requests: float
    answer_bytes: float
    filled_s: float


class ClientRateLimits:
    """Buckets of every client: time fills them, requests and answers empty them.

    Args:
        clock: monotonic time, s.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: OrderedDict[bytes, _Bucket] = OrderedDict()

    def request(self, client: bytes) -> float:
        """Count a request.

        Args:
            client: its public key, or without keys the identity of its connection.

        Returns:
            0 if it may be served, else the time to wait before the next request, s.
        """
        bucket = self._bucket(client)
        wait_s = max((1.0 - bucket.requests) / REQUESTS_PER_S, -bucket.answer_bytes / ANSWER_BYTES_PER_S)
        if wait_s > 0.0:
            return wait_s
        bucket.requests -= 1.0
        return 0.0

    def answered(self, client: bytes, n_bytes: int) -> None:
        """Count an answer; the answer that empties the bucket is still sent whole."""
        self._bucket(client).answer_bytes -= n_bytes

    def _bucket(self, client: bytes) -> _Bucket:
        now_s = self._clock()
        bucket = self._buckets.get(client)
        if bucket is None:
            bucket = self._buckets[client] = _Bucket(REQUESTS_BURST, ANSWER_BYTES_BURST, now_s)
            if len(self._buckets) > MAX_CLIENTS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(client)
        passed_s, bucket.filled_s = max(0.0, now_s - bucket.filled_s), now_s
        bucket.requests = min(REQUESTS_BURST, bucket.requests + passed_s * REQUESTS_PER_S)
        bucket.answer_bytes = min(ANSWER_BYTES_BURST, bucket.answer_bytes + passed_s * ANSWER_BYTES_PER_S)
        return bucket
