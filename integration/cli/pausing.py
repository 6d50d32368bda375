"""The wait between two looks of a command that follows something."""

from __future__ import annotations

import asyncio


async def pause(seconds: float) -> None:
    """Ends also after a Ctrl-C that came while something was read: `asyncio.wait_for` of Python 3.11, which
    the libraries use, swallows a cancellation that meets its result."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    await asyncio.sleep(seconds)
