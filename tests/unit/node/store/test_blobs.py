"""The port of a blob store, as a folder and as a bucket fulfil it: one specification for both."""

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from node.settings import S3Settings
from node.store import s3_blobs
from node.store.blobs import BlobStore
from node.store.copies import Copies
from node.store.folder_blobs import FolderBlobs
from node.store.retention import GRACE
from node.store.s3 import Bucket
from node.store.s3_blobs import S3Blobs
from tests.servers import PrivateS3, running_s3

KINDS = ("folder", "bucket")


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateS3]:
    """One S3 server for all."""
    with running_s3() as started:
        yield started


@dataclass(frozen=True)
class Hosts:
    """One store as several hosts have it open."""

    another: Callable[[], BlobStore]
    """The store on one more host."""
    let_time_pass: Callable[[], None]
    """Let everything that is stored have been stored long ago."""


@pytest.fixture(params=KINDS)
def hosts(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    """An empty store."""
    if request.param == "folder":
        root = tmp_path / "blobs"

        def grow_old() -> None:
            for found in FolderBlobs(root).files():
                os.utime(found.path, (0, 0))

        return Hosts(lambda: FolderBlobs(root), grow_old)
    settings = S3Settings.model_validate(request.getfixturevalue("server").settings)
    prefix, numbers = uuid.uuid4().hex, count()

    def another() -> BlobStore:
        return S3Blobs(Bucket(settings), prefix, Copies(tmp_path / f"host {next(numbers)}", 10**9))

    return Hosts(another, lambda: monkeypatch.setattr(s3_blobs, "LATELY", timedelta(seconds=-60)))


@pytest.fixture
def blobs(hosts: Hosts) -> BlobStore:
    """The store on one host."""
    return hosts.another()


def test_the_name_is_the_digest_and_the_bytes_are_those_that_were_given(blobs: BlobStore) -> None:
    """The name is the SHA-256, never anything from the content."""
    blob = blobs.put(b"pixels")
    digest = hashlib.sha256(b"pixels").hexdigest()
    assert (blob.sha256, blob.size_bytes, blob.path.name) == (digest, 6, digest)
    assert blob.path == blobs.path_of(digest)
    blobs.bring([blob.path])
    assert blob.path.read_bytes() == b"pixels"


def test_a_digest_that_is_known_already_is_not_made_again(blobs: BlobStore) -> None:
    """Whoever received the content made it on the way."""
    assert blobs.put(b"pixels", hashlib.sha256(b"pixels").hexdigest()) == blobs.put(b"pixels")


def test_what_one_host_stored_another_reads(hosts: Hosts) -> None:
    """As soon as it is stored, and many at once."""
    one, other = hosts.another(), hosts.another()
    contents = [f"slice {number}".encode() for number in range(12)]
    digests = [one.put(content).sha256 for content in contents]
    paths = [other.path_of(digest) for digest in digests]
    other.bring(paths)
    assert [path.read_bytes() for path in paths] == contents


def test_the_same_content_is_kept_once(hosts: Hosts) -> None:
    """Whoever stores it again, on whichever host."""
    first = [hosts.another().put(b"pixels").sha256 for _ in range(3)]
    assert [found.sha256 for found in hosts.another().files()] == first[:1]


def test_the_same_content_is_stored_by_many_at_once(hosts: Hosts) -> None:
    """None of them fails, and it is whole afterwards."""
    one, other = hosts.another(), hosts.another()
    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(lambda store: store.put(b"pixels").sha256, [one, other] * 8))
    assert len(set(stored)) == 1
    path = one.path_of(stored[0])
    one.bring([path])
    assert path.read_bytes() == b"pixels"


def test_everything_that_is_stored_is_found(blobs: BlobStore) -> None:
    """Also more than comes on one page of a list; and what is not there is not."""
    digests = {blobs.put(f"slice {number}".encode()).sha256 for number in range(12)}
    assert {found.sha256 for found in blobs.files()} == digests
    found = blobs.find(min(digests))
    assert found is not None
    assert (found.sha256, found.is_part, found.is_doomed) == (min(digests), False, False)
    assert found.size_bytes in (len(b"slice 1"), len(b"slice 10"))
    assert blobs.find("0" * 64) is None


def test_what_is_not_there_is_not_brought(blobs: BlobStore) -> None:
    """Whoever reads it says that it is gone."""
    path = blobs.path_of("0" * 64)
    blobs.bring([path])
    assert not path.exists()


def test_what_was_removed_is_gone_on_every_host_that_has_not_read_it(hosts: Hosts) -> None:
    """Nothing is left of it to be found."""
    one = hosts.another()
    blob = one.put(b"pixels")
    kept = one.put(b"others")
    found = one.find(blob.sha256)
    assert found is not None
    assert one.remove(found)
    other = hosts.another()
    assert [left.sha256 for left in other.files()] == [kept.sha256]
    other.bring([other.path_of(blob.sha256)])
    assert not other.path_of(blob.sha256).exists()


def test_what_is_stored_again_before_it_is_removed_stays(hosts: Hosts) -> None:
    """Somebody is about to refer to it: whoever found it old takes only what he has found."""
    sweeper, writer = hosts.another(), hosts.another()
    digest = writer.put(b"pixels").sha256
    hosts.let_time_pass()
    found = sweeper.find(digest)
    assert found is not None
    writer.put(b"pixels")
    sweeper.remove(found)
    reader = hosts.another()
    reader.bring([reader.path_of(digest)])
    assert reader.path_of(digest).read_bytes() == b"pixels"


def test_what_is_stored_anew_after_it_was_removed_stays(hosts: Hosts) -> None:
    """Also when a second one removes what he has found before that."""
    slow, quick, writer = hosts.another(), hosts.another(), hosts.another()
    digest = writer.put(b"pixels").sha256
    hosts.let_time_pass()
    found = [store.find(digest) for store in (slow, quick)]
    assert found[0] is not None
    assert found[1] is not None
    assert quick.remove(found[1])
    writer.put(b"pixels")
    slow.remove(found[0])
    reader = hosts.another()
    reader.bring([reader.path_of(digest)])
    assert reader.path_of(digest).read_bytes() == b"pixels"


def test_what_was_stored_again_counts_as_stored_now(hosts: Hosts) -> None:
    """A sweep goes by that."""
    one = hosts.another()
    digest = one.put(b"pixels").sha256
    hosts.let_time_pass()
    before = one.find(digest)
    one.put(b"pixels")
    after = one.find(digest)
    assert before is not None
    assert after is not None
    assert before.touched_ns <= after.touched_ns


def test_a_sweep_of_a_store_at_rest_takes_nothing(blobs: BlobStore) -> None:
    """There is nothing half-written in it."""
    blobs.put(b"pixels")
    assert blobs.sweep() == 0
    assert len(list(blobs.files())) == 1


def test_a_store_belongs_to_the_first_database_that_asks(hosts: Hosts) -> None:
    """On every host."""
    one, other = hosts.another(), hosts.another()
    assert one.belongs_to("a")
    assert other.belongs_to("a")
    assert not other.belongs_to("b")
    assert one.belongs_to("a")


def test_there_is_room_on_this_machine(blobs: BlobStore) -> None:
    """For blobs, or for copies of them."""
    assert blobs.free_bytes() > 0


def test_nobody_relies_on_what_a_sweep_may_remove() -> None:
    """What a writer takes as stored lately has its row long before it counts as abandoned."""
    assert 2 * s3_blobs.LATELY <= GRACE
