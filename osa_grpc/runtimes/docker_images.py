"""Which image runs: the one that has the digest, found on the engine or pulled. A tag never decides anything."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aiohttp
import structlog
from aiodocker.exceptions import DockerError

from osa_grpc.runtimes.docker_errors import BAD_REQUEST, NOT_FOUND, engine_call
from osa_grpc.runtimes.engine import ConfigRefusedError, EngineError, ImageNotThereError, ResolvedImage
from osa_grpc.runtimes.registry_login import registry_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    import aiodocker

    from osa_grpc.runtimes.registry_login import RegistryLogins

_log = structlog.get_logger(__name__)

_CALL_SECONDS: Final = 30.0
_NAME: Final = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?/)?"
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
)
_NOT_LET_IN: Final = re.compile(r"denied|unauthorized|no basic auth", re.IGNORECASE)
_FOR_GOOD: Final = re.compile(
    rf"not found|(?:manifest|name) unknown|invalid reference|{_NOT_LET_IN.pattern}", re.IGNORECASE
)


class DockerImages:
    """The images of one engine. Callers that want the same image share one pull."""

    def __init__(self, *, docker: aiodocker.Docker, logins: RegistryLogins) -> None:
        self._docker = docker
        self._logins = logins
        self._pulls: dict[str, asyncio.Task[None]] = {}

    async def resolve(
        self,
        *,
        image: str,
        digest: str,
        pull_timeout: timedelta,
        on_pull: Callable[[], Awaitable[None]] | None = None,
    ) -> ResolvedImage:
        """As `ContainerEngine.resolve`. `on_pull` is awaited once if the image has to be waited for, before that.

        What it raises is raised here, and then nothing is pulled on this call's behalf.
        """
        name = repository_of(image)
        async with engine_call("look for an image", within_seconds=_CALL_SECONDS):
            found = await self._find(name, digest)
        if found is not None:
            return found
        if on_pull is not None:
            await on_pull()
        await self._pull_once(f"{name}@{digest}", pull_timeout)
        async with engine_call("look for an image it pulled", within_seconds=_CALL_SECONDS):
            found = await self._find(name, digest)
        if found is None:
            raise ImageNotThereError(
                f"{name}@{digest} is not on the engine, although pulling it raised no error", retryable=True
            )
        return found

    async def close(self) -> None:
        """End the pulls under way."""
        pulls = list(self._pulls.values())
        for pull in pulls:
            pull.cancel()
        await asyncio.gather(*pulls, return_exceptions=True)

    async def _find(self, name: str, digest: str) -> ResolvedImage | None:
        """An image whose id is the digest, or which came from a registry under it."""
        by_id = await self._inspect(digest)
        if by_id is not None and by_id["Id"] == digest:
            return _resolved(by_id)
        reference = f"{name}@{digest}"
        by_digest = await self._inspect(reference)
        if by_digest is not None and any(
            known.endswith(f"@{digest}") for known in _strings(by_digest.get("RepoDigests"))
        ):
            return _resolved(by_digest)
        return None

    async def _inspect(self, reference: str) -> dict[str, object] | None:
        try:
            return await self._docker.images.inspect(reference)
        except DockerError as error:
            if error.status in {NOT_FOUND, BAD_REQUEST}:
                return None
            raise

    async def _pull_once(self, reference: str, timeout: timedelta) -> None:  # noqa: ASYNC109 - the task's own
        pull = self._pulls.get(reference)
        if pull is None:
            pull = asyncio.create_task(self._pull(reference, timeout), name=f"pull {reference}")
            self._pulls[reference] = pull
            pull.add_done_callback(lambda done: self._forget(reference, done))
        await asyncio.shield(pull)

    def _forget(self, reference: str, pull: asyncio.Task[None]) -> None:
        self._pulls.pop(reference, None)
        if not pull.cancelled():
            pull.exception()  # those who waited have got it; perhaps all had gone

    async def _pull(self, reference: str, timeout: timedelta) -> None:  # noqa: ASYNC109 - the task's own
        _log.info("pulling an image", image=reference)
        telling = _Telling()
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await self._ask_to_pull(reference, telling)
        except TimeoutError as error:
            last = f" (the last that the engine said of it: {telling.status})" if telling.status else ""
            raise ImageNotThereError(
                f"{reference} is not on the engine, and pulling it took longer than "
                f"{timeout.total_seconds():g} s{last}",
                retryable=True,
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise EngineError(
                f"the container engine went away while it pulled {reference}: {error}"
            ) from error
        if telling.problem is not None:
            login = f" ({telling.login})" if _NOT_LET_IN.search(telling.problem) else ""
            raise ImageNotThereError(
                f"{reference} is not on the engine and cannot be pulled: {telling.problem}{login}",
                retryable=_FOR_GOOD.search(telling.problem) is None,
            )

    async def _ask_to_pull(self, reference: str, telling: _Telling) -> None:
        """Have the engine pull, and take down what it tells. Cancelled, the engine stops pulling.

        By hand, because aiodocker's `pull` leaves its connection open when it is cancelled.
        """
        async with engine_call("look at the engine", within_seconds=_CALL_SECONDS):
            info = await self._docker.system.info()
        default_registry = str(info.get("IndexServerAddress", ""))
        login = self._logins.header(reference, default_registry=default_registry)
        registry = registry_of(reference, default_registry=default_registry)
        telling.login = f"the server has {'no' if login is None else 'a'} login for {registry}"
        async with self._docker.session.post(
            f"{self._docker.docker_host}/{self._docker.api_version}/images/create",
            params={"fromImage": reference},
            headers={} if login is None else {"X-Registry-Auth": login},
        ) as answer:
            async for line in answer.content:
                told = json.loads(line)
                if answer.status >= BAD_REQUEST:
                    telling.problem = _one_line(told.get("message") or f"the engine answered {answer.status}")
                elif "error" in told:
                    telling.problem = _one_line(told["error"])
                else:
                    telling.status = _one_line(told.get("status") or telling.status)


@dataclass
class _Telling:
    """What the engine tells of a pull."""

    status: str = ""
    problem: str | None = None
    login: str = ""
    """Who we were to the registry, for the message."""


def _one_line(text: object) -> str:
    return " ".join(str(text).split()).rstrip(".")[:2000]


def repository_of(image: str) -> str:
    """The image's name without its tag, which has no say.

    Raises:
        ConfigRefusedError: it is not of the form that names of images have.
    """
    head, colon, tag = image.rpartition(":")
    name = head if colon and "/" not in tag else image
    if not _NAME.fullmatch(name):
        raise ConfigRefusedError(f"{image!r} is no name of an image")
    return name


def _resolved(inspected: dict[str, object]) -> ResolvedImage:
    config = inspected.get("Config")
    config = config if isinstance(config, dict) else {}
    return ResolvedImage(
        id=str(inspected["Id"]),
        environment=frozenset(variable.partition("=")[0] for variable in _strings(config.get("Env"))),
        volumes=tuple(sorted(_strings(config.get("Volumes")))),
    )


def _strings(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, (list, dict)) else []
