"""Debian's Chromium, driven over its own protocol: what a page does in a real browser, with nothing to install."""

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.servers import free_port

BINARY = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
FLAGS += "--disable-component-update --disable-sync"


class Tab:
    """`requests`: every address and body that the page sent; `complaints`: what the console said against it."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.count = 0
        self.waiting: dict[int, asyncio.Future[Any]] = {}
        self.requests: list[dict[str, Any]] = []
        self.complaints: list[str] = []

    async def listen(self) -> None:
        async for raw in self.connection:
            message = json.loads(raw)
            if "id" in message:
                self.waiting.pop(message["id"]).set_result(message)
            elif message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"])
            elif message["method"] == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(message["params"]))
            elif message["method"] == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                self.complaints.append(message["params"]["entry"]["text"])

    async def call(self, method: str, **params: Any) -> Any:
        self.count += 1
        answer = self.waiting[self.count] = asyncio.get_running_loop().create_future()
        await self.connection.send(json.dumps({"id": self.count, "method": method, "params": params}))
        message = await asyncio.wait_for(answer, 60)
        assert "error" not in message, message
        return message["result"]

    async def run(self, script: str) -> Any:
        """Evaluate JavaScript in the page and return its value."""
        result = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, script: str, within_s: float = 60) -> Any:
        """Wait until the page makes `script` true."""
        async with asyncio.timeout(within_s):
            while not (value := await self.run(script)):
                await asyncio.sleep(0.02)
        return value

    async def go(self, address: str, language: str = "en") -> None:
        await self.call("Network.setExtraHTTPHeaders", headers={"Accept-Language": language})
        await self.call("Page.navigate", url="about:blank")  # a new fragment alone would load nothing
        await self.until("location.href === 'about:blank'")
        await self.call("Page.navigate", url=address)
        await self.until("location.href !== 'about:blank' && document.readyState === 'complete'")


@asynccontextmanager
async def tab() -> AsyncIterator[Tab]:
    """Open a browser of its own with an empty profile and yield its only tab."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="alviar-chromium-", ignore_cleanup_errors=True) as profile:
        command = [str(BINARY), *FLAGS.split(), f"--user-data-dir={profile}", f"--remote-debugging-port={port}"]
        browser = subprocess.Popen(
            [*command, "about:blank"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            async with connect(await asyncio.to_thread(_address, port), max_size=None) as connection:
                opened = Tab(connection)
                listening = asyncio.create_task(opened.listen())
                try:
                    for domain in ("Page", "Runtime", "Log", "Network"):
                        await opened.call(f"{domain}.enable")
                    yield opened
                finally:
                    listening.cancel()
        finally:
            browser.terminate()
            browser.wait(60)


def _address(port: int) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=10) as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
        except OSError:
            pages = []
        if pages:
            return str(pages[0]["webSocketDebuggerUrl"])
        time.sleep(0.1)
    raise AssertionError("Chromium did not start")
