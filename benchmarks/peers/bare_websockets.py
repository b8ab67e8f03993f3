"""The fastest thing there is to compare with: `websockets.broadcast`, no sign-in, nothing stored.

python -m benchmarks.peers.bare_websockets PORT
"""

import asyncio
import sys

import orjson
import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.peers.event import event

seq = 0


async def main(port: int) -> None:
    async def chat(connection: ServerConnection) -> None:
        global seq
        await connection.send('{"type":"hello"}')
        async for text in connection:
            frame = orjson.loads(text)
            seq += 1
            told = {"type": "events", "events": [event(seq, frame["content"], frame["client_msg_id"])]}
            broadcast(server.connections, orjson.dumps(told).decode())

    async with serve(
        chat,
        "127.0.0.1",
        port,
        compression=None,
        ping_interval=None,
        select_subprotocol=lambda connection, offered: offered[0] if offered else None,  # type: ignore[arg-type]
    ) as server:
        await asyncio.get_running_loop().create_future()


uvloop.run(main(int(sys.argv[1])))
