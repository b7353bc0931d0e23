"""What records conversations to be replayed."""

import asyncio
from contextlib import AsyncExitStack

from config import Settings
from observers.trace_files import TraceFiles
from parts.errors import StartFailed


def open_traces(settings: Settings, resources: AsyncExitStack) -> TraceFiles | None:
    """Return what records conversations, or None where no folder is named.

    Raises:
        StartFailed: the folder cannot be written to.
    """
    if settings.trace_folder is None:
        return None
    try:
        traces = TraceFiles(settings.trace_folder, every=settings.trace_every, is_masked=settings.is_trace_masked)
    except OSError as error:
        raise StartFailed(f"SESSION_TRACE_DIR cannot be used: {error}") from error
    traces.start()
    resources.push_async_callback(asyncio.to_thread, traces.close)
    return traces
