"""The store of recordings and other sound, opened as the settings ask."""

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from api.health import Check
from config import LOCAL_FOLDER, Settings
from parts import StartFailed, local_key
from storage.errors import StorageError
from storage.object_folder import FolderStore
from storage.object_links import LinkSigner
from storage.objects import ObjectStore

LINKS: Final = "/recordings/content"
"""Where the API answers links into the folder."""


async def open_objects(settings: Settings, resources: AsyncExitStack, checks: dict[str, Check]) -> ObjectStore | None:
    """Return the store that the settings choose, and add its check; None where they name none.

    Raises:
        StartFailed: there is no key for its links, or the folder cannot be used.
    """
    folder = settings.recordings_folder or (LOCAL_FOLDER / "recordings" if settings.local else None)
    if folder is None:
        return None
    keys = settings.recordings_keys
    if not keys and not settings.local:
        raise StartFailed("RECORDINGS_KEY is not set, and links into RECORDINGS_DIR are signed with it: openssl rand -base64 32")
    try:
        signer = LinkSigner(keys or (await asyncio.to_thread(local_key, LOCAL_FOLDER / "recordings.key"),))
        store = FolderStore(folder, signer, LINKS)
        await store.ping()
    except (StorageError, OSError) as error:
        raise StartFailed(f"RECORDINGS_DIR cannot be used: {error}") from error
    resources.push_async_callback(store.aclose)
    checks["recordings"] = store.ping
    return store
