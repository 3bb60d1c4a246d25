"""Pages without a browser: WebSocket clients that show waves; they print what they received at the end.

python -m benchmarks.web_clients http://127.0.0.1:8080/ 50 4 20        # 50 clients of 4 beds each, for 20 s
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import aiohttp

MAX_BYTES = 1 << 22


async def client(address: str, number: int, beds: int, until_s: float) -> dict[str, Any]:
    """One page that reads everything: bytes, waves, and the longest time between two frames about the connection."""
    received: dict[str, Any] = {"bytes": 0, "waves": [], "gap_s": 0.0, "closed": False}
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{address}ws", max_msg_size=MAX_BYTES) as ws:
        await ws.send_json({"op": "start"})
        last_s = None
        chosen = False
        while (left_s := until_s - time.time()) > 0:
            try:
                message = await ws.receive(left_s)
            except TimeoutError:
                break
            if message.type is aiohttp.WSMsgType.BINARY:
                received["bytes"] += len(message.data)
                length = int.from_bytes(message.data[2:4], "little")
                header = json.loads(message.data[4 : 4 + length])
                received["waves"].append((header["bed"], header["first_sample"] + header["n"] - 1, time.time()))
            elif message.type is aiohttp.WSMsgType.TEXT:
                received["bytes"] += len(message.data)
                head, _, body = message.data.partition("\n")
                if head == "*" and json.loads(body)["type"] == "connection":
                    now_s = time.time()
                    received["gap_s"] = max(received["gap_s"], now_s - (last_s or now_s))
                    last_s = now_s
                elif not chosen and head.endswith("/heartbeat/"):
                    chosen = True
                    names = json.loads(body)["beds"]
                    wanted = [[0, names[(number * beds + at) % len(names)]] for at in range(min(beds, len(names)))]
                    await ws.send_json({"op": "view", "waves": wanted})
            else:
                received["closed"] = True
                break
    return received


async def run(address: str, count: int, beds: int, seconds: float) -> None:
    until_s = time.time() + seconds
    results = await asyncio.gather(*(client(address, number, beds, until_s) for number in range(count)))
    print(json.dumps(results))


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
