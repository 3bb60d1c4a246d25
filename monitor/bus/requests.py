"""Requests as they come in over the control socket: checked, and answered at most once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import msgspec

from monitor.messages import AUDIO_PAUSE_MAX_S, Reply, Request

__all__ = ["MAX_REQUEST_BYTES", "ControlRequest", "RequestError", "SlowDownError", "parse_request"]

MAX_REQUEST_BYTES = 64 * 1024
MAX_NAME_CHARS = 200  # of a bed, an alarm, a person: these go into the journal and onto screens
INT64_MAX = (1 << 63) - 1
OPS: tuple[str, ...] = get_args(get_type_hints(Request)["op"])

_decoder: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)


class RequestError(ValueError):
    """A request that cannot be served: one line for the client, with the id of its request where it has one."""

    def __init__(self, text: str, request_id: str = "") -> None:
        super().__init__(text)
        self.request_id = request_id


class SlowDownError(RequestError):
    """A request that is right but too soon; it may be sent again after `retry_after_s`."""

    def __init__(self, request: Request, retry_after_s: float) -> None:
        super().__init__(f"{request.op}: slow down, ask again in {retry_after_s:.2g} s", request.id)
        self.retry_after_s = retry_after_s


class ControlRequest:
    """A request that waits for its answer.

    Attributes:
        request: what is asked.
    """

    __slots__ = ("_send", "request")

    def __init__(self, request: Request, send: Callable[[Reply], bool]) -> None:
        self.request = request
        self._send: Callable[[Reply], bool] | None = send

    def reply(self, reply: Reply) -> bool:
        """Answer; id and epoch are filled in. Never blocks.

        Returns:
            False where the client has gone, or the request was answered before.
        """
        send, self._send = self._send, None
        return send is not None and send(reply)


def parse_request(frames: list[bytes]) -> Request:
    """The request in the frames after the envelope.

    Raises:
        RequestError: not one frame, too long, no JSON, unknown op or field, a value out of range.
    """
    if len(frames) != 1:
        raise RequestError(f"a request is one frame, got {len(frames)}")
    body = frames[0]
    if len(body) > MAX_REQUEST_BYTES:
        raise RequestError(f"request of {len(body)} bytes; at most {MAX_REQUEST_BYTES}")
    try:
        request = _decoder.decode(body)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors; nested too deep is the other
        raise _explained(body, error) from error
    _check(request)
    return request


def _explained(body: bytes, error: Exception) -> RequestError:
    """Why a body is no request, with whatever of it can be read."""
    try:
        fields: Any = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return RequestError('request is no JSON object; send e.g. {"op": "ping"}')
    if not isinstance(fields, dict):
        return RequestError('request is no JSON object; send e.g. {"op": "ping"}')
    request_id = fields.get("id", "")
    request_id = request_id[:MAX_NAME_CHARS] if isinstance(request_id, str) else ""
    op = fields.get("op")
    if not isinstance(op, str) or op not in OPS:
        return RequestError(f"no such op {_short(op)}; there are {', '.join(OPS)}", request_id)
    return RequestError(f"{op}: {error}"[:MAX_NAME_CHARS], request_id)


def _check(request: Request) -> None:
    """Bounds that types cannot say."""
    for name in ("id", "bed", "alarm_id", "who", "topic", "epoch"):
        if len(getattr(request, name)) > MAX_NAME_CHARS:
            raise RequestError(f"{request.op}: {name} is longer than {MAX_NAME_CHARS} characters")
    for name, low in (("seq", 0), ("first_sample", -INT64_MAX), ("n", 1)):
        value = getattr(request, name)
        if value is not None and not low <= value <= INT64_MAX:
            raise RequestError(f"{request.op}: {name} = {_short(value)} is out of range", request.id)
    if not 0 <= request.seconds <= AUDIO_PAUSE_MAX_S:
        raise RequestError(
            f"{request.op}: seconds = {request.seconds:g}, must be 0 to {AUDIO_PAUSE_MAX_S:g}", request.id
        )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
