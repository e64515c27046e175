"""A bucket of an S3-compatible store, over s3fs: small requests with a limit of time, and errors in our words.

What is put is whole or not there (one request, whose SHA-256 the store checks), and everybody sees it from then on:
AWS S3, MinIO and Ceph promise both. https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel
"""

import base64
import configparser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientError as TransportError
from botocore.exceptions import BotoCoreError, ClientError
from fsspec.asyn import sync
from s3fs import S3FileSystem

from node.errors import NoRoom, StoreAway, UsageError
from node.settings import S3Settings

_ATTEMPTS: Final = 2
"""Of one request: more would keep a sender waiting who can send again."""
AT_ONCE: Final = 16
"""Requests of one process that are under way together."""
_READS: Final = 10
"""By how much longer an object may come in than a request is answered."""
_SLOWEST_BYTES_PER_S: Final = 2**20
_FULL: Final = frozenset({"XMinioStorageFull", "QuotaExceeded", "QuotaExceededException", "InsufficientStorage", "507"})
_GONE: Final = frozenset({"NoSuchKey", "404"})


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of the bucket."""

    key: str
    """Without the bucket's name."""
    size_bytes: int
    modified_at: datetime
    """By the store's clock."""


class Bucket:
    """One bucket; safe to use from any thread."""

    def __init__(self, settings: S3Settings) -> None:
        """Nothing is connected to before it is used."""
        self._name, self._timeout_s = settings.bucket, settings.timeout_s
        limits = {
            "connect_timeout": min(settings.timeout_s, 5.0),
            "read_timeout": settings.timeout_s,
            "retries": {"total_max_attempts": _ATTEMPTS, "mode": "standard"},
            "max_pool_connections": AT_ONCE,
            # Only what we ask for: stores that are not Amazon's know few of the newer checksums.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
            # A host name for each bucket is something that only Amazon's certificates know.
            "s3": {"addressing_style": "path" if settings.endpoint else "auto"},
        }
        client = {"region_name": settings.region} if settings.region else {}
        client |= {"verify": str(settings.ca)} if settings.ca else {}
        self._files = S3FileSystem(
            endpoint_url=settings.endpoint,
            **_credentials(settings),
            client_kwargs=client,
            config_kwargs=limits,
            skip_instance_cache=True,
        )
        self._files.retries = 1  # its own, around those above

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        """The objects whose keys begin with ``prefix``; StoreAway, NoRoom."""
        more: dict[str, Any] = {}
        while True:
            with _in_our_words():
                page = self._call("list_objects_v2", Prefix=prefix, **more)
            for one in page.get("Contents", ()):
                yield StoredObject(one["Key"], one["Size"], one["LastModified"])
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def put(self, key: str, content: bytes, sha256: str) -> None:
        """Store an object, durably and whole; StoreAway, NoRoom."""
        check = base64.b64encode(bytes.fromhex(sha256)).decode()
        within_s = self._within_s + len(content) / _SLOWEST_BYTES_PER_S
        with _in_our_words():
            self._call("put_object", Key=key, Body=content, ChecksumSHA256=check, timeout=within_s)

    def get(self, key: str) -> bytes | None:
        """The bytes of an object; None when there is none. StoreAway, NoRoom."""
        with _in_our_words():
            try:
                content: bytes = sync(self._files.loop, self._read, key, timeout=_READS * self._within_s)
            except FileNotFoundError as exc:
                if _code(exc) in _GONE:
                    return None
                raise
        return content

    async def _read(self, key: str) -> bytes:
        """In one request, where s3fs' own ``cat_file`` asks for the size first."""
        answer = await self._files._call_s3("get_object", Bucket=self._name, Key=key)  # noqa: SLF001 — see above
        async with answer["Body"] as body:
            content: bytes = await body.read()
        return content

    def delete(self, key: str) -> None:
        """Remove an object, or find it gone; StoreAway, NoRoom."""
        with _in_our_words():
            self._call("delete_object", Key=key)

    @property
    def _within_s(self) -> float:
        """For a request and its repetition, and a second for what lies between."""
        return _ATTEMPTS * self._timeout_s + 1

    def _call(self, name: str, **words: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._files.call_s3(name, Bucket=self._name, **{"timeout": self._within_s} | words)
        return answer


@contextmanager
def _in_our_words() -> Iterator[None]:
    """Foreign errors by their codes alone: their messages may quote keys of access and addresses."""
    try:
        yield
    except (OSError, BotoCoreError, TransportError) as exc:
        if (code := _code(exc)) in _FULL:
            raise NoRoom(f"the object store has no room: {code}") from exc
        raise StoreAway(f"the object store cannot be used: {code}") from exc


def _code(error: Exception) -> str:
    """What the store has called it, or else what kind of error it is."""
    said = error.__cause__ if isinstance(error.__cause__, ClientError) else error
    answer = getattr(said, "response", None)
    code = answer.get("Error", {}).get("Code") if isinstance(answer, dict) else None
    return str(code or type(error).__name__)


def _credentials(settings: S3Settings) -> dict[str, str]:
    """As s3fs takes them; nothing where they are to be found as Amazon's own programs find theirs.

    Raises:
        UsageError: the file that is named holds none.
    """
    if settings.credentials is None:
        given = {"key": settings.access_key.get_secret_value(), "secret": settings.secret_key.get_secret_value()}
        return given if given["key"] else {}
    return _read(settings.credentials, settings.profile)


def _read(file: Path, profile: str) -> dict[str, str]:
    found = configparser.ConfigParser(interpolation=None)
    try:
        found.read_string(file.read_text(encoding="utf-8"))
        section = found[profile]
        given = {"key": section["aws_access_key_id"], "secret": section["aws_secret_access_key"]}
    except OSError as exc:
        raise UsageError(f"blobs.s3.credentials: {file}: {exc.strerror}") from exc
    except (KeyError, ValueError, configparser.Error) as exc:
        # Without what it says: it quotes the file.
        words = f"blobs.s3.credentials: {file}: no aws_access_key_id and aws_secret_access_key in [{profile}]"
        raise UsageError(words) from (exc if isinstance(exc, KeyError) else None)
    return given | ({"token": section["aws_session_token"]} if "aws_session_token" in section else {})
