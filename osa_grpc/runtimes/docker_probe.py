"""Seeing whether the engine finds our files where it is told that they are, without running any program.

An image of nothing, and a container of it with the directory mounted, never started: the engine's archive calls read and write
through the mounts of a container that does not run, too.
"""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, Final

from aiodocker.exceptions import DockerError

from osa_grpc.runtimes.docker_errors import BAD_REQUEST, NOT_FOUND, engine_call, reason_of
from osa_grpc.runtimes.engine import DirectoryNotSeenError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    import aiodocker
    from aiodocker.containers import DockerContainer

_SECONDS: Final = 15.0
_TARGET: Final = "/probe"
_EMPTY_TAR: Final = bytes(1024)
_OK: Final = 200


async def copy_within(
    docker: aiodocker.Docker, directory: Path, *, source: str, target: str, labels: Mapping[str, str]
) -> None:
    """As `ContainerEngine.copy_within`."""
    async with (
        engine_call("look at the server's files", within_seconds=_SECONDS),
        _empty_image(docker) as image,
        _container(docker, image, directory, labels) as container,
    ):
        try:
            with await container.get_archive(f"{_TARGET}/{source}") as found:
                member = found.next()
                content = None if member is None else found.extractfile(member)
                copied = _packed(target, b"" if content is None else content.read())
            await container.put_archive(_TARGET, copied)  # type: ignore[no-untyped-call]
        except DockerError as error:
            if error.status == NOT_FOUND:
                raise DirectoryNotSeenError(f"it finds another directory at {directory}") from error
            raise DirectoryNotSeenError(
                f"it cannot read and write in {directory}: {reason_of(error)}"
            ) from error


@contextlib.asynccontextmanager
async def _empty_image(docker: aiodocker.Docker) -> AsyncIterator[str]:
    # By hand, because aiodocker cannot import.
    async with docker.session.post(
        f"{docker.docker_host}/{docker.api_version}/images/create", params={"fromSrc": "-"}, data=_EMPTY_TAR
    ) as answer:
        told = json.loads((await answer.read()).splitlines()[-1])
        if answer.status != _OK or "error" in told:
            raise DockerError(answer.status, str(told))
        image = str(told["status"])
    try:
        yield image
    finally:
        with contextlib.suppress(DockerError):
            await docker.images.delete(image, force=True)


@contextlib.asynccontextmanager
async def _container(
    docker: aiodocker.Docker, image: str, directory: Path, labels: Mapping[str, str]
) -> AsyncIterator[DockerContainer]:
    try:
        container = await docker.containers.create(
            {
                "Image": image,
                "Cmd": ["nothing"],
                "Labels": dict(labels),
                "HostConfig": {
                    "NetworkMode": "none",
                    "Mounts": [
                        {
                            "Type": "bind",
                            "Source": str(directory),
                            "Target": _TARGET,
                            "BindOptions": {"Propagation": "rprivate"},
                        }
                    ],
                },
            }
        )
    except DockerError as error:
        if error.status == BAD_REQUEST:
            raise DirectoryNotSeenError(f"it finds nothing at {directory}: {reason_of(error)}") from error
        raise
    try:
        yield container
    finally:
        await container.delete(force=True, v=True)


def _packed(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
