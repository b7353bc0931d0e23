"""The store of recordings and other sound, opened as the settings ask."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from config import LOCAL_FOLDER, Settings
from parts.database import local_key
from parts.errors import StartFailed
from storage.errors import StorageError
from storage.object_folder import FolderStore
from storage.object_links import LinkSigner
from storage.object_s3 import Encryption, open_s3
from storage.objects import ObjectStore

LINKS: Final = "/recordings/content"
"""Where the API answers links into the folder."""


async def open_objects(settings: Settings, resources: AsyncExitStack) -> ObjectStore | None:
    """Return the store that the settings choose, None where they name none. That a bucket is away is no reason not to start.

    Raises:
        StartFailed: there are no credentials for the bucket, no key for the folder's links, or the folder cannot be used.
    """
    folder = settings.recordings_folder or (LOCAL_FOLDER / "recordings" if settings.local else None)
    if settings.audio_bucket:
        store: ObjectStore = await _open_bucket(settings)
    elif folder is None:
        return None
    else:
        store = await _open_folder(settings, folder)
    resources.push_async_callback(store.aclose)
    return store


async def _open_bucket(settings: Settings) -> ObjectStore:
    try:
        store = await open_s3(settings.region, settings.audio_bucket, Encryption(settings.audio_kms_key))
    except StorageError as error:
        raise StartFailed(f"AUDIO_STORAGE_BUCKET cannot be used: {error}") from error
    return store


async def _open_folder(settings: Settings, folder: Path) -> ObjectStore:
    keys = settings.recordings_keys
    if not keys and not settings.local:
        raise StartFailed("RECORDINGS_KEY is not set, and links into RECORDINGS_DIR are signed with it: openssl rand -base64 32")
    try:
        signer = LinkSigner(keys or (await asyncio.to_thread(local_key, LOCAL_FOLDER / "recordings.key"),))
        store = FolderStore(folder, signer, LINKS)
        await store.ping()
    except (StorageError, OSError) as error:
        raise StartFailed(f"RECORDINGS_DIR cannot be used: {error}") from error
    return store
