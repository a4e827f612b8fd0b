"""Docker, and whatever else speaks its API, as the engine that runs containers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Final, Self

import aiodocker
import aiohttp
import structlog

from osa_grpc.runtimes.docker_container import (
    CALL_SECONDS,
    AdoptedContainer,
    HeldContainer,
    MadeContainer,
    remove,
    stop,
)
from osa_grpc.runtimes.docker_errors import engine_call
from osa_grpc.runtimes.docker_images import DockerImages
from osa_grpc.runtimes.docker_probe import copy_within
from osa_grpc.runtimes.docker_sandbox import container_config
from osa_grpc.runtimes.engine import (
    EngineError,
    FoundContainer,
    ResolvedImage,
)
from osa_grpc.runtimes.engine_traits import ask_engine
from osa_grpc.runtimes.finishing import finish
from osa_grpc.runtimes.registry_login import RegistryLogins

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from datetime import timedelta
    from pathlib import Path
    from types import TracebackType

    from osa_grpc.application.ports import EngineDescription
    from osa_grpc.runtimes.engine import Container, ContainerSpec, ContainerState
    from osa_grpc.runtimes.engine_traits import SeenEngine
    from osa_grpc.runtimes.log_position import LogPosition

_log = structlog.get_logger(__name__)

_DESCRIBE_SECONDS: Final = 2.0
_ASK_AGAIN_SECONDS: Final = 300.0
_BACK_WITHIN_SECONDS: Final = 10.0  # how long cleaning up waits for an engine that is away
_UNIX: Final = "unix://"
_STATES: Final[Mapping[str, ContainerState]] = {
    "created": "created",
    "running": "running",
    "paused": "running",
    "exited": "ended",
}


class DockerEngine:
    """The engine at `docker_host` (as in DOCKER_HOST). Use it as `async with`; it need not answer yet, or always."""

    def __init__(self, *, docker_host: str, logins: RegistryLogins | None = None) -> None:
        self.docker_host = docker_host
        self._logins = logins or RegistryLogins()
        self._seen: SeenEngine | None = None
        self._asked_at: float | None = None

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
        until = asyncio.get_running_loop().time() + _DESCRIBE_SECONDS
        try:
            async with engine_call("answer", within_seconds=_DESCRIBE_SECONDS):
                await self._ping()
        except EngineError:
            self._asked_at = None
            return None
        # Podman takes a second to say what it is, and starts programs for it: asked seldom, and not waited for if it is known.
        with contextlib.suppress(EngineError):
            await self._known(within_seconds=until - asyncio.get_running_loop().time())
        return None if self._seen is None else self._seen.description

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
        traits = (await self._known()).traits
        held = MadeContainer(docker=self._docker, traits=traits)
        async with self._letting_go(held, grace, leaves):
            config = container_config(spec, traits=traits)
            await finish(held.create(config, name=spec.name), name="create container")
            await held.attach()
            yield held

    @contextlib.asynccontextmanager
    async def adopt(
        self,
        container_id: str,
        *,
        position: LogPosition,
        grace: timedelta,
        leaves: Callable[[], bool] = lambda: False,
    ) -> AsyncIterator[Container]:
        """Hold a container that somebody else has started, and let go of it as `hold` does."""
        traits = (await self._known()).traits
        held = AdoptedContainer(
            docker=self._docker, container_id=container_id, position=position, traits=traits
        )
        async with self._letting_go(held, grace, leaves):
            await held.look()
            yield held

    async def find(self, labels: Mapping[str, str]) -> Sequence[FoundContainer]:
        """Return the containers that have all these labels, running or not."""
        wanted = [f"{name}={value}" for name, value in labels.items()]
        async with engine_call("list containers", within_seconds=CALL_SECONDS):
            found = await self._docker.containers.list(all=1, filters=json.dumps({"label": wanted}))
        return [
            FoundContainer(
                id=container.id,
                state=_STATES.get(container["State"], "unusable"),
                labels=container["Labels"],
            )
            for container in found
        ]

    async def remove(self, container_id: str, *, grace: timedelta) -> None:
        """Stop and remove it, and return when it is gone."""
        container = self._docker.containers.container(container_id)
        await stop(container, grace)
        await remove(container)

    async def copy_within(
        self, directory: Path, *, source: str, target: str, labels: Mapping[str, str]
    ) -> None:
        """Copy a small file within a directory of the engine's machine, as a container would that has it mounted."""
        await self._known()
        await copy_within(self._docker, directory, source=source, target=target, labels=labels)

    async def _ping(self) -> None:
        async with self._docker.session.get(f"{self._docker.docker_host}/_ping") as answer:
            answer.raise_for_status()

    async def _known(self, *, within_seconds: float = CALL_SECONDS) -> SeenEngine:
        """Return what it said last, if that is not long ago and it has not been away since."""
        now = asyncio.get_running_loop().time()
        if (
            self._seen is not None
            and self._asked_at is not None
            and now < self._asked_at + _ASK_AGAIN_SECONDS
        ):
            return self._seen
        async with engine_call("say what it is", within_seconds=within_seconds):
            seen = await ask_engine(self._docker)
        if seen.traits.unlimited and (self._seen is None or self._seen.traits != seen.traits):
            _log.warning(
                "the container engine cannot limit what hooks use",
                engine=seen.description.description,
                unlimited=list(seen.traits.unlimited),
            )
        self._seen, self._asked_at = seen, now
        return seen

    @contextlib.asynccontextmanager
    async def _letting_go(
        self, held: HeldContainer, grace: timedelta, leaves: Callable[[], bool]
    ) -> AsyncIterator[None]:
        stays = False
        try:
            yield
        except BaseException:
            stays = leaves()
            raise
        finally:
            work = held.disconnect() if stays else self._let_go(held, grace)
            await finish(work, name="let go of container")

    async def _let_go(self, held: HeldContainer, grace: timedelta) -> None:
        """Make sure that the container is gone, if need be once the engine is back from a restart."""
        await held.disconnect()
        if held.container is None:
            return
        until = asyncio.get_running_loop().time() + grace.total_seconds() + _BACK_WITHIN_SECONDS
        while True:
            try:
                if held.may_run:
                    await stop(held.container, grace)
                await remove(held.container)
            except EngineError as error:
                self._asked_at = None
                if asyncio.get_running_loop().time() > until:
                    _log.warning("a container could not be removed", container=held.id, reason=str(error))
                    return
                await asyncio.sleep(0.5)
            else:
                return
