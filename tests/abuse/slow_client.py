"""A client behind a slow link, in a network namespace of its own: `python -m tests.abuse.slow_client URL TOKEN`.

It asks for everything by `resume` and reads as a telephone on a bad network does: with small buffers, a little at a
time. Prints one line of JSON: the frames by type, and how it ended.
"""

import asyncio
import json
import socket
import sys
from collections import Counter
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

RECEIVE_BYTES = 4 * 1024
PAUSE_SECONDS = 0.002


async def main(url: str, token: str) -> None:
    parts = urlsplit(url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    connection.connect((parts.hostname, parts.port))
    seen: Counter[str] = Counter()
    ended = "resumed"
    async with connect(
        url,
        sock=connection,
        subprotocols=[Subprotocol("access_token"), Subprotocol(token)],
        compression=None,
        max_size=None,
        max_queue=1,
    ) as socket_:
        try:
            await socket_.recv()  # hello
            await socket_.send(json.dumps({"type": "resume", "epoch": "another", "cursors": {}}))
            while not seen["resumed"]:
                seen[json.loads(await asyncio.wait_for(socket_.recv(), 60))["type"]] += 1
                await asyncio.sleep(PAUSE_SECONDS)
        except ConnectionClosed as closed:
            ended = f"closed {closed.rcvd.code if closed.rcvd else 1006}"
    print(json.dumps({"frames": dict(seen), "ended": ended}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
