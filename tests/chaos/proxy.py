"""A TCP proxy whose connections can go dead without an end: what a phone in a tunnel looks like to both sides."""

import asyncio
from contextlib import suppress

CHUNK = 65_536


class Proxy:
    """`async with Proxy(port) as proxy: … proxy.port … proxy.freeze()`: what is frozen stays open and says nothing."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self._generation = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()

    def freeze(self) -> int:
        """Freeze every connection there is, for ever; those made from now on work. Return how many."""
        self._generation += 1
        return len(self._writers) // 2

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, there}
        for source, sink in ((reader, there), (there_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink, self._generation))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, generation: int) -> None:
        with suppress(OSError):
            while data := await source.read(CHUNK):
                if generation != self._generation:
                    await asyncio.Event().wait()
                sink.write(data)
                await sink.drain()
        if generation == self._generation:
            self._writers.discard(sink)
            sink.close()
