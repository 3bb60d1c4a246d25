"""Forward TCP connections: python -m stress.forward PORT TO_PORT

Forwards PORT and the two ports after it to TO_PORT and the two after it, all on 127.0.0.1, as a tunnel to a monitor on
another machine does. Stopped with SIGSTOP it is a network that loses everything and reports nothing.
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


async def serve(port: int, to_port: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", to_port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    await server.serve_forever()


async def main(port: int, to_port: int) -> None:
    await asyncio.gather(*(serve(port + step, to_port + step) for step in range(3)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
