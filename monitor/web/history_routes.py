"""HTTP routes of the history: checked queries, answers as JSON, CSV, SVG, FHIR and HL7."""

from __future__ import annotations

import datetime
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from monitor.errors import ClientError, ConfigError, plain_line
from monitor.reports.alarm_search import AlarmSearch, alarm_search
from monitor.web.history import History, HistoryBusyError, UnknownAlarmError
from monitor.web.journal_copy import Entry

__all__ = ["add_history"]

_REPEATED: Final = ("bed", "kind", "priority", "state")
# An SVG that a person opens by itself needs its own style element; nothing in it may load or run.
_SVG_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; sandbox"

Q = TypeVar("Q", bound=msgspec.Struct)
Text = Annotated[str, Meta(max_length=200)]
Texts = Annotated[tuple[Text, ...], Meta(max_length=100)]
Number = Annotated[int, Meta(ge=0, le=255)]


class _List(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Query of a list: `bed`, `kind`, `priority` and `state` may be repeated."""

    monitor: Number | None = None
    bed: Texts = ()
    kind: Texts = ()
    priority: Texts = ()
    state: Texts = ()
    since: Text = ""
    until: Text = ""
    text: Text = ""
    before: Annotated[str, Meta(max_length=600)] = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 100

    def search(self) -> AlarmSearch:
        """The search.

        Raises:
            ConfigError: an unknown value.
        """
        return alarm_search(
            datetime.datetime.now(datetime.UTC),
            beds=self.bed, kinds=self.kind, priorities=self.priority, states=self.state, since=self.since,
            until=self.until, text=self.text, flags="",
        )  # fmt: skip


class _One(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Query of one alarm; without `epoch` the newest run that has it."""

    id: Text
    monitor: Number = 0
    epoch: Text = ""
    raw: bool = False
    format: Literal["fhir", "hl7"] = "fhir"


def add_history(app: web.Application, history: History) -> None:
    """Add the routes to an application."""

    async def alarms(request: web.Request) -> web.Response:
        query = _query(request, _List)
        found = await history.search(query.monitor, query.search())
        rest = found.matching
        if query.before:
            place = next((n for n, entry in enumerate(found.known) if _cursor(entry) == query.before), None)
            if place is None:
                raise ConfigError("before: no such alarm; start at the begin of the list")
            older = {entry.key for entry in found.known[place + 1 :]}
            rest = [entry for entry in rest if entry.key in older]
        page = rest[: query.limit]
        return _json(
            alarms=[entry.row() for entry in page],
            before=_cursor(page[-1]) if len(page) < len(rest) else "",
            total=len(found.matching),
            complete=found.complete,
            missing=found.missing,
            beds=sorted({(entry.monitor, entry.alarm.last.bed) for entry in found.known}),
            kinds=sorted({entry.alarm.last.kind for entry in found.known}),
        )

    async def csv(request: web.Request) -> web.Response:
        query = _query(request, _List)
        return _file(await history.csv(query.monitor, query.search()), "text/csv", "alarms.csv")

    async def alarm(request: web.Request) -> web.Response:
        query = _query(request, _One)
        return _json(**await history.alarm(query.monitor, query.id, query.epoch))

    async def strip(request: web.Request) -> web.Response:
        query = _query(request, _One)
        drawing = await history.strip(query.monitor, query.id, query.epoch, raw=query.raw)
        response = _file(drawing, "image/svg+xml", f"{query.id}.svg", shown=True)
        response.headers["Content-Security-Policy"] = _SVG_POLICY
        return response

    async def export(request: web.Request) -> web.Response:
        query = _query(request, _One)
        text = await history.export(query.monitor, query.id, query.epoch, query.format)
        kind, ending = {"fhir": ("application/fhir+json", "json"), "hl7": ("text/plain", "hl7")}[query.format]
        return _file(text, kind, f"{query.id}.{ending}")

    for path, handler in (
        ("/api/alarms", alarms), ("/api/alarms.csv", csv), ("/api/alarm", alarm), ("/api/strip.svg", strip),
        ("/api/export", export),
    ):  # fmt: skip
        app.router.add_get(path, _answered(handler))


def _answered(handler: Callable[[web.Request], Awaitable[web.Response]]) -> Any:
    """The handler, with each failure as one line."""

    async def answer(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except UnknownAlarmError as error:
            raise web.HTTPNotFound(text=f"{plain_line(error)}\n") from None
        except ConfigError as error:
            raise web.HTTPBadRequest(text=f"{plain_line(error)}\n") from None
        except ClientError as error:
            raise web.HTTPGatewayTimeout(text=f"{plain_line(error)}\n") from None
        except HistoryBusyError as error:
            headers = {"Retry-After": "1"}
            raise web.HTTPServiceUnavailable(text=f"{plain_line(error)}\n", headers=headers) from None
        except ValueError as error:  # a message of the monitor: the query was checked before
            raise web.HTTPBadGateway(text=f"the monitor's journal: {plain_line(error)}\n") from None

    return answer


def _query(request: web.Request, kind: type[Q]) -> Q:
    """The query as a struct.

    Raises:
        ConfigError: an unknown or repeated name, or a value out of range.
    """
    given: dict[str, Any] = {}
    for name in request.query:
        values = request.query.getall(name)
        if name not in _REPEATED and len(values) > 1:
            raise ConfigError(f"{name[:40]} is given {len(values)} times; give it once")
        given[name] = values if name in _REPEATED else values[0]
    try:
        return msgspec.convert(given, kind, strict=False)
    except ValueError as error:
        raise ConfigError(f"query: {error}") from None


def _cursor(entry: Entry) -> str:
    """Value of `before` for the alarms after this one in the list."""
    return " ".join(map(str, entry.key))


def _json(**fields: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(fields), content_type="application/json")


def _file(text: str, kind: str, name: str, *, shown: bool = False) -> web.Response:
    """A text as a file: downloaded, or shown in the page."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name)
    disposition = f'{"inline" if shown else "attachment"}; filename="{safe}"'
    headers = {"Content-Disposition": disposition}
    return web.Response(body=text.encode(), content_type=kind, charset="utf-8", headers=headers)
