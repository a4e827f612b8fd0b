"""Images that come from a registry: a real one, open or closed, that dies in the middle and comes back."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import aiodocker
import pytest
from pydantic import SecretStr

from osa_grpc.domain.failure import FailureKind
from osa_grpc.runtimes.docker_engine import DockerEngine
from osa_grpc.runtimes.docker_images import repository_of
from osa_grpc.runtimes.engine import ConfigRefusedError, ImageNotThereError, ResolvedImage
from osa_grpc.runtimes.registry_login import RegistryLogins
from tests.fixtures.hooks import Remembering, Workshop
from tests.fixtures.registry import PASSWORD, USER, Registry

SOON = timedelta(seconds=20)
NOTHING = "sha256:" + "0" * 64
MEBIBYTE = 2**20


@pytest.fixture
async def docker(docker_host: str) -> AsyncIterator[aiodocker.Docker]:
    async with aiodocker.Docker(url=docker_host) as client:
        yield client


Offer = Callable[..., Awaitable[str]]


@pytest.fixture
async def offer(docker: aiodocker.Docker, workshop: Workshop) -> AsyncIterator[Offer]:
    """`await offer(registry)`: the digest of an image that is in the registry and not on the engine; it prints `pulled`."""
    offered = []

    async def offering(registry: Registry, **how: int) -> str:
        image = await workshop.image("echo pulled")
        offered.append(await registry.offer(docker, image, label=secrets.token_hex(8), **how))
        return offered[-1]

    yield offering
    for image in await docker.images.list(digests="1"):
        if any(known.endswith(f"@{digest}") for known in image["RepoDigests"] or () for digest in offered):
            await docker.images.delete(image["Id"], force=True)


@pytest.fixture(autouse=True)
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Docker config file, which is not there yet."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    (tmp_path / "docker").mkdir()
    return tmp_path / "docker" / "config.json"


def docker_login(config: Path, registry: Registry, login: str) -> None:
    """Write what `docker login` writes."""
    auth = base64.b64encode(login.encode()).decode()
    config.write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))


def pulling(
    workshop: Workshop, registry: Registry, digest: str, timeout: timedelta = SOON
) -> asyncio.Task[ResolvedImage]:
    return asyncio.create_task(
        workshop.engine.resolve(image=registry.name(), digest=digest, pull_timeout=timeout)
    )


async def refusal(pull: Awaitable[object]) -> ImageNotThereError:
    with pytest.raises(ImageNotThereError) as caught:
        await pull
    return caught.value


async def test_an_image_is_pulled_by_its_digest_once_and_then_runs(
    workshop: Workshop, registry: Registry, offer: Offer
) -> None:
    digest = await offer(registry)
    observer = Remembering()
    end = await workshop.runtime.run(workshop.job(digest, image=registry.name("offered:any-tag")), observer)
    assert end.failure is None
    assert observer.log == b"pulled\n"
    assert end.provenance.digest == digest
    assert end.provenance.image_id not in {"", digest}
    asked = registry.asked_for("manifests")
    assert set(asked) == {digest}
    assert (await pulling(workshop, registry, digest)).id == end.provenance.image_id
    assert registry.asked_for("manifests") == asked


async def test_whoever_wants_an_image_is_told_that_it_has_to_be_pulled_and_else_is_not(
    workshop: Workshop, registry: Registry, offer: Offer
) -> None:
    digest = await offer(registry)
    told = []

    async def on_pull() -> None:
        told.append(registry.asked_for("manifests"))

    for _ in range(2):
        await workshop.engine.resolve(
            image=registry.name(), digest=digest, pull_timeout=SOON, on_pull=on_pull
        )
    assert told == [[]]


async def test_hooks_that_want_the_same_image_share_one_pull_and_one_may_leave(
    workshop: Workshop, registry: Registry, offer: Offer
) -> None:
    await pulling(workshop, registry, await offer(registry))
    one_pull = len(registry.asked_for("manifests"))
    digest = await offer(registry)
    registry.hold()
    first, *others = [pulling(workshop, registry, digest) for _ in range(5)]
    await registry.held.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    registry.let_go()
    assert len(set(await asyncio.gather(*others))) == 1
    assert 1 <= len(registry.asked_for("manifests")) <= one_pull


async def test_a_pull_has_a_deadline_of_its_own_and_one_that_was_late_may_be_in_time_later(
    workshop: Workshop, registry: Registry, offer: Offer
) -> None:
    digest = await offer(registry)
    registry.hold()
    told = await refusal(pulling(workshop, registry, digest, timedelta(seconds=0.3)))
    assert told.retryable
    assert "took longer than 0.3 s" in str(told)
    registry.let_go()
    assert (await pulling(workshop, registry, digest)).id


async def test_a_hook_has_all_its_time_however_long_the_pull_took(
    workshop: Workshop, registry: Registry, offer: Offer
) -> None:
    job = workshop.job(await offer(registry), image=registry.name(), timeout_seconds=1)
    registry.hold()
    running = asyncio.create_task(workshop.runtime.run(job, Remembering()))
    await registry.held.wait()
    asyncio.get_running_loop().call_later(1.5, registry.let_go)  # longer than the hook may take
    assert (await running).failure is None


async def test_a_hook_can_be_cancelled_while_its_image_is_pulled(
    workshop: Workshop, registry: Registry, offer: Offer
) -> None:
    job = workshop.job(await offer(registry), image=registry.name())
    registry.hold()
    running = asyncio.create_task(workshop.runtime.run(job, Remembering()))
    await registry.held.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(running), 5)


@pytest.mark.parametrize("repository", ["offered", "never-heard-of"])
async def test_a_digest_that_the_registry_does_not_know_will_not_come_another_time(
    workshop: Workshop, registry: Registry, offer: Offer, repository: str
) -> None:
    await offer(registry)
    job = workshop.job(NOTHING, image=registry.name(repository))
    failure = (await workshop.runtime.run(job, Remembering())).failure
    assert failure is not None
    assert (failure.kind, failure.retryable) == (FailureKind.IMAGE_PULL, False)
    assert f"{registry.name(repository)}@{NOTHING} is not on the engine" in failure.message
    assert "unknown" in failure.message


@pytest.mark.parametrize("ballast_bytes", [0, 8 * MEBIBYTE], ids=["manifest", "layer"])
async def test_a_registry_that_dies_in_the_middle_of_a_pull_fails_it_for_now(
    workshop: Workshop, registry: Registry, offer: Offer, ballast_bytes: int
) -> None:
    digest = await offer(registry, ballast_bytes=ballast_bytes)
    registry.hold(after_bytes=ballast_bytes // 2)
    pull = pulling(workshop, registry, digest, timedelta(seconds=4))
    await registry.held.wait()
    await registry.kill()
    told = await refusal(pull)
    assert told.retryable
    assert f"{registry.name()}@{digest} is not on the engine" in str(told)

    told = await refusal(pulling(workshop, registry, digest, timedelta(seconds=4)))
    assert told.retryable

    registry.let_go()
    await registry.start()
    end = await workshop.runtime.run(workshop.job(digest, image=registry.name()), Remembering())
    assert end.failure is None


async def test_an_old_image_of_the_same_name_on_the_engine_never_runs(
    workshop: Workshop, registry: Registry, offer: Offer, docker: aiodocker.Docker
) -> None:
    digest = await offer(registry)
    latest = registry.name("offered:latest")
    old = await workshop.image("echo old")
    await docker.images.tag(old, registry.name(), tag="latest")
    try:
        observer = Remembering()
        await workshop.runtime.run(workshop.job(digest, image=latest), observer)
        assert observer.log == b"pulled\n"
        assert (await docker.images.inspect(latest))["Id"] == old
        failure = (await workshop.runtime.run(workshop.job(NOTHING, image=latest), Remembering())).failure
        assert failure is not None
        assert failure.kind is FailureKind.IMAGE_PULL
    finally:
        await docker.images.delete(latest)


async def test_a_closed_registry_is_told_as_such_and_the_login_that_docker_login_wrote_opens_it(
    workshop: Workshop, closed_registry: Registry, offer: Offer, docker_config: Path
) -> None:
    digest = await offer(closed_registry)
    told = await refusal(pulling(workshop, closed_registry, digest))
    assert not told.retryable
    assert str(told).endswith(f"(the server has no login for {closed_registry.host})")
    docker_login(docker_config, closed_registry, f"{USER}:{PASSWORD}")
    assert (await pulling(workshop, closed_registry, digest)).id


async def test_the_login_of_the_settings_wins_over_the_files(
    workshop: Workshop, closed_registry: Registry, offer: Offer, docker_host: str, docker_config: Path
) -> None:
    digest = await offer(closed_registry)
    docker_login(docker_config, closed_registry, "somebody:else")
    logins = RegistryLogins(configured={closed_registry.host: SecretStr(f"{USER}:{PASSWORD}")})
    async with DockerEngine(docker_host=docker_host, logins=logins) as engine:
        image = await engine.resolve(image=closed_registry.name(), digest=digest, pull_timeout=SOON)
    assert image.id


async def test_a_wrong_login_fails_the_pull_for_good_and_is_shown_to_nobody(
    workshop: Workshop,
    closed_registry: Registry,
    offer: Offer,
    docker_host: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    digest = await offer(closed_registry)
    logins = RegistryLogins(configured={closed_registry.host: SecretStr(f"{USER}:not the password")})
    async with DockerEngine(docker_host=docker_host, logins=logins) as engine:
        told = await refusal(engine.resolve(image=closed_registry.name(), digest=digest, pull_timeout=SOON))
    assert not told.retryable
    assert "unauthorized" in str(told)
    assert str(told).endswith(f"(the server has a login for {closed_registry.host})")
    shown = capfd.readouterr()
    assert "pulling an image" in shown.out + shown.err
    assert "not the password" not in f"{told}{shown}{logins!r}{vars(logins)}"


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("a", "a"),
        ("a:1.0", "a"),
        ("localhost:5000/a/b-c:x", "localhost:5000/a/b-c"),
        ("registry.example.org/a__b/c.d", "registry.example.org/a__b/c.d"),
    ],
)
def test_a_tag_has_no_say(image: str, repository: str) -> None:
    assert repository_of(image) == repository


@pytest.mark.parametrize("image", ["../containers/json", "a?b", "A", "a//b", "a/../b", "-a", "a:b:c", "#"])
def test_what_is_no_name_of_an_image_goes_nowhere(image: str) -> None:
    with pytest.raises(ConfigRefusedError):
        repository_of(image)
