"""Stores of objects of each driver; every test gets keys of its own."""

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from storage.object_folder import FolderStore
from storage.object_links import LinkSigner
from storage.objects import ObjectStore

_places = count(1)


@pytest.fixture
def place() -> str:
    """Return the beginning of keys that no other test uses."""
    return f"test-{next(_places)}"


@pytest.fixture
async def objects(tmp_path: Path) -> AsyncIterator[ObjectStore]:
    """Open each driver in turn."""
    folder = FolderStore(tmp_path / "objects", LinkSigner([bytes(32)]), "/recordings/content")
    yield folder
    await folder.aclose()
