"""Requests from the control socket: decoded, checked, and answered at most once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import msgspec

from monitor.messages import AUDIO_PAUSE_MAX_S, Reply, Request

__all__ = ["MAX_REQUEST_BYTES", "ControlRequest", "RequestError", "parse_request"]

MAX_REQUEST_BYTES = 64 * 1024
MAX_NAME_CHARS = 200  # of a bed, an alarm, a person: the journal stores these and dashboards draw them
INT64_MAX = (1 << 63) - 1
OPS: tuple[str, ...] = get_args(get_type_hints(Request)["op"])

_decoder: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)


class RequestError(ValueError):
    """A request that cannot be served: one line for the client, and the id of the request if it has one."""

    def __init__(self, text: str, request_id: str = "") -> None:
        super().__init__(text)
        self.request_id = request_id


class ControlRequest:
    """A received request that waits for its reply."""

    __slots__ = ("_send", "request")

    def __init__(self, request: Request, send: Callable[[Reply], bool]) -> None:
        self.request = request
        self._send: Callable[[Reply], bool] | None = send

    def reply(self, reply: Reply) -> bool:
        """Send the reply, with id and epoch; never blocks. False if the client has left or was answered before."""
        send, self._send = self._send, None
        return send is not None and send(reply)


def parse_request(frames: list[bytes]) -> Request:
    """Decode the frames after the envelope.

    Raises:
        RequestError: not one frame, too long, not JSON, unknown op or field, a value out of range.
    """
    if len(frames) != 1:
        raise RequestError(f"a request is one frame, got {len(frames)}")
    body = frames[0]
    if len(body) > MAX_REQUEST_BYTES:
        raise RequestError(f"request of {len(body)} bytes; at most {MAX_REQUEST_BYTES}")
    try:
        request = _decoder.decode(body)
    except (ValueError, RecursionError) as error:  # ValueError: msgspec's errors; RecursionError: nested too deep
        raise _explained(body, error) from error
    _check(request)
    return request


def _explained(body: bytes, error: Exception) -> RequestError:
    """Explain why a body is not a request, with the op and id if they can be read."""
    fields: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        fields = msgspec.json.decode(body)
    if not isinstance(fields, dict):
        return RequestError('the request is not a JSON object; send e.g. {"op": "ping"}')
    request_id = fields.get("id", "")
    request_id = request_id[:MAX_NAME_CHARS] if isinstance(request_id, str) else ""
    op = fields.get("op")
    if not isinstance(op, str) or op not in OPS:
        return RequestError(f"unknown op {_short(op)}; the ops are {', '.join(OPS)}", request_id)
    return RequestError(f"{op}: {error}"[:MAX_NAME_CHARS], request_id)


def _check(request: Request) -> None:
    """Check the bounds that the types do not express."""
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
