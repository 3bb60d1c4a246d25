"""The aiohttp application: static files of the page, and one WebSocket for each page."""

from __future__ import annotations

import asyncio
from importlib import resources
from typing import Final

from aiohttp import WSMsgType, web

from monitor import VERSION
from monitor.messages import Request
from monitor.web.feed import Feed
from monitor.web.frames import MAX_REQUEST_BYTES, PageRequest, decode_request, own_frame, text_frame
from monitor.web.pages import Hub, Page

__all__ = ["build_application"]

_BEHIND: Final = 4008  # close code of a page that does not read
_STATIC = resources.files("monitor.web") / "static"


def build_application(hub: Hub, feed: Feed) -> web.Application:
    """The application for one hub and its feed."""
    app = web.Application(client_max_size=MAX_REQUEST_BYTES)

    async def index(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(str(_STATIC / "index.html"), headers={"Cache-Control": "no-cache"})

    async def socket(request: web.Request) -> web.WebSocketResponse:
        return await _serve_page(request, hub, feed)

    app.router.add_get("/", index)
    app.router.add_get("/ws", socket)
    app.router.add_static("/static", str(_STATIC))
    return app


async def _serve_page(request: web.Request, hub: Hub, feed: Feed) -> web.WebSocketResponse:
    ws = web.WebSocketResponse(heartbeat=10.0, max_msg_size=MAX_REQUEST_BYTES, compress=False)
    await ws.prepare(request)
    waiting = asyncio.Event()
    page = Page(waiting.set)
    page.put(own_frame("hello", version=VERSION, monitors=hub.names, name="", role="operator"))
    hub.pages.add(page)
    sender = asyncio.create_task(_send(ws, page, waiting))
    tasks: set[asyncio.Task[None]] = set()
    try:
        async for message in ws:
            if message.type is not WSMsgType.TEXT:
                break
            try:
                wanted = decode_request(message.data)
            except ValueError as error:
                page.put(own_frame("reply", id=0, ok=False, error=str(error)))
                continue
            task = asyncio.create_task(_answer(page, wanted, hub, feed))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    finally:
        hub.remove(page)
        sender.cancel()
        for task in tasks:
            task.cancel()
    return ws


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


async def _answer(page: Page, wanted: PageRequest, hub: Hub, feed: Feed) -> None:
    if wanted.monitor >= len(hub.names):
        page.put(own_frame("reply", id=wanted.id, ok=False, error=f"no monitor {wanted.monitor}"))
        return
    if wanted.op == "view":
        hub.view(page, wanted.waves, wanted.beats)
        return
    if wanted.op == "start":
        for number, topic, epoch, seq in hub.start(page, wanted.have):
            await _recover(page, feed, number, topic, epoch, seq)
        return
    request = Request(
        op=wanted.op,
        bed=wanted.bed,
        alarm_id=wanted.alarm_id,
        who=wanted.who,
        seconds=wanted.seconds,
        first_sample=wanted.first_sample,
        n=wanted.n,
    )
    reply = await feed.request(wanted.monitor, request)
    page.put(own_frame("reply", id=wanted.id, ok=reply.ok, error=reply.error, data=reply.data))


async def _recover(page: Page, feed: Feed, number: int, topic: str, epoch: str, seq: int) -> None:
    """Give a page that was away the messages of a topic after `seq` of run `epoch`, from the monitor's journal."""
    more = True
    while more:
        reply = await feed.request(number, Request(op="since", topic=topic, epoch=epoch, seq=seq))
        for raw in reply.messages:
            page.put(text_frame(number, topic, bytes(raw)))
        more, epoch, seq = (reply.data[key] for key in ("more", "epoch", "seq")) if reply.ok else (False, "", 0)
