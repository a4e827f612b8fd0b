"""Images from hook folders, built on a real engine."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import select
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import aiodocker
import pytest

from osa_grpc.runtimes.base_image import run_program
from osa_grpc.runtimes.hook_image import build_hook_image
from osa_grpc.runtimes.image_build import ImageBuildError
from tests.fixtures.containers import run_container

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EXAMPLE = Path(__file__).parents[2] / "examples" / "pdb-structures" / "hooks" / "chains"


@pytest.fixture
async def folder(tmp_path: Path, docker_host: str) -> AsyncIterator[Path]:
    """A small hook of which no image exists yet; its image is removed again."""
    hook = tmp_path / "My Hook"
    hook.mkdir()
    (hook / "hook.py").write_text(f"import helper\nprint(helper.WORD, {secrets.token_hex(8)!r})\n")
    (hook / "helper.py").write_text("WORD = 'hello'\n")
    yield hook
    async with aiodocker.Docker(url=docker_host) as docker:
        for image in await docker.images.list(filters={"reference": ["osa-hook-my-hook"]}):
            await docker.images.delete(image["Id"], force=True)


def quiet(_: str) -> None:
    pass


async def test_the_same_folder_is_built_once_and_another_content_again(
    folder: Path, docker_host: str
) -> None:
    first = await build_hook_image(folder, docker_host=docker_host, say=quiet)
    assert first.built
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", first.image_id)
    assert re.fullmatch(r"osa-hook-my-hook:[0-9a-f]{12}", first.tag)

    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "hook.pyc").write_bytes(b"x")
    (folder / ".hook.py.swp").write_bytes(b"x")
    again = await build_hook_image(folder, docker_host=docker_host, say=pytest.fail)
    assert (again.image_id, again.tag, again.built) == (first.image_id, first.tag, False)

    (folder / "helper.py").write_text("WORD = 'goodbye'\n")
    changed = await build_hook_image(folder, docker_host=docker_host, say=quiet)
    assert changed.built
    assert changed.image_id != first.image_id


async def test_the_hook_runs_without_network_on_a_read_only_root_as_nobody(
    folder: Path, docker_host: str
) -> None:
    image = await build_hook_image(folder, docker_host=docker_host, say=quiet)
    done = await run_container(docker_host, image.image_id)
    assert (done.exit_code, done.output.split()[0]) == (0, "hello")


async def test_a_known_image_gets_the_tag_that_is_asked_for(folder: Path, docker_host: str) -> None:
    first = await build_hook_image(folder, docker_host=docker_host, say=quiet)
    tagged = await build_hook_image(folder, docker_host=docker_host, tag="osa-hook-my-hook:mine", say=quiet)
    assert (tagged.image_id, tagged.built) == (first.image_id, False)
    async with aiodocker.Docker(url=docker_host) as docker:
        assert (await docker.images.inspect("osa-hook-my-hook:mine"))["Id"] == first.image_id


async def test_a_folder_without_hook_py_is_refused(tmp_path: Path, docker_host: str) -> None:
    with pytest.raises(ImageBuildError, match=r"has no hook\.py"):
        await build_hook_image(tmp_path, docker_host=docker_host, say=quiet)


async def test_a_link_in_a_hook_folder_is_refused(folder: Path, docker_host: str) -> None:
    (folder / "passwords").symlink_to("/etc/passwd")
    with pytest.raises(ImageBuildError, match=r"passwords is neither a file nor a folder"):
        await build_hook_image(folder, docker_host=docker_host, say=quiet)


async def test_packages_without_hashes_are_refused(folder: Path, docker_host: str) -> None:
    (folder / "requirements.txt").write_text("gemmi==0.7.5\n")
    with pytest.raises(ImageBuildError, match=r"hash"):
        await build_hook_image(folder, docker_host=docker_host, say=quiet)


async def test_a_package_of_another_content_than_its_hash_is_refused(folder: Path, docker_host: str) -> None:
    (folder / "requirements.txt").write_text(f"gemmi==0.7.5 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(ImageBuildError, match=r"(?i)hash"):
        await build_hook_image(folder, docker_host=docker_host, say=quiet)


async def test_packages_are_there_for_the_hook(folder: Path, docker_host: str) -> None:
    shutil.copy(EXAMPLE / "requirements.txt", folder)
    (folder / "hook.py").write_text("import gemmi\nprint(gemmi.__version__)\n")
    image = await build_hook_image(folder, docker_host=docker_host, say=quiet)
    assert (await run_container(docker_host, image.image_id)).output == "0.7.5\n"


async def test_a_base_without_python_is_refused_with_its_reason(
    folder: Path, docker_host: str, tiny_image: str
) -> None:
    shutil.copy(EXAMPLE / "requirements.txt", folder)
    with pytest.raises(ImageBuildError, match=r"has no python3 that runs"):
        await build_hook_image(folder, docker_host=docker_host, base=tiny_image, say=quiet)
    async with aiodocker.Docker(url=docker_host) as docker:
        left = await docker.containers.list(all=True, filters={"ancestor": [tiny_image]})
        assert [one.id for one in left if "python3" in (await one.show())["Path"]] == []


async def test_a_base_that_is_nowhere_is_refused_with_the_command_that_mends_it(
    folder: Path, docker_host: str
) -> None:
    with pytest.raises(ImageBuildError, match=r"cannot be pulled .* run `docker pull osa-test-nowhere:1`"):
        await build_hook_image(folder, docker_host=docker_host, base="osa-test-nowhere:1", say=quiet)


async def test_an_engine_that_is_not_there_is_said_so(folder: Path) -> None:
    with pytest.raises(ImageBuildError, match=r"unix:///nowhere\.sock does not answer"):
        await build_hook_image(folder, docker_host="unix:///nowhere.sock", say=quiet)


async def test_a_program_of_the_host_ends_when_the_build_is_cancelled(tmp_path: Path) -> None:
    started = tmp_path / "pid"
    os.mkfifo(started)
    build = asyncio.create_task(run_program(["sh", "-c", f"echo $$ > {started}; exec sleep 1000"]))
    program = os.pidfd_open(int(await asyncio.to_thread(started.read_text)))
    build.cancel()
    with pytest.raises(asyncio.CancelledError):
        await build
    try:
        ended, _, _ = select.select([program], [], [], 0)
        assert ended == [program]
    finally:
        os.close(program)
