"""What is kept of uploads, and read again."""

import asyncio
from pathlib import Path

import pytest

from service.upload_files import UploadFiles
from storage.errors import StorageUnavailable
from storage.object_folder import FolderStore
from storage.object_links import LinkSigner


async def test_an_answer_that_cannot_be_read_leaves_no_other_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = FolderStore(tmp_path, LinkSigner((bytes(32),)), "http://localhost")
    for upload in ("1", "2"):
        await UploadFiles(objects, "s-1", upload, "ana").response({"heard": "hello", "text": "Hello."})
    reading: list[asyncio.Task[object] | None] = []

    async def get(key: str) -> bytes:
        if key.endswith("2.json"):
            raise StorageUnavailable("away")
        reading.append(asyncio.current_task())
        await asyncio.Event().wait()
        return b""

    monkeypatch.setattr(objects, "get", get)
    remembered = await UploadFiles(objects, "s-1", "3", "ana").earlier(10)
    await objects.aclose()

    assert remembered == ()
    assert [task is not None and task.done() for task in reading] == [True]
