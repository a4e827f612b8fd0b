"""Uploading a file with bounded memory: what is sent, in which pieces, and whether it can be sent again."""

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from osa_grpc.wire import pb

PIECE_BYTES = 2**20

UploadSource = Path | str | bytes | BinaryIO
"""What can be uploaded: a path, bytes, or a file opened for reading in binary."""

Progress = Callable[[int, int | None], None]
"""Called with the bytes sent so far and the size, if it is known."""


class UploadError(Exception):
    """What the server stored is not what was sent."""


@dataclass(frozen=True, kw_only=True)
class UploadPlan:
    """An upload that was looked at: what the header says, and where the bytes are."""

    header: pb.UploadFileHeader
    source: UploadSource
    start: int | None
    """Where a file object stood; None for one that cannot go back, so that it is read once only."""

    @property
    def is_repeatable(self) -> bool:
        """Whether the same bytes can be sent again."""
        return not _is_stream(self.source) or self.start is not None

    @property
    def size_bytes(self) -> int | None:
        """The size, if it is known before the end."""
        return self.header.size_bytes if self.header.HasField("size_bytes") else None

    def requests(self, *, progress: Progress | None) -> "UploadRequests":
        """Return the requests of one attempt."""
        return UploadRequests(self, progress=progress)


def plan_upload(
    *,
    deposition: str,
    source: UploadSource,
    file_name: str | None,
    media_type: str,
    request_id: str,
) -> UploadPlan:
    """Read the source once for its size and SHA-256, where it can be read twice.

    Raises:
        ValueError: neither a name is given nor has the source one.
        OSError: it cannot be read.
    """
    name = file_name or _name_of(source)
    if not name:
        raise ValueError("the source has no name: give a file_name")
    header = pb.UploadFileHeader(
        parent=deposition, file_name=name, media_type=media_type, request_id=request_id
    )
    start = _start_of(source)
    plan = UploadPlan(header=header, source=source, start=start)
    if plan.is_repeatable:
        sha256, size = hashlib.sha256(), 0
        for piece in _pieces(source, start):
            sha256.update(piece)
            size += len(piece)
        header.sha256 = sha256.hexdigest()
        header.size_bytes = size
    return plan


class UploadRequests(Iterator[pb.UploadFileRequest]):
    """The requests of one attempt: the header, then the bytes. What reading raises is kept in `error` as well, because
    grpc's own thread may be the one that reads.
    """

    def __init__(self, plan: UploadPlan, *, progress: Progress | None) -> None:
        self._plan = plan
        self._progress = progress
        self._sha256 = hashlib.sha256()
        self._requests = self._all()
        self.error: Exception | None = None

    def __next__(self) -> pb.UploadFileRequest:
        try:
            return next(self._requests)
        except StopIteration:
            raise
        except Exception as error:
            self.error = error
            raise

    def check(self, file: pb.DepositionFile) -> None:
        """Compare what was stored with what was sent.

        Raises:
            UploadError: they differ.
        """
        expected = self._plan.header.sha256 or self._sha256.hexdigest()
        if file.sha256 != expected:
            raise UploadError(f"{file.name}: sent SHA-256 {expected}, the server stored {file.sha256}")

    def _all(self) -> Iterator[pb.UploadFileRequest]:
        yield pb.UploadFileRequest(header=self._plan.header)
        sent, size = 0, self._plan.size_bytes
        if self._progress is not None:
            self._progress(0, size)
        for piece in _pieces(self._plan.source, self._plan.start):
            self._sha256.update(piece)
            yield pb.UploadFileRequest(chunk=piece)
            sent += len(piece)
            if self._progress is not None:
                self._progress(sent, size)


def _is_stream(source: UploadSource) -> bool:
    return not isinstance(source, (Path, str, bytes))


def _name_of(source: UploadSource) -> str:
    if isinstance(source, bytes):
        return ""
    path = source if isinstance(source, (Path, str)) else getattr(source, "name", "")
    return Path(path).name if isinstance(path, (Path, str)) else ""


def _start_of(source: UploadSource) -> int | None:
    if isinstance(source, (Path, str, bytes)):
        return 0
    return source.tell() if source.seekable() else None


def _pieces(source: UploadSource, start: int | None) -> Iterator[bytes]:
    if isinstance(source, bytes):
        for at in range(0, len(source), PIECE_BYTES):
            yield source[at : at + PIECE_BYTES]
    elif isinstance(source, (Path, str)):
        with Path(source).open("rb") as file:
            yield from _read_all(file)
    else:
        if start is not None:
            source.seek(start, os.SEEK_SET)
        yield from _read_all(source)


def _read_all(file: BinaryIO | io.BufferedReader) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece
