"""The image that hooks are built on: a Python, found on the engine, pulled, or made from Debian's packages.

Where no registry can be reached, `mmdebstrap` makes the same kind of system from the archive of apt.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiodocker.exceptions import DockerError

from osa_grpc.runtimes import debian_packages
from osa_grpc.runtimes.image_build import ImageBuildError, build_image, image_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import aiodocker

DEFAULT_BASE = "python:3.13-slim"

_RECIPE = (
    "--variant=minbase",
    "--include=python3",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "trixie",  # its Python is 3.13, as in DEFAULT_BASE
)
_REGISTRY_ANSWERS_SECONDS = 10.0
_PULL_SECONDS = 600.0
_PROBE_SECONDS = 60.0
_END_SECONDS = 20.0
_PROBE = (
    "import json, platform, sys; print(json.dumps(["
    "'%d.%d' % sys.version_info[:2], platform.machine(), platform.libc_ver()[0]]))"
)


@dataclass(frozen=True, kw_only=True)
class PythonBase:
    """What wheels for an image have to suit."""

    python_version: str
    """For example `3.13`."""
    platform: str
    """As uv names it, for example `x86_64-unknown-linux-gnu`."""


async def base_image(docker: aiodocker.Docker, base: str | None, *, say: Callable[[str], None]) -> str:
    """The id of the image to build on: `base`, or the default, bootstrapped where it cannot be pulled.

    Raises:
        ImageBuildError: there is none and none can be had.
    """
    wanted = base or DEFAULT_BASE
    if (found := await image_id(docker, wanted)) is not None:
        return found
    bootstrapped = f"osa-grpc-base:{hashlib.sha256(' '.join(_RECIPE).encode()).hexdigest()[:12]}"
    if base is None and (made := await image_id(docker, bootstrapped)) is not None:
        return made
    reason = await _pull(docker, wanted, say=say)
    if (found := await image_id(docker, wanted)) is not None:
        return found
    if base is not None or os.geteuid() != 0 or not debian_packages.is_debian():
        raise ImageBuildError(
            f"{wanted} is not on the engine and cannot be pulled ({reason}): run `docker pull {wanted}` "
            f"where a registry can be reached, or name with --base an image on the engine that has Python."
        )
    say(f"{wanted} cannot be had here ({reason}): making a base image from Debian's packages, half a minute.")
    return await _bootstrap(docker, bootstrapped, say=say)


async def python_of(docker: aiodocker.Docker, image: str) -> PythonBase:
    """Ask the Python inside `image` what it is, by running it once, without network.

    Raises:
        ImageBuildError: it has no `python3` on its path, or none that runs.
    """
    container = await docker.containers.create(
        {
            "Image": image,
            "Entrypoint": ["python3", "-c", _PROBE],
            "Cmd": [],
            "NetworkDisabled": True,
            "HostConfig": {"NetworkMode": "none", "ReadonlyRootfs": True, "CapDrop": ["ALL"]},
        }
    )
    try:
        await container.start()
        async with asyncio.timeout(_PROBE_SECONDS):
            await container.wait()
        output = "".join(await container.log(stdout=True))
        version, machine, libc = json.loads(output)
    except (DockerError, TimeoutError, ValueError) as error:
        raise ImageBuildError(f"The base image {image} has no python3 that runs: {error}.") from error
    finally:
        await container.delete(force=True)
    return PythonBase(
        python_version=version,
        platform=f"{machine}-unknown-linux-{'gnu' if libc == 'glibc' else 'musl'}",
    )


async def _pull(docker: aiodocker.Docker, image: str, *, say: Callable[[str], None]) -> str:
    """Try to pull `image`; why that failed, if it did. A registry that says nothing is given up soon."""
    heard = False
    try:
        async with asyncio.timeout(_REGISTRY_ANSWERS_SECONDS) as patience:
            async for _ in docker.images.pull(image, stream=True):
                if not heard:
                    say(f"Pulling {image}.")
                    patience.reschedule(asyncio.get_running_loop().time() + _PULL_SECONDS)
                heard = True
    except DockerError as error:
        return str(error)
    except TimeoutError:
        return f"it took more than {_PULL_SECONDS:.0f} s" if heard else "no registry answers"
    return ""


async def _bootstrap(docker: aiodocker.Docker, tag: str, *, say: Callable[[str], None]) -> str:
    if shutil.which("mmdebstrap") is None:
        try:
            await asyncio.to_thread(
                debian_packages.install,
                ["mmdebstrap"],
                say=say,
                purpose="making a base image without a registry",
            )
        except debian_packages.PackagesUnavailableError as error:
            raise ImageBuildError(str(error)) from error
    with tempfile.TemporaryDirectory(prefix="osa-grpc-base-") as folder:
        system = Path(folder, "system.tar")
        await run_program(["mmdebstrap", "--quiet", *_RECIPE, str(system)], environment={"TMPDIR": folder})
        return await build_image(
            docker,
            dockerfile='FROM scratch\nADD system.tar /\nENV LANG=C.UTF-8\nCMD ["python3"]\n',
            files={"system.tar": system},
            tag=tag,
        )


async def run_program(command: Sequence[str], *, environment: dict[str, str] | None = None) -> None:
    """Run a program of the host to its end; when we are cancelled, it is asked to end and waited for.

    Raises:
        ImageBuildError: it failed, with the last thing it said.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        env=os.environ | (environment or {}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C in the terminal is for us; we pass it on and wait
    )
    try:
        output, _ = await process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await process.communicate()
        except TimeoutError:
            process.kill()
        raise
    if process.returncode != 0:
        said = " ".join(output.decode(errors="replace").split())
        raise ImageBuildError(f"{Path(command[0]).name} failed: {said[-600:] or 'it said nothing'}")
