"""The aiohttp application: static files of the page, and one WebSocket for each page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from importlib import resources
from typing import Final

from aiohttp import WSMsgType, web

from monitor.client.positions import Place, Position
from monitor.errors import ClientError
from monitor.messages import Reply, Request
from monitor.token_bucket import TokenBucket
from monitor.web.access import Access, Person
from monitor.web.feed import Feed
from monitor.web.frames import MAX_REQUEST_BYTES, PageRequest, decode_request, own_frame, text_frame
from monitor.web.history import History
from monitor.web.history_routes import add_history
from monitor.web.pages import Hub, Page

__all__ = ["STATIC", "build_application"]

# Close codes of the WebSocket; the page tells the person why.
_BEHIND: Final = 4008  # the page does not read
_NO_ACCESS: Final = 4401
_ROLE_CHANGED: Final = 4402  # the page connects again
_TOO_MANY: Final = 4429
_CHECK_S: Final = 0.4  # a removed token closes its pages within 1 s
_FULL_S: Final = 0.05  # between two looks at a page that reads slowly
_MAX_PAGES: Final = 200
_REQUESTS_PER_S, _REQUESTS_BURST = 10.0, 60.0  # of a page; beyond that its requests wait, unread
STATIC = resources.files("monitor.web") / "static"


def build_application(hub: Hub, feed: Feed, access: Access, history: History) -> web.Application:
    """The application for one hub, its feed, and the past of its monitors."""
    app = web.Application(client_max_size=MAX_REQUEST_BYTES)
    access.install(app)

    async def index(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(str(STATIC / "index.html"), headers={"Cache-Control": "no-cache"})

    async def socket(request: web.Request) -> web.WebSocketResponse:
        return await _serve_page(request, hub, feed, access)

    app.router.add_get("/", index)
    app.router.add_get("/ws", socket)
    add_history(app, history)
    app.router.add_static("/static", str(STATIC))
    return app


async def _serve_page(request: web.Request, hub: Hub, feed: Feed, access: Access) -> web.WebSocketResponse:
    ws = web.WebSocketResponse(heartbeat=10.0, timeout=2.0, max_msg_size=MAX_REQUEST_BYTES, compress=False)
    await ws.prepare(request)
    person = access.person(request)
    if person is None:
        reason = b"access was removed or has ended" if access.has_cookie(request) else b"a link with a token is needed"
        await ws.close(code=_NO_ACCESS, message=reason)
        return ws
    if len(hub.pages) >= _MAX_PAGES:
        await ws.close(code=_TOO_MANY, message=b"too many pages are open")
        return ws
    waiting = asyncio.Event()
    page = Page(waiting.set)
    page.put(own_frame("hello", monitors=hub.names, name=person.name, role=person.role))
    hub.pages.add(page)
    sender = asyncio.create_task(_send(ws, page, waiting))
    watcher = asyncio.create_task(_watch_access(ws, request, person, access, page, hub, sender))
    tasks: set[asyncio.Task[None]] = set()
    rate = TokenBucket(_REQUESTS_PER_S, _REQUESTS_BURST, time.monotonic())
    try:
        async for message in ws:
            if message.type is not WSMsgType.TEXT:
                break
            while (wait_s := rate.take(time.monotonic())) > 0.0:
                await asyncio.sleep(wait_s)
            if access.person(request) != person:
                continue  # the watcher closes the page
            try:
                wanted = decode_request(message.data)
            except ValueError as error:
                page.put(own_frame("reply", id=0, ok=False, error=str(error)))
                continue
            task = asyncio.create_task(_answer(page, wanted, hub, feed, person))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    finally:
        hub.remove(page)
        watcher.cancel()
        sender.cancel()
        for task in tasks:
            task.cancel()
    return ws


async def _watch_access(
    ws: web.WebSocketResponse,
    request: web.Request,
    person: Person,
    access: Access,
    page: Page,
    hub: Hub,
    sender: asyncio.Task[None],
) -> None:
    """Close the page when its session ends, its token is removed, or its role changes."""
    while (now := access.person(request)) == person:
        await asyncio.sleep(_CHECK_S)
    hub.remove(page)
    sender.cancel()
    if now is None:
        await ws.close(code=_NO_ACCESS, message=b"access was removed or has ended")
    else:
        await ws.close(code=_ROLE_CHANGED, message=b"the role has changed")


async def _send(ws: web.WebSocketResponse, page: Page, waiting: asyncio.Event) -> None:
    """Send the frames of a page, one after the other; a slow page makes them wait."""
    while True:
        await waiting.wait()
        waiting.clear()
        while (frame := page.take()) is not None:
            await (ws.send_str(frame) if isinstance(frame, str) else ws.send_bytes(frame))
        if page.behind:
            await ws.close(code=_BEHIND, message=b"too slow")
            return


async def _answer(page: Page, wanted: PageRequest, hub: Hub, feed: Feed, person: Person) -> None:
    if wanted.monitor >= len(hub.names):
        page.put(own_frame("reply", id=wanted.id, ok=False, error=f"no monitor {wanted.monitor}"))
        return
    if wanted.op == "view":
        hub.view(page, wanted.waves, wanted.beats)
        return
    if wanted.op == "start":
        if not page.started:
            hub.start(page)
            numbers = range(len(hub.names))
            await asyncio.gather(*(_recover(page, number, hub, feed, wanted.have) for number in numbers))
        return
    if not person.may(wanted.op):
        error = f"{wanted.op}: needs an operator; {person.name} is a {person.role}"
        page.put(own_frame("reply", id=wanted.id, ok=False, error=error))
        return
    request = Request(
        op=wanted.op,
        bed=wanted.bed,
        alarm_id=wanted.alarm_id,
        who=person.name or wanted.who,
        seconds=wanted.seconds,
        first_sample=wanted.first_sample,
        n=wanted.n,
    )
    try:
        reply = await feed.request(wanted.monitor, request)
    except ClientError as error:
        reply = Reply(ok=False, error=str(error))
    page.put(own_frame("reply", id=wanted.id, ok=reply.ok, error=reply.error, data=reply.data))


async def _recover(page: Page, number: int, hub: Hub, feed: Feed, positions: Mapping[str, Position]) -> None:
    """Give a page the alarm messages of a monitor that it missed: those kept here, then those of the journal."""
    have = positions.get(hub.names[number])
    wanted = [] if have is None else await hub.missed(page, number, have)
    complete = True
    for topic, place in wanted:
        complete &= await _recover_topic(page, number, feed, topic, place)
    await hub.set_recovered(page, number, complete)


async def _recover_topic(page: Page, number: int, feed: Feed, topic: str, place: Place) -> bool:
    """Give a page the messages of a topic after a place; returns whether the journal had all of them."""
    complete = more = True
    epoch, seq = place.epoch, place.seq
    while more:
        while page.full:
            await asyncio.sleep(_FULL_S)
        try:
            reply = await feed.request(number, Request(op="since", topic=topic, epoch=epoch, seq=seq))
        except ClientError:
            continue  # the monitor is gone: its journal is read once it is back
        if not reply.ok:
            return False
        for raw in reply.messages:
            page.put(text_frame(number, topic, bytes(raw)))
        more, epoch, seq = (reply.data[key] for key in ("more", "epoch", "seq"))
        complete &= reply.complete
    return complete
