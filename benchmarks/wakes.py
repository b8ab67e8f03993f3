"""The cost of a wake over each engine: CPU of both processes together, and the time from one to the other.

    python -m benchmarks.wakes [redis nats …] [--wakes 5000] [--bytes 400]

A publisher and a listener in one event loop. First wakes one by one (the time of each), then in batches of fifty, as
the hub sends what one commit brought. Every engine runs on this machine in this one run; the ratios are to plain Redis.
"""

import argparse
import asyncio
import os
import statistics
import time
from typing import Any

from django.utils.module_loading import import_string

from chat.hub.wakes.base import Wakes
from config import stores
from tests import engines

CHANNEL = "alviar__group__shard.7"
BATCH = 50


async def measure(name: str, wakes: int, size: int) -> dict[str, float]:
    with engines.started(name) as engine:
        said = engine.settings
        path, urls = stores.wakes(said.get("WAKES_URL", ""), said.get("REDIS_URL", ""))
        arrived: asyncio.Queue[float] = asyncio.Queue()
        make: Any = import_string(path)
        here: Wakes = make(urls, "here", lambda payload: None, lambda error: None)
        there: Wakes = make(urls, "there", lambda payload: arrived.put_nowait(time.perf_counter()), lambda error: None)
        for one in (here, there):
            one.start()
        await there.subscribe([CHANNEL])
        while CHANNEL not in there.subscribed or not all(one.was_heard for one in here.links):
            await asyncio.sleep(0.01)
        payload = os.urandom(size)
        took = []
        await publish(here, arrived, [payload] * 200)  # warm
        cpu = time.process_time()
        for _ in range(wakes // 5):
            started = time.perf_counter()
            await here.publish([(CHANNEL, payload)])
            took.append(await arrived.get() - started)
        single_us = (time.process_time() - cpu) / len(took) * 1e6
        cpu = time.process_time()
        for _ in range(wakes // BATCH):
            await publish(here, arrived, [payload] * BATCH)
        batched_us = (time.process_time() - cpu) / (wakes // BATCH * BATCH) * 1e6
        for one in (here, there):
            await one.stop()
        return {
            "p50_us": statistics.median(took) * 1e6,
            "p99_us": sorted(took)[len(took) * 99 // 100] * 1e6,
            "single_us": single_us,
            "batched_us": batched_us,
        }


async def publish(here: Wakes, arrived: "asyncio.Queue[float]", payloads: list[bytes]) -> None:
    await here.publish([(CHANNEL, payload) for payload in payloads])
    for _ in payloads:
        await arrived.get()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*engines.ENGINES, []], default=[])
    parser.add_argument("--wakes", type=int, default=5_000)
    parser.add_argument("--bytes", type=int, default=400)
    words = parser.parse_args()
    names = ["redis", *(name for name in words.names or engines.ENGINES if name != "redis")]
    found = {name: asyncio.run(measure(name, words.wakes, words.bytes)) for name in names}
    base = found["redis"]
    print(f"{words.wakes} wakes of {words.bytes} bytes; CPU of publisher and listener together; (ratio to Redis)")
    print(f"{'engine':16} {'p50':>15} {'p99':>10} {'CPU one by one':>20} {'CPU in batches':>20}")
    for name, one in found.items():
        print(
            f"{name:16} {one['p50_us']:7.0f} µs ({one['p50_us'] / base['p50_us']:.2f})"
            f" {one['p99_us']:7.0f} µs {one['single_us']:9.0f} µs ({one['single_us'] / base['single_us']:.2f})"
            f" {one['batched_us']:9.1f} µs ({one['batched_us'] / base['batched_us']:.2f})"
        )


if __name__ == "__main__":
    main()
