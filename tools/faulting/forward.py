"""Forward TCP connections: python -m faulting.forward HOST PORT TO_PORT

PORT and the two after it on HOST go to TO_PORT and the two after it on 127.0.0.1. A monitor listens on the loopback
address only; this stands for the tunnel through which another machine watches it. Stopped (SIGSTOP) it is a network
in which everything is lost without a word.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

PIECE = 1 << 16


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
    writer.close()


async def serve(host: str, port: int, to_port: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", to_port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    server = await asyncio.start_server(connected, host, port)
    await server.serve_forever()


async def main(host: str, port: int, to_port: int) -> None:
    await asyncio.gather(*(serve(host, port + step, to_port + step) for step in range(3)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
