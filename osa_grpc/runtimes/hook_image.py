"""An image from a hook folder, which needs no registry and, while it is built, no network.

A hook folder holds `hook.py`, which is run, whatever it needs beside it, and perhaps `requirements.txt` with
every package pinned by hash. Packages come as wheels, fetched by uv on the host for the Python of the base.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uv

from osa_grpc.runtimes.base_image import base_image, python_of, run_program
from osa_grpc.runtimes.image_build import (
    ImageBuildError,
    build_image,
    engine_client,
    files_of,
    image_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import aiodocker

_DOCKERFILE = """\
FROM {base}
COPY site /opt/hook/site
COPY hook /opt/hook
ENV PYTHONPATH=/opt/hook/site PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
ENTRYPOINT ["python3", "/opt/hook/hook.py"]
CMD []
"""


@dataclass(frozen=True, kw_only=True)
class BuiltImage:
    """An image on one engine."""

    image_id: str
    """`sha256:...`; the `digest` of an OciConfig for an image that never left its engine."""
    tag: str
    built: bool
    """False when the same folder on the same base had been built before."""


async def build_hook_image(
    folder: Path,
    *,
    docker_host: str,
    tag: str | None = None,
    base: str | None = None,
    say: Callable[[str], None],
) -> BuiltImage:
    """Build the hook in `folder`, unless an image of exactly this content is on the engine already.

    Raises:
        ImageBuildError: the folder is no hook, a package or the base image cannot be had, the engine refuses.
    """
    hook = _hook_files(folder)
    async with engine_client(docker_host) as docker:
        base_id = await base_image(docker, base, say=say)
        own_tag = f"{_image_name(folder)}:{_content_sha256(hook, base_id)[:12]}"
        image = await image_id(docker, own_tag)
        built = image is None
        if image is None:
            say(f"Building {own_tag}.")
            with tempfile.TemporaryDirectory(prefix="osa-grpc-hook-") as site:
                if (requirements := hook.get("requirements.txt")) is not None:
                    await _install_wheels(docker, requirements, site, base_id)
                image = await build_image(
                    docker,
                    dockerfile=_DOCKERFILE.format(base=base_id),
                    files={"site": Path(site)} | {f"hook/{name}": path for name, path in hook.items()},
                    tag=own_tag,
                )
        if tag is not None:
            name, version = _name_and_version(tag)
            await docker.images.tag(image, name, tag=version)
    return BuiltImage(image_id=image, tag=tag or own_tag, built=built)


def _hook_files(folder: Path) -> dict[str, Path]:
    """The files of the hook, by their path inside its folder."""
    if not (folder / "hook.py").is_file():
        raise ImageBuildError(f"{folder} has no hook.py: that is the program which a hook's container runs.")
    return {path.relative_to(folder).as_posix(): path for path in files_of(folder)}


async def _install_wheels(docker: aiodocker.Docker, requirements: Path, site: str, base_id: str) -> None:
    python = await python_of(docker, base_id)
    await run_program(
        [
            *(
                uv.find_uv_bin(),
                "pip",
                "install",
                "--quiet",
                "--system-certs",
                "--no-progress",
                "--link-mode=copy",
            ),
            *("--python", sys.executable, "--target", site),
            *("--python-version", python.python_version, "--python-platform", python.platform),
            *("--only-binary", ":all:", "--require-hashes", "--requirements", str(requirements)),
        ]
    )


def _content_sha256(hook: Mapping[str, Path], base_id: str) -> str:
    """What decides whether an image has to be built: the files, the base, and how it is built."""
    content = hashlib.sha256(f"{_DOCKERFILE}\0{base_id}\0".encode())
    for name, path in hook.items():
        mode = "x" if path.stat().st_mode & 0o100 else "-"
        content.update(f"{name}\0{mode}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return content.hexdigest()


def _image_name(folder: Path) -> str:
    """A name that every engine takes: lower case, with single separators."""
    return "osa-hook-" + (re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "unnamed")


def _name_and_version(image: str) -> tuple[str, str]:
    name, separator, version = image.rpartition(":")
    return (name, version) if separator and "/" not in version else (image, "latest")
