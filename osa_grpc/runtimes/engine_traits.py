"""In what engines that speak Docker's API differ, as far as it matters to hooks: asked once, when an engine is first seen.

What Podman says to Docker's question about limits is about the machine, not about what a rootless engine may do on it; so it is
asked in its own words. docs/operating.md has the same differences as a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from osa_grpc.application.ports import EngineDescription

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiodocker

Resource = Literal["memory", "processors", "processes"]

_CONTROLLERS: Final[dict[str, Resource]] = {"memory": "memory", "cpu": "processors", "pids": "processes"}
_KEEPS_NEWLINES: Final = 23
"""The first version of Docker whose log does."""
_ANSWERS: Final[dict[str, Resource]] = {
    "MemoryLimit": "memory",
    "CpuCfsQuota": "processors",
    "PidsLimit": "processes",
}


@dataclass(frozen=True, kw_only=True)
class EngineTraits:
    """What an engine is, as far as containers have to be made otherwise for it, or their ends read otherwise."""

    product: Literal["docker", "podman"]
    is_rootless: bool
    """It belongs to a user that is not root; root in a container is that user."""
    unlimited: tuple[Resource, ...]
    """What it cannot limit, because it may not or the kernel does not."""
    tells_out_of_memory: bool
    """Whether it would know that a container was killed because of its memory limit."""
    loses_newlines: bool
    """Whether its own log has no newline behind a line of more than 16 KiB."""


@dataclass(frozen=True, kw_only=True)
class SeenEngine:
    """What an engine said about itself."""

    description: EngineDescription
    traits: EngineTraits


async def ask_engine(docker: aiodocker.Docker) -> SeenEngine:
    """Ask an engine what it is. Raises what aiodocker raises."""
    async with docker.session.get(f"{docker.docker_host}/_ping") as answer:
        answer.raise_for_status()
        greeting = answer.headers
    if "Api-Version" in greeting:
        # Else aiodocker asks for the version, which Podman starts programs to say.
        docker.api_version = f"v{greeting['Api-Version']}"
    if "Libpod-Api-Version" in greeting:
        async with docker.session.get(f"{docker.docker_host}/{docker.api_version}/libpod/info") as answer:
            answer.raise_for_status()
            told = await answer.json()
        host = told["host"]
        version, platform = told["version"]["Version"], told["version"]["OsArch"]
        traits, cpus, memory_bytes = _traits_of_podman(host), host["cpus"], host["memTotal"]
    else:
        about, info = await docker.version(), await docker.system.info()
        version, platform = str(about["Version"]), f"{about['Os']}/{about['Arch']}"
        traits, cpus, memory_bytes = _traits_of_docker(info, version), info["NCPU"], info["MemTotal"]
    words = [
        f"{traits.product} {version} {platform}",
        *(["rootless"] if traits.is_rootless else []),
        *([f"without limits of {', '.join(traits.unlimited)}"] if traits.unlimited else []),
    ]
    return SeenEngine(
        description=EngineDescription(
            description=", ".join(words), cpus=float(cpus), memory_bytes=int(memory_bytes)
        ),
        traits=traits,
    )


def _traits_of_docker(info: Mapping[str, Any], version: str) -> EngineTraits:
    major = version.partition(".")[0]
    return EngineTraits(
        product="docker",
        is_rootless=any("name=rootless" in option for option in info.get("SecurityOptions") or ()),
        unlimited=tuple(name for key, name in _ANSWERS.items() if not info.get(key, True)),
        tells_out_of_memory=True,
        loses_newlines=major.isdecimal() and int(major) < _KEEPS_NEWLINES,
    )


def _traits_of_podman(host: Mapping[str, Any]) -> EngineTraits:
    controllers = host.get("cgroupControllers") or ()
    unlimited = tuple(name for key, name in _CONTROLLERS.items() if key not in controllers)
    return EngineTraits(
        product="podman",
        is_rootless=bool(host["security"]["rootless"]),
        unlimited=unlimited,
        tells_out_of_memory=host.get("cgroupVersion") != "v1" or "memory" in unlimited,
        loses_newlines=False,
    )
