"""Docker, and whatever else speaks its API, as the engine that runs containers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self

import aiodocker
import aiohttp
import structlog
from aiodocker.exceptions import DockerError

from osa_grpc.application.ports import EngineDescription
from osa_grpc.runtimes.docker_errors import (
    BAD_REQUEST,
    CONFLICT,
    NOT_FOUND,
    engine_call,
    reason_of,
)
from osa_grpc.runtimes.docker_images import DockerImages
from osa_grpc.runtimes.docker_sandbox import container_config
from osa_grpc.runtimes.engine import (
    ConfigRefusedError,
    ContainerExit,
    EngineError,
    FoundContainer,
    ResolvedImage,
)
from osa_grpc.runtimes.finishing import finish
from osa_grpc.runtimes.registry_login import RegistryLogins

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from datetime import timedelta
    from types import TracebackType

    from aiodocker.containers import DockerContainer
    from aiodocker.stream import Stream
    from aiodocker.types import JSONObject

    from osa_grpc.runtimes.engine import Container, ContainerSpec

_log = structlog.get_logger(__name__)

_DESCRIBE_SECONDS: Final = 2.0
_CALL_SECONDS: Final = 60.0  # starting a container takes 0.2 s, on a machine under load much more
_CLEANUP_SECONDS: Final = 20.0
_BACK_WITHIN_SECONDS: Final = 10.0  # how long cleaning up waits for an engine that is away
_UNIX: Final = "unix://"


class DockerEngine:
    """The engine at `docker_host` (as in DOCKER_HOST). Use it as `async with`; it need not answer yet, or always."""

    def __init__(self, *, docker_host: str, logins: RegistryLogins | None = None) -> None:
        self.docker_host = docker_host
        self._logins = logins or RegistryLogins()
        self._seen: _Seen | None = None

    async def __aenter__(self) -> Self:
        """Open the client; nothing is asked yet.

        Raises:
            ValueError: `docker_host` is no address of an engine.
        """
        # Each container needs two connections for its whole life: no limit on them.
        self._connector = (
            aiohttp.UnixConnector(self.docker_host.removeprefix(_UNIX), limit=0)
            if self.docker_host.startswith(_UNIX)
            else None
        )
        self._docker = aiodocker.Docker(
            url=f"{_UNIX}localhost" if self._connector else self.docker_host, connector=self._connector
        )
        self._images = DockerImages(docker=self._docker, logins=self._logins)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client. Containers that are held are not looked after any more."""
        await self._images.close()
        await self._docker.close()
        if self._connector is not None:
            await self._connector.close()

    async def describe(self) -> EngineDescription | None:
        """Return what it is, or None if it does not answer within two seconds."""
        try:
            return (await self._look(within_seconds=_DESCRIBE_SECONDS)).description
        except EngineError:
            return None

    async def described(self) -> EngineDescription:
        """Return what it is, as known since it last answered. Raises EngineError."""
        return (await self._known()).description

    async def resolve(
        self,
        *,
        image: str,
        digest: str,
        pull_timeout: timedelta,
        on_pull: Callable[[], Awaitable[None]] | None = None,
    ) -> ResolvedImage:
        """Return the image that has this digest, pulled if it is not here."""
        return await self._images.resolve(
            image=image, digest=digest, pull_timeout=pull_timeout, on_pull=on_pull
        )

    @contextlib.asynccontextmanager
    async def hold(
        self, spec: ContainerSpec, *, grace: timedelta, leaves: Callable[[], bool] = lambda: False
    ) -> AsyncIterator[Container]:
        """Make a container, connected and not started; stopped and gone when the block has ended, unless it `leaves` it."""
        rootless = (await self._known()).rootless
        held = _HeldContainer(docker=self._docker)
        stays = False
        try:
            await finish(held.create(container_config(spec, rootless=rootless)), name="create container")
            await held.attach()
            yield held
        except BaseException:
            stays = leaves()
            raise
        finally:
            work = held.disconnect() if stays else self._let_go(held, grace)
            await finish(work, name="let go of container")

    async def find(self, labels: Mapping[str, str]) -> Sequence[FoundContainer]:
        """Return the containers that have all these labels, running or not."""
        wanted = [f"{name}={value}" for name, value in labels.items()]
        async with engine_call("list containers", within_seconds=_CALL_SECONDS):
            found = await self._docker.containers.list(all=1, filters=json.dumps({"label": wanted}))
        return [FoundContainer(id=container.id, labels=container["Labels"]) for container in found]

    async def remove(self, container_id: str, *, grace: timedelta) -> None:
        """Stop and remove it, and return when it is gone."""
        container = self._docker.containers.container(container_id)
        await _stop(container, grace)
        await _remove(container)

    async def _known(self) -> _Seen:
        return self._seen or await self._look(within_seconds=_CALL_SECONDS)

    async def _look(self, *, within_seconds: float) -> _Seen:
        self._seen = None
        async with engine_call("say what it is", within_seconds=within_seconds):
            version = await self._docker.version()
            info = await self._docker.system.info()
        names = " ".join(str(part.get("Name", "")) for part in version.get("Components") or ())
        product = "podman" if "podman" in names.lower() else "docker"
        self._seen = _Seen(
            description=EngineDescription(
                description=f"{product} {version['Version']} {version['Os']}/{version['Arch']}",
                cpus=float(info["NCPU"]),
                memory_bytes=int(info["MemTotal"]),
            ),
            rootless=any("name=rootless" in option for option in info.get("SecurityOptions") or ()),
        )
        return self._seen

    async def _let_go(self, held: _HeldContainer, grace: timedelta) -> None:
        """Make sure that the container is gone, if need be once the engine is back from a restart."""
        await held.disconnect()
        if held.container is None:
            return
        until = asyncio.get_running_loop().time() + grace.total_seconds() + _BACK_WITHIN_SECONDS
        while True:
            try:
                if held.may_run:
                    await _stop(held.container, grace)
                await _remove(held.container)
            except EngineError as error:
                self._seen = None
                if asyncio.get_running_loop().time() > until:
                    _log.warning("a container could not be removed", container=held.id, reason=str(error))
                    return
                await asyncio.sleep(0.5)
            else:
                return


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What the engine said about itself."""

    description: EngineDescription
    rootless: bool


class _HeldContainer:
    """A container that we made, and the connection on which its output comes."""

    def __init__(self, *, docker: aiodocker.Docker) -> None:
        self._docker = docker
        self._stream: Stream | None = None
        self.container: DockerContainer | None = None
        self.may_run = False

    @property
    def id(self) -> str:
        return self._there.id

    @property
    def _there(self) -> DockerContainer:
        assert self.container is not None, "created first"
        return self.container

    async def create(self, config: JSONObject) -> None:
        async with engine_call("create a container", within_seconds=_CALL_SECONDS):
            try:
                self.container = await self._docker.containers.create(config)
            except DockerError as error:
                if error.status == BAD_REQUEST:
                    raise _refused(error) from error
                raise

    async def attach(self) -> None:
        self._stream = self._there.attach(stdout=True, stderr=True)
        async with engine_call("connect to a container", within_seconds=_CALL_SECONDS):
            await self._stream.__aenter__()

    async def start(self) -> datetime:
        self.may_run = True
        async with engine_call("start a container", within_seconds=_CALL_SECONDS):
            try:
                await self._there.start()
            except DockerError as error:
                if error.status == BAD_REQUEST or "executable file" in error.message:
                    raise _refused(error) from error
                raise
        return datetime.now(UTC)

    async def read(self) -> bytes:
        assert self._stream is not None, "connected first"
        async with engine_call("hand on the output of a container", within_seconds=None):
            while (message := await self._stream.read_out()) is not None:
                if message.data:
                    return message.data
        return b""

    async def wait(self) -> ContainerExit:
        async with engine_call("wait for a container's end", within_seconds=None):
            answer = await self._there.wait()
            ended_at = datetime.now(UTC)
        async with engine_call("say how a container ended", within_seconds=_CALL_SECONDS):
            state = (await self._there.show())["State"]
        if state["Running"]:
            raise EngineError("the container engine said that a container had ended, which runs")
        self.may_run = False
        return ContainerExit(
            exit_code=int(answer["StatusCode"]),
            out_of_memory=bool(state.get("OOMKilled")),
            ended_at=ended_at,
        )

    async def stop(self, *, grace: timedelta) -> None:
        await _stop(self._there, grace)

    async def disconnect(self) -> None:
        if self._stream is not None:
            with contextlib.suppress(AssertionError):  # aiodocker's, when the connection has gone before
                await self._stream.close()


async def _stop(container: DockerContainer, grace: timedelta) -> None:
    seconds = max(1, round(grace.total_seconds()))
    async with engine_call("stop a container", within_seconds=seconds + _CLEANUP_SECONDS):
        try:
            await container.stop(t=seconds)
        except DockerError as error:
            if error.status != NOT_FOUND:
                raise


async def _remove(container: DockerContainer) -> None:
    """Remove it, or wait until somebody else, who is at it, has."""
    async with engine_call("remove a container", within_seconds=_CLEANUP_SECONDS):
        while True:
            try:
                await container.delete(force=True, v=True)
            except DockerError as error:
                if error.status == NOT_FOUND:
                    return
                if error.status != CONFLICT:
                    raise
                await asyncio.sleep(0.1)
            else:
                return


def _refused(error: DockerError) -> Exception:
    if "bind source path" in error.message:
        return EngineError(
            f"the container engine does not see the server's files, so that it must be on another machine: "
            f"{reason_of(error)}"
        )
    return ConfigRefusedError(f"the container engine refuses to run the image: {reason_of(error)}")
