"""Stores of objects of each driver; every test gets keys of its own."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import boto3
import pytest

from storage.object_folder import FolderStore
from storage.object_links import LinkSigner
from storage.object_s3 import Encryption, S3Store, open_s3
from storage.objects import ObjectStore
from tests import ministack

BUCKET = "airium-audio-storage-000000000000-us-east-1"


@pytest.fixture
def place() -> str:
    """Return the beginning of keys that no other test uses."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def s3_bucket(dynamodb_endpoint: str) -> Iterator[str]:
    """Make a bucket, and have boto3 find it by environment variables alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", dynamodb_endpoint)
        for name, value in ministack.CREDENTIALS.items():
            patch.setenv(name, value)
        client = boto3.client("s3", region_name=ministack.REGION)
        client.create_bucket(Bucket=BUCKET)
        client.close()
        yield BUCKET


@pytest.fixture(scope="session")
def s3(s3_bucket: str) -> Iterator[S3Store]:
    """Open the S3 driver as the server does."""
    store = asyncio.run(open_s3(ministack.REGION, s3_bucket, Encryption()))
    yield store
    asyncio.run(store.aclose())


@pytest.fixture(scope="session", params=["folder", pytest.param("s3", marks=pytest.mark.dynamodb)])
def remote_objects(request: pytest.FixtureRequest) -> S3Store | None:
    """Choose each driver in turn; None stands for the embedded one."""
    return request.getfixturevalue("s3") if request.param == "s3" else None


@pytest.fixture
async def objects(remote_objects: S3Store | None, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    """Open each driver in turn."""
    if remote_objects is not None:
        yield remote_objects
        return
    embedded = FolderStore(tmp_path / "objects", LinkSigner([bytes(32)]), "/recordings/content")
    yield embedded
    await embedded.aclose()
