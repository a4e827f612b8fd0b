import asyncio
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from osa_grpc.application.ports import FileStore
from osa_grpc.domain.errors import NotFoundError, OutOfRangeError, ResourceExhaustedError, UnavailableError
from osa_grpc.storage.files import ObstoreFileStore

OLD = timedelta(0)
MEBIBYTE = 1024 * 1024
NO_SUCH_KEY = "00/00000000-0000-4000-8000-000000000000"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
def local(directory: Path) -> ObstoreFileStore:
    return ObstoreFileStore(url=directory.as_uri())


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, directory: Path) -> ObstoreFileStore:
    """The same promises hold on local disk and in an object store."""
    return ObstoreFileStore(url=directory.as_uri() if request.param == "file" else "memory:///")


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def read(store: FileStore, key: str, offset: int = 0) -> bytes:
    return b"".join([chunk async for chunk in store.open_stream(key, offset=offset)])


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def all_files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


async def until_empty(directory: Path) -> None:
    async with asyncio.timeout(10):
        while all_files(directory):  # noqa: ASYNC110 - a fact of the file system, which rings no bell
            await asyncio.sleep(0.001)


async def test_what_was_stored_comes_back(store: ObstoreFileStore) -> None:
    content = os.urandom(20 * MEBIBYTE)
    stored = await store.put_stream(
        stream(*(content[n : n + 300_000] for n in range(0, len(content), 300_000)))
    )
    assert stored.size_bytes == len(content)
    assert stored.sha256 == hashlib.sha256(content).hexdigest()
    assert await read(store, stored.key) == content


async def test_an_empty_file_is_a_file(store: ObstoreFileStore, tmp_path: Path) -> None:
    stored = await store.put_stream(stream())
    assert (stored.size_bytes, stored.sha256) == (0, hashlib.sha256().hexdigest())
    assert await read(store, stored.key) == b""
    await store.fetch_to(stored.key, tmp_path / "staged")
    assert (tmp_path / "staged").read_bytes() == b""


async def test_equal_files_have_keys_of_their_own(store: ObstoreFileStore) -> None:
    first = await store.put_stream(stream(b"same"))
    second = await store.put_stream(stream(b"same"))
    await store.delete(first.key)
    assert await read(store, second.key) == b"same"


@pytest.mark.parametrize("offset", [1, 262_143, 262_144, 262_145, 999_999])
async def test_reading_begins_at_the_offset(store: ObstoreFileStore, offset: int) -> None:
    content = os.urandom(1_000_000)
    stored = await store.put_stream(stream(content))
    assert await read(store, stored.key, offset) == content[offset:]


async def test_at_the_end_there_is_nothing_and_beyond_it_is_an_error(store: ObstoreFileStore) -> None:
    stored = await store.put_stream(stream(b"12345"))
    assert await read(store, stored.key, 5) == b""
    with pytest.raises(OutOfRangeError):
        await read(store, stored.key, 6)


async def test_chunks_are_at_most_256_kib(store: ObstoreFileStore) -> None:
    stored = await store.put_stream(stream(bytes(3 * MEBIBYTE + 1)))
    sizes = [len(chunk) async for chunk in store.open_stream(stored.key)]
    assert max(sizes) <= 256 * 1024
    assert sum(sizes) == 3 * MEBIBYTE + 1


async def test_a_deleted_file_is_gone_and_deleting_it_again_changes_nothing(
    store: ObstoreFileStore, tmp_path: Path
) -> None:
    stored = await store.put_stream(stream(b"gone"))
    await store.delete(stored.key)
    await store.delete(stored.key)
    for offset in (0, 1):
        with pytest.raises(NotFoundError):
            await read(store, stored.key, offset)
    with pytest.raises(NotFoundError):
        await store.fetch_to(stored.key, tmp_path / "staged")
    assert not (tmp_path / "staged").exists()


async def test_a_download_that_has_begun_outlives_the_deletion(local: ObstoreFileStore) -> None:
    content = os.urandom(3 * MEBIBYTE)
    stored = await local.put_stream(stream(content))
    chunks = local.open_stream(stored.key)
    first = await anext(chunks)
    await local.delete(stored.key)
    assert first + b"".join([chunk async for chunk in chunks]) == content


