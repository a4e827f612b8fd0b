"""Files' bytes, under keys of our own making: on local disk, or in any object store that obstore knows.

Decisions:

- A key is a random UUID below a directory of its first two digits. Names that people give are data, never
  paths.
- A stream is written beside its place (`key#n` on local disk, a multipart upload elsewhere) and appears at
  once, when it is complete. On local disk it is then synced, because the row that makes it exist will be.
- What no row knows is swept. Bytes are written before their row, so only what is old enough is judged.
"""

import asyncio
import contextlib
import errno
import hashlib
import os
import re
import threading
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from osa_grpc.application.disk_room import DiskRoom, is_out_of_room
from osa_grpc.application.ports import StoredFile
from osa_grpc.domain.errors import (
    NotFoundError,
    OsaError,
    OutOfRangeError,
    UnavailableError,
)

if TYPE_CHECKING:
    from obstore import AsyncWritableFile
    from obstore.store import ObjectStore

_KEY = re.compile(r"[0-9a-f]{2}/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LEFTOVER = re.compile(r"[0-9a-f-]{36}#\d+")

_READ_BYTES = 256 * 1024
_COPY_BYTES = 16 * 1024 * 1024
# Parts of a multipart upload; object stores want at least 5 MiB and at most 10 000 of them. Two are on their
# way while the next one fills.
_PART_BYTES = 8 * 1024 * 1024
_PARTS_AT_ONCE = 2


class ObstoreFileStore:
    """The file store.

    Args:
        url: `file:///directory` (made if it is not there, for the server's user alone), or a URL that obstore
        knows.
        reserve_bytes: on local disk, how much is left free.

    Raises:
        ResourceExhaustedError: the directory cannot be made, because the disk is full (`DISK_FULL`).
        UnavailableError: it cannot be made for another reason (`FILE_STORE_UNAVAILABLE`).
    """

    def __init__(self, *, url: str, reserve_bytes: int = 0) -> None:
        self._directory: Path | None = None
        self._room: DiskRoom | None = None
        self._store: ObjectStore
        parts = urlsplit(url)
        if parts.scheme == "file":
            self._directory = Path(url2pathname(parts.path))
            self._room = DiskRoom(directory=self._directory, reserve_bytes=reserve_bytes)
            self._make_directory(self._directory)
            self._store = LocalStore(self._directory)
        else:
            self._store = from_url(url)

    async def put_stream(self, chunks: AsyncIterator[bytes]) -> StoredFile:
        """Store a stream, with a few parts of it in memory; it is visible once it is complete and on disk.

        If it raises, or the call is cancelled, nothing stays; what a killed process leaves is for `sweep`.

        Raises:
            ResourceExhaustedError: the disk is full (`DISK_FULL`).
            UnavailableError: the store does not work (`FILE_STORE_UNAVAILABLE`).
        """
        name = str(uuid4())
        key = f"{name[:2]}/{name}"
        digest = hashlib.sha256()
        size_bytes = 0
        writer = obstore.open_writer_async(
            self._store, key, buffer_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE
        )
        part_at = 0  # where the next part begins
        try:
            async for chunk in chunks:
                digest.update(chunk)
                size_bytes += len(chunk)
                if size_bytes > part_at and self._room is not None:
                    self._room.demand()
                    part_at += _PART_BYTES
                with self._translated():
                    await writer.write(chunk)
        except BaseException:
            # Dropped before it is closed, a writer removes what it wrote. Now, not when the traceback goes.
            del writer
            raise
        try:
            with self._translated():
                await _to_its_end(self._finish(writer, key))
        except BaseException:
            with contextlib.suppress(OsaError):  # the first trouble counts; the sweep does the rest
                await self.delete(key)
            raise
        return StoredFile(key=key, size_bytes=size_bytes, sha256=digest.hexdigest())

    async def _finish(self, writer: "AsyncWritableFile", key: str) -> None:
        await writer.close()
        if self._directory is not None:
            path = self._directory / key
            await asyncio.to_thread(_sync, path, path.parent, self._directory)

    async def open_stream(self, key: str, *, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from `offset` on, in chunks of at most 256 KiB.

        Raises:
            NotFoundError: there are no such bytes.
            OutOfRangeError: the offset is beyond the end; at the end there is just nothing to yield.
        """
        with self._translated(key):
            if offset:
                size_bytes = (await self._store.head_async(_checked(key)))["size"]
                if offset > size_bytes:
                    raise OutOfRangeError(f"The offset {offset} is beyond the file's {size_bytes} bytes.")
                if offset == size_bytes:
                    return
            options: obstore.GetOptions = {"range": {"offset": offset}} if offset else {}
            found = await self._store.get_async(_checked(key), options=options)
            stream = aiter(found.stream(min_chunk_size=_READ_BYTES))
        while True:
            with self._translated(key):
                chunk = await anext(stream, None)
            if chunk is None:
                return
            for start in range(0, len(chunk), _READ_BYTES):
                yield bytes(chunk[start : start + _READ_BYTES])

    async def fetch_to(self, key: str, path: Path) -> None:
        """Put the file at a path, which must be free, readable for all.

        Always a copy, on a file system that can do so one that shares its blocks: a hard link would be the
        stored file itself, for whoever may write there. If it raises, or the call is cancelled, nothing
        stays.

        Raises:
            NotFoundError: there are no such bytes.
            ResourceExhaustedError: the disk is full (`DISK_FULL`).
        """
        target = _create(path)
        try:
            with target, self._translated(key):
                if self._directory is not None:
                    await _copy(self._directory / _checked(key), target)
                else:
                    async with contextlib.aclosing(self.open_stream(key)) as chunks:
                        async for chunk in chunks:
                            await _to_its_end(asyncio.to_thread(_write, target, chunk))
        except BaseException:
            _remove(path)
            raise

    async def delete(self, key: str) -> None:
        """Delete it; nothing happens if it is not there. Downloads that have begun go on to their end."""
        with self._translated(), contextlib.suppress(FileNotFoundError):
            await self._store.delete_async(_checked(key))

    async def sweep(self, known: AsyncIterable[str], *, older_than: timedelta) -> int:
        """Delete what no row knows and what killed processes left half-written; return how many.

        Args:
            known: the keys of all rows. Read to the end before anything is deleted.
            older_than: longer than any upload takes from its last byte to the commit of its row.
        """
        before = datetime.now(UTC) - older_than
        keys = {key async for key in known}
        count = 0
        with self._translated():
            async for batch in self._store.list_async(chunk_size=1000):
                for found in batch:
                    key = found["path"]
                    if _KEY.fullmatch(key) and found["last_modified"] <= before and key not in keys:
                        await self.delete(key)
                        count += 1
            if self._directory is not None:  # which listing hides
                count += await asyncio.to_thread(_sweep_leftovers, self._directory, before)
        return count

    def _make_directory(self, directory: Path) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o700)
        except OSError as error:
            if self._room is not None and is_out_of_room(error):
                raise self._room.full() from error
            raise UnavailableError(
                f"The directory {directory} for files cannot be used: {error.strerror}.",
                reason="FILE_STORE_UNAVAILABLE",
            ) from error

    @contextlib.contextmanager
    def _translated(self, key: str | None = None) -> Iterator[None]:
        """Say what goes wrong in the domain's words."""
        try:
            yield
        except FileNotFoundError as error:
            if key is None:
                raise _unavailable() from error
            raise NotFoundError(
                resource_type="opensciencearchive.org/DepositionFile",
                name=key,
                message="The file's bytes are not there (any more).",
            ) from error
        except (BaseError, OSError) as error:
            if self._room is not None and is_out_of_room(error):
                raise self._room.full() from error
            raise _unavailable() from error


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a key of the file store: {key!r}")
    return key


def _unavailable() -> OsaError:
    return UnavailableError("The file store does not work.", reason="FILE_STORE_UNAVAILABLE")


def _sync(*paths: Path) -> None:
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _create(path: Path) -> BinaryIO:
    target = path.open("xb", buffering=0)
    os.fchmod(target.fileno(), 0o644)  # whatever the umask
    return target


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _copy(source: Path, target: BinaryIO) -> None:
    """Copy a file; cancelled, it stops after a piece."""
    stop = threading.Event()

    def copy() -> None:
        with source.open("rb", buffering=0) as opened:
            while not stop.is_set() and _copy_piece(opened, target):
                pass

    await _to_its_end(asyncio.to_thread(copy), on_cancel=stop.set)


def _copy_piece(source: BinaryIO, target: BinaryIO) -> int:
    """Copy the next piece, within the kernel where that is possible; how long it was."""
    if hasattr(os, "copy_file_range"):
        try:
            return os.copy_file_range(source.fileno(), target.fileno(), _COPY_BYTES)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
                raise
    piece = source.read(_COPY_BYTES)
    _write(target, piece)
    return len(piece)


def _write(target: BinaryIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[target.write(rest) :]


async def _to_its_end(
    work: Coroutine[Any, Any, None], *, on_cancel: Callable[[], None] = lambda: None
) -> None:
    """Await work that must not be left half-done behind our back: cancelled, wait for its end all the same."""
    running = asyncio.ensure_future(work)
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        on_cancel()
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # seen
        raise


def _sweep_leftovers(directory: Path, before: datetime) -> int:
    count = 0
    for path in directory.glob("??/*#*"):
        with contextlib.suppress(FileNotFoundError):  # finished, or swept by somebody else
            if _LEFTOVER.fullmatch(path.name) and path.stat().st_mtime <= before.timestamp():
                path.unlink()
                count += 1
    return count
