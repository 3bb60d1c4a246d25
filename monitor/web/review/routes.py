"""HTTP of the review page: viewers read, operators also decide."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, Final, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from monitor.errors import plain_line
from monitor.reports.decisions import ConflictError, Mark
from monitor.web.access import Access
from monitor.web.application import STATIC
from monitor.web.review.desk import NotSavedError, ReviewDesk

__all__ = ["review_site"]

_MAX_BODY: Final = 100_000  # bytes; a group is decided by its number
_STRIP_MAX_S: Final = 120.0

Sample = Annotated[int, Meta(ge=-(2**53), le=2**53)]
Seen = Annotated[int, Meta(ge=-1)]
Text = Annotated[str, Meta(max_length=60)]
Handler = Callable[[web.Request], Awaitable[web.Response]]


class _Strip(msgspec.Struct, forbid_unknown_fields=True):
    first: Sample
    n: Annotated[int, Meta(ge=1)]


class _Group(msgspec.Struct, forbid_unknown_fields=True):
    group: Annotated[int, Meta(ge=0)]


class _Changes(msgspec.Struct, forbid_unknown_fields=True):
    seen: Seen = -1


class _Step(msgspec.Struct, forbid_unknown_fields=True):
    run: Text
    seen: Annotated[int, Meta(ge=0)]


class _Decide(_Step, forbid_unknown_fields=True):
    """A decision: about `marks` (sample and kind of alarm), or about all of a `group` that have none."""

    verdict: Text
    marks: Annotated[list[tuple[Sample, Text]], Meta(max_length=1000)] = []
    group: Annotated[int, Meta(ge=0)] | None = None
    add: bool = False


Q = TypeVar("Q", bound=msgspec.Struct)
S = TypeVar("S", bound=_Step)


def review_site(desk: ReviewDesk, reviewer: str) -> Callable[[Access], contextlib.AbstractAsyncContextManager[Any]]:
    """The application for `server.serve`.

    Args:
        desk: the record.
        reviewer: name of the person without keys; with keys it is that of the token.
    """

    @contextlib.asynccontextmanager
    async def site(access: Access) -> AsyncIterator[web.Application]:
        yield _application(desk, access, reviewer)

    return site


def _application(desk: ReviewDesk, access: Access, reviewer: str) -> web.Application:
    app = web.Application(client_max_size=_MAX_BODY)
    access.install(app)

    def name_of(request: web.Request) -> tuple[str, bool]:
        """Name of the person, and whether the person may decide."""
        person = access.person(request)
        return (reviewer, False) if person is None else (person.name or reviewer, person.role == "operator")

    async def index(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(str(STATIC / "review.html"), headers={"Cache-Control": "no-cache"})

    async def about(request: web.Request) -> web.Response:
        who, may = name_of(request)
        logged_in = access.has_cookie(request)
        return await _json(lambda: {**desk.about(), "reviewer": who, "may_decide": may, "logged_in": logged_in})

    async def overview(_request: web.Request) -> web.Response:
        return await _json(desk.overview)

    async def strip(request: web.Request) -> web.Response:
        query = _query(request, _Strip)
        if query.n > _STRIP_MAX_S * desk.record.beats.fs_hz:
            raise web.HTTPBadRequest(text=f"n {query.n}: at most {_STRIP_MAX_S:g} s of signal at once\n")
        return await _json(lambda: desk.strip(query.first, query.n))

    async def spread(request: web.Request) -> web.Response:
        query = _query(request, _Group)
        return await _json(lambda: desk.spread(query.group))

    async def changes(request: web.Request) -> web.Response:
        query = _query(request, _Changes)
        return await _json(lambda: desk.changes(query.seen))

    def changing(kind: type[S], act: Callable[[S, str], None]) -> Handler:
        """The handler of a change; the answer has the changes after number `seen`."""

        async def change(request: web.Request) -> web.Response:
            who, may = name_of(request)
            if not may:
                raise web.HTTPForbidden(text="to decide needs an operator; this link is for viewing\n")
            wanted = await _body(request, kind)
            if wanted.run != desk.run:
                raise web.HTTPConflict(text="the review was started again, load this page again\n")
            try:
                await asyncio.to_thread(act, wanted, who)  # it waits for the disk
            except ConflictError as error:
                raise web.HTTPConflict(text=f"{error}\n") from None
            except NotSavedError as error:
                raise web.HTTPInsufficientStorage(text=f"{error}\n") from None
            except ValueError as error:
                raise web.HTTPBadRequest(text=f"{plain_line(error)}\n") from None
            return await _json(lambda: desk.changes(wanted.seen))

        return change

    def decide(wanted: _Decide, who: str) -> None:
        marks = [Mark(*mark) for mark in wanted.marks] if wanted.group is None else desk.undecided(wanted.group)
        if not marks:
            raise ValueError("nothing to decide: all of this group have a decision")
        if wanted.add and (len(marks) != 1 or not wanted.verdict):
            raise ValueError("add one beat at a time, with its label")
        desk.decide(marks, wanted.verdict, who, wanted.seen, add=wanted.add)

    app.router.add_get("/", index)
    for path, handler in (
        ("", about), ("/overview", overview), ("/strip", strip), ("/spread", spread), ("/changes", changes),
    ):  # fmt: skip
        app.router.add_get(f"/api/review{path}", handler)
    app.router.add_post("/api/review/decide", changing(_Decide, decide))
    app.router.add_post("/api/review/undo", changing(_Step, lambda step, _who: desk.undo(step.seen)))
    app.router.add_post("/api/review/redo", changing(_Step, lambda step, _who: desk.redo(step.seen)))
    app.router.add_static("/static", str(STATIC))
    return app


async def _body(request: web.Request, kind: type[Q]) -> Q:
    """The JSON of a request."""
    if request.content_type != "application/json":  # a form of another site cannot send this type
        raise web.HTTPUnsupportedMediaType(text="send JSON as application/json\n")
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"{plain_line(error)}\n") from None


def _query(request: web.Request, kind: type[Q]) -> Q:
    try:
        return msgspec.convert(dict(request.query), kind, strict=False)
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"query: {plain_line(error)}\n") from None


async def _json(make: Callable[[], Any]) -> web.Response:
    """The answer, encoded in a thread: that of a long record is large."""
    body = await asyncio.to_thread(lambda: msgspec.json.encode(make()))
    response = web.Response(body=body, content_type="application/json")
    response.enable_compression()
    return response
