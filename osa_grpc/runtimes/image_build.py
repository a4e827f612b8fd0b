"""Building an image through the engine's API from files at hand: no command line tool, no network.

Dockerfiles given here have no `RUN`, so nothing is executed while an image is built.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
import tempfile
from typing import TYPE_CHECKING

import aiodocker
from aiodocker.exceptions import DockerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path
    from typing import IO


_NOT_FOUND = 404
_NO_CONNECTION = 900
"""aiodocker's own number for an engine that cannot be reached."""


class ImageBuildError(Exception):
    """An image cannot be built; `str()` says in one sentence why, and what mends it."""


@contextlib.asynccontextmanager
async def engine_client(docker_host: str) -> AsyncIterator[aiodocker.Docker]:
    """A client of the engine at `docker_host`; what the engine refuses becomes an ImageBuildError."""
    async with aiodocker.Docker(url=docker_host) as docker:
        try:
            yield docker
        except DockerError as error:
            what = "does not answer" if error.status == _NO_CONNECTION else "answers"
            raise ImageBuildError(f"The container engine at {docker_host} {what}: {error}.") from error


async def image_id(docker: aiodocker.Docker, image: str) -> str | None:
    """The id (`sha256:...`) of an image that is on the engine, by its name or id; None when it is not."""
    try:
        return str((await docker.images.inspect(image))["Id"])
    except DockerError as error:
        if error.status == _NOT_FOUND:
            return None
        raise


async def build_image(
    docker: aiodocker.Docker,
    *,
    dockerfile: str,
    files: Mapping[str, Path],
    tag: str,
) -> str:
    """Build `dockerfile`, whose context holds each of `files` (file or folder) by its name; the image's id.

    Raises:
        ImageBuildError: the engine could not build it.
    """
    with _context(dockerfile, files) as context:
        try:
            await docker.images.build(fileobj=context, encoding="identity", tag=tag, rm=True, forcerm=True)
        except DockerError as error:
            raise ImageBuildError(f"The container engine could not build {tag}: {error}.") from error
    built = await image_id(docker, tag)
    if built is None:
        raise ImageBuildError(f"The container engine built {tag}, and does not know it.")
    return built


def files_of(folder: Path) -> list[Path]:
    """The files of `folder` that belong into an image, in a fixed order: none that is hidden, no bytecode.

    Raises:
        ImageBuildError: one of them is a link or a special file.
    """
    chosen = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if "__pycache__" in parts or any(part.startswith(".") for part in parts):
            continue
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise ImageBuildError(f"{path} is neither a file nor a folder: put a copy in its place.")
        if path.is_file():
            chosen.append(path)
    return chosen


@contextlib.contextmanager
def _context(dockerfile: str, files: Mapping[str, Path]) -> Iterator[IO[bytes]]:
    """The build context as a tar in a temporary file; owners, times and modes do not depend on the host."""
    with tempfile.TemporaryFile() as context:
        with tarfile.open(fileobj=context, mode="w", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, "Dockerfile", io.BytesIO(dockerfile.encode()), size=len(dockerfile.encode()))
            for name, source in files.items():
                if source.is_file():
                    _add_file(tar, name, source)
                    continue
                folder = tarfile.TarInfo(name)
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(folder)
                for path in sorted(path for path in source.rglob("*") if path.is_file()):
                    _add_file(tar, f"{name}/{path.relative_to(source).as_posix()}", path)
        context.seek(0)
        yield context


def _add_file(tar: tarfile.TarFile, name: str, path: Path) -> None:
    status = path.stat()
    with path.open("rb") as content:
        _add(tar, name, content, size=status.st_size, executable=bool(status.st_mode & 0o100))


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], *, size: int, executable: bool = False) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o755 if executable else 0o644
    tar.addfile(entry, content)