@pytest.mark.parametrize("key", ["../../etc/passwd", "/etc/passwd", "ab/../../x", "", f"{NO_SUCH_KEY}#1"])
async def test_only_keys_of_our_own_making_are_read(
    store: ObstoreFileStore, key: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="not a key"):
        await read(store, key)
    with pytest.raises(ValueError, match="not a key"):
        await store.delete(key)
    with pytest.raises(ValueError, match="not a key"):
        await store.fetch_to(key, tmp_path / "staged")
    assert not (tmp_path / "staged").exists()


async def test_a_stream_that_breaks_off_leaves_nothing(local: ObstoreFileStore, directory: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield bytes(MEBIBYTE)
        assert all_files(directory)  # on its way, under a name that is no key
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await local.put_stream(broken())
    await until_empty(directory)


@pytest.mark.parametrize("size", [1, 40 * MEBIBYTE])
async def test_an_upload_that_is_cancelled_leaves_nothing(
    local: ObstoreFileStore, directory: Path, size: int
) -> None:
    stuck = asyncio.Event()
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield bytes(size)
            stuck.set()
            await asyncio.Event().wait()
        finally:
            closed.set()

    upload = asyncio.create_task(local.put_stream(endless()))
    await stuck.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    await closed.wait()  # the stream was not left waiting for somebody
    await until_empty(directory)


async def test_an_upload_cancelled_at_its_very_end_leaves_nothing(
    local: ObstoreFileStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload: asyncio.Task[object] | None = None
    finish = local._finish

    async def finish_while_cancelled(*arguments: object) -> None:
        assert upload is not None
        upload.cancel()
        await asyncio.sleep(0)
        await finish(*arguments)  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(local, "_finish", finish_while_cancelled)
    upload = asyncio.create_task(local.put_stream(stream(b"complete")))
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert not all_files(directory)


UPLOAD = """
import asyncio, resource, sys
from osa_grpc.storage.files import ObstoreFileStore

async def chunks(count):
    for n in range(count):
        yield bytes(256 * 1024)
        if n == 400:
            print("under way", flush=True)

async def main():
    store = ObstoreFileStore(url=sys.argv[1])
    await store.put_stream(chunks(8))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stored = await store.put_stream(chunks(int(sys.argv[2])))
    async for _ in store.open_stream(stored.key):
        pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)

asyncio.run(main())
"""


async def test_a_stream_of_300_megabytes_takes_little_memory(directory: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", UPLOAD, directory.as_uri(), "1200", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    kibibytes = int(output.split()[-1])
    assert sum(path.stat().st_size for path in all_files(directory)) > 300 * MEBIBYTE
    assert kibibytes < 60 * 1024


async def test_what_a_killed_process_left_is_swept(local: ObstoreFileStore, directory: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", UPLOAD, directory.as_uri(), "100000", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"under way\n"
    process.kill()
    await process.wait()
    assert any("#" in path.name for path in all_files(directory))
    kept = await local.put_stream(stream(b"kept"))
    assert await local.sweep(stream_of_keys(kept.key), older_than=timedelta(hours=1)) == 0
    assert await local.sweep(stream_of_keys(kept.key), older_than=OLD) == 2
    assert [path.name for path in all_files(directory)] == [Path(kept.key).name]


async def test_a_sweep_deletes_what_no_row_knows_and_only_what_is_old(store: ObstoreFileStore) -> None:
    known = await store.put_stream(stream(b"known"))
    unknown = await store.put_stream(stream(b"unknown"))
    assert await store.sweep(stream_of_keys(known.key), older_than=timedelta(hours=1)) == 0
    assert await read(store, unknown.key) == b"unknown"
    assert await store.sweep(stream_of_keys(known.key), older_than=OLD) == 1
    assert await read(store, known.key) == b"known"
    with pytest.raises(NotFoundError):
        await read(store, unknown.key)


async def test_a_sweep_that_cannot_learn_what_is_known_deletes_nothing(local: ObstoreFileStore) -> None:
    stored = await local.put_stream(stream(b"kept"))

    async def broken() -> AsyncIterator[str]:
        yield NO_SUCH_KEY
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await local.sweep(broken(), older_than=OLD)
    assert await read(local, stored.key) == b"kept"


async def test_a_sweep_leaves_what_is_not_ours(local: ObstoreFileStore, directory: Path) -> None:
    (directory / "ab").mkdir()
    for name in ("README", "ab/notes.txt", "ab/notes#1"):
        (directory / name).write_text("somebody else's")
    assert await local.sweep(stream_of_keys(), older_than=OLD) == 0
    assert len(all_files(directory)) == 3


async def stream_of_keys(*keys: str) -> AsyncIterator[str]:
    for key in keys:
        yield key


async def test_a_fetched_file_is_a_copy_that_everybody_may_read(
    store: ObstoreFileStore, tmp_path: Path
) -> None:
    content = os.urandom(20 * MEBIBYTE)
    stored = await store.put_stream(stream(content))
    staged = tmp_path / "staged"
    await store.fetch_to(stored.key, staged)
    assert staged.read_bytes() == content
    assert staged.stat().st_mode & 0o777 == 0o644
    staged.write_bytes(b"changed")
    assert await read(store, stored.key) == content


async def test_a_file_is_fetched_across_file_systems(local: ObstoreFileStore) -> None:
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("no second file system")
    stored = await local.put_stream(stream(os.urandom(20 * MEBIBYTE)))
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        staged = Path(elsewhere, "staged")
        await local.fetch_to(stored.key, staged)
        assert sha256_of(staged) == stored.sha256


async def test_a_fetch_never_writes_over_what_is_there(local: ObstoreFileStore, tmp_path: Path) -> None:
    stored = await local.put_stream(stream(b"new"))
    (tmp_path / "taken").write_text("old")
    with pytest.raises(FileExistsError):
        await local.fetch_to(stored.key, tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "old"


async def test_a_fetch_that_is_cancelled_leaves_nothing(store: ObstoreFileStore, tmp_path: Path) -> None:
    stored = await store.put_stream(stream(*(bytes(MEBIBYTE) for _ in range(64))))
    staged = tmp_path / "staged"
    fetching = asyncio.create_task(store.fetch_to(stored.key, staged))
    while not staged.exists():  # noqa: ASYNC110 - a fact of the file system, which rings no bell
        await asyncio.sleep(0)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert not staged.exists()


@pytest.mark.usefixtures("local")
def test_other_users_of_the_machine_cannot_read_the_files(directory: Path) -> None:
    assert directory.stat().st_mode & 0o777 == 0o700


FILL = """
import asyncio, sys
from pathlib import Path
from osa_grpc.domain.errors import ResourceExhaustedError
from osa_grpc.storage.files import ObstoreFileStore

async def chunks(count):
    for _ in range(count):
        yield bytes(256 * 1024)

async def fails(work):
    try:
        await work
    except ResourceExhaustedError as error:
        assert f"the disk of {sys.argv[1]}/files" in error.message, error.message
        print(error.reason, end=" ")

async def main():
    disk = Path(sys.argv[1])
    store = ObstoreFileStore(url=(disk / "files").as_uri())
    await fails(store.put_stream(chunks(200)))  # as parts
    while any(path.is_file() for path in disk.rglob("*")):
        await asyncio.sleep(0.001)
    stored = await store.put_stream(chunks(40))
    await fails(store.put_stream(chunks(30)))  # at once, when it is closed
    await fails(store.fetch_to(stored.key, disk / "staged"))
    print(sum(path.is_file() for path in disk.rglob("*")))

asyncio.run(main())
"""


@pytest.mark.skipif(
    not shutil.which("unshare") or os.geteuid() != 0, reason="needs root to have a small disk"
)
async def test_a_full_disk_is_named_and_nothing_half_written_stays_on_it(tmp_path: Path) -> None:
    # In a mount namespace of its own: whatever happens, the mount goes with the process.
    script = 'mount -t tmpfs -o size=16m none "$1" && exec "$2" -c "$3" "$1"'
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), sys.executable, FILL),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode == 32:
        pytest.skip("mounting is not allowed here")
    assert output.decode().split() == ["DISK_FULL", "DISK_FULL", "DISK_FULL", "1"]


async def test_the_last_of_a_disk_is_left_to_others(directory: Path) -> None:
    store = ObstoreFileStore(url=directory.as_uri(), reserve_bytes=2**60)
    with pytest.raises(
        ResourceExhaustedError, match=f"The disk of {directory} has [0-9]+ bytes left"
    ) as full:
        await store.put_stream(stream(b"small"))
    assert full.value.reason == "DISK_FULL"
    assert full.value.metadata == {"directory": str(directory)}
    assert all_files(directory) == []


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        UnavailableError, match=f"The directory {tmp_path}/file/files for files cannot be used"
    ):
        ObstoreFileStore(url=(tmp_path / "file" / "files").as_uri())


def conforms(store: ObstoreFileStore) -> FileStore:
    """Checked by mypy: it has the shape of the port."""
    return store
