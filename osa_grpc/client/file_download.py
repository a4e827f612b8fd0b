"""Downloading a file: every byte once and in order, whatever happens to the connections, and checked at the end."""

import hashlib
from collections.abc import Sequence

from osa_grpc.client.resumption import Resumption
from osa_grpc.wire import pb
from osa_grpc.wire.rpc_error import OsaRpcError


class DownloadError(Exception):
    """What was received is not the file that the server says it has."""


class FileDownload:
    """A `ResumableStream` of a file's bytes. `file` is known once something was received."""

    def __init__(self, *, name: str, resumption: Resumption) -> None:
        self._name = name
        self._resumption = resumption
        self._sha256 = hashlib.sha256()
        self._position = 0
        self.file: pb.DepositionFile | None = None

    def request(self) -> pb.DownloadFileRequest:
        """Return the request that continues at the next byte."""
        return pb.DownloadFileRequest(name=self._name, offset=self._position)

    def take(self, response: pb.DownloadFileResponse) -> Sequence[bytes]:
        """Take a response.

        Raises:
            DownloadError: the file was replaced while it was downloaded, or bytes are missing.
        """
        self._resumption.received()
        if response.HasField("file"):
            if self.file is not None and response.file.sha256 != self.file.sha256:
                raise DownloadError(f"{self._name} was replaced while it was downloaded")
            self.file = response.file
        if not response.data:
            return []
        if response.offset != self._position:
            raise DownloadError(
                f"{self._name}: expected byte {self._position}, the server sent byte {response.offset}"
            )
        self._sha256.update(response.data)
        self._position += len(response.data)
        return [response.data]

    @property
    def progress(self) -> tuple[int, int | None]:
        """The bytes received so far, and the size if it is known."""
        return self._position, self.file.size_bytes if self.file is not None else None

    @property
    def wants_new_call(self) -> bool:
        """Never: the server ends its calls itself."""
        return False

    def ended(self) -> float | None:
        """Check what was received.

        Raises:
            DownloadError: it is not the file.
        """
        if self.file is None:
            raise DownloadError(f"{self._name}: the server did not say what it sent")
        if self._position != self.file.size_bytes or self._sha256.hexdigest() != self.file.sha256:
            raise DownloadError(
                f"{self._name}: received {self._position} bytes with SHA-256 {self._sha256.hexdigest()}, "
                f"expected {self.file.size_bytes} bytes with SHA-256 {self.file.sha256}"
            )
        return None

    def interrupted(self, error: OsaRpcError) -> float | None:
        """The download goes on where it was cut."""
        return self._resumption.seconds_after_error(error)
