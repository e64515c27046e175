"""A bucket: whom it lets in, and what is not in it; what it does under blobs is in ``test_s3_blobs``."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.errors import UsageError
from node.settings import S3Settings
from node.store import s3
from node.store.s3 import Bucket
from tests.servers import PrivateS3, running_s3


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateS3]:
    """An S3 server."""
    with running_s3() as started:
        yield started


def test_objects_are_put_listed_read_and_deleted(server: PrivateS3) -> None:
    """More than one page of them; one that is not there has no bytes, and is deleted without a word."""
    bucket = Bucket(S3Settings.model_validate(server.settings))
    for number in range(7):
        content = str(number).encode()
        bucket.put(f"some/{number}", content, hashlib.sha256(content).hexdigest())
    assert [(one.key, one.size_bytes) for one in bucket.objects("some/")] == [(f"some/{one}", 1) for one in range(7)]
    assert bucket.get("some/3") == b"3"
    bucket.delete("some/3")
    bucket.delete("some/3")
    assert bucket.get("some/3") is None


def test_credentials_come_from_a_file(server: PrivateS3, tmp_path: Path) -> None:
    """In Amazon's own form, under the name of a profile."""
    file = tmp_path / "credentials"
    file.write_text("[celadon]\naws_access_key_id = A\naws_secret_access_key = B\naws_session_token = C\n")
    found = s3._credentials(S3Settings(bucket="images", credentials=file, profile="celadon"))
    assert found == {"key": "A", "secret": "B", "token": "C"}


@pytest.mark.parametrize("text", ["", "[default]\naws_access_key_id = HUSH\n", "HUSH = [", "[other]\nkey = HUSH\n"])
def test_a_file_without_credentials_is_wrong_usage_and_not_quoted(tmp_path: Path, text: str) -> None:
    """One line names the setting and the file."""
    file = tmp_path / "credentials"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"blobs\.s3\.credentials") as refused:
        Bucket(S3Settings(bucket="images", credentials=file))
    assert "HUSH" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    """The system's words for it."""
    with pytest.raises(UsageError, match="No such file"):
        Bucket(S3Settings(bucket="images", credentials=tmp_path / "nothing"))


def test_without_credentials_amazons_own_ways_are_gone(server: PrivateS3, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of other programs serves as well."""
    monkeypatch.setitem(os.environ, "AWS_ACCESS_KEY_ID", server.access_key)
    monkeypatch.setitem(os.environ, "AWS_SECRET_ACCESS_KEY", server.secret_key)
    there = S3Settings(bucket=server.bucket, endpoint=server.endpoint)
    assert list(Bucket(there).objects("nothing-lies-here")) == []
