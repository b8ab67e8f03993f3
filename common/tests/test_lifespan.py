"""What belongs to a process ends with it."""

import asyncio

from common import lifespan


async def test_a_task_that_swallows_one_cancellation_is_cancelled_again_and_one_that_swallows_all_is_left():
    async def stubborn(times: int) -> None:
        for _ in range(times):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    async def failing() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("at the end")

    once, always, at_once, failed = [
        asyncio.ensure_future(work) for work in (stubborn(2), stubborn(5), asyncio.Event().wait(), failing())
    ]
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await lifespan.end([once, always, at_once, failed], within_s=0.05)
    assert once.done()
    assert at_once.cancelled()
    assert isinstance(failed.exception(), RuntimeError)
    assert not always.done()
    while not always.done():
        always.cancel()
        await asyncio.sleep(0)


async def test_there_may_be_nothing_to_end():
    await lifespan.end([])
