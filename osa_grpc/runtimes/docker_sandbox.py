"""The sandbox of a hook, as Docker's API wants to be told: the body of `POST /containers/create`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiodocker.types import JSONObject

    from osa_grpc.runtimes.engine import ContainerSpec
    from osa_grpc.runtimes.engine_traits import EngineTraits, Resource

_TMP_BYTES: Final = 100 * 10**6
_MAX_PROCESSES: Final = 256
_MIN_LOG_BYTES: Final = 2**20
_PODMAN_PLACES: Final = ("/run", "/var/tmp")  # noqa: S108 - paths inside the container
_NO_PLACE: Final = "ro,noexec,nosuid,nodev,size=65536"
_PODMAN_ULIMITS: Final = {"nofile": 4096, "nproc": 4096}
_TMP_OPTIONS: Final = f"rw,noexec,nosuid,nodev,mode=1777,size={_TMP_BYTES}"


def container_config(spec: ContainerSpec, *, traits: EngineTraits) -> JSONObject:
    """Return the configuration of a container without network, rights, or anything to write to but /tmp and its output.

    In a rootless engine the container's root is the engine's user outside, and has no capabilities either. A limit that the engine
    cannot keep is left out: some refuse it.
    """
    mounts: list[JSONObject] = [
        {
            "Type": "bind",
            "Source": str(mount.source),
            "Target": mount.target,
            "ReadOnly": not mount.writable,
            "BindOptions": {"Propagation": "rprivate"},
        }
        for mount in spec.mounts
    ]
    # A volume would be a place on the disk that no quota sees.
    mounts += [
        {"Type": "tmpfs", "Target": target, "TmpfsOptions": {"SizeBytes": _TMP_BYTES, "Mode": 0o1777}}
        for target in spec.image.volumes
        if target != "/tmp"  # noqa: S108 - a path inside the container
    ]
    user, group = (0, 0) if traits.is_rootless else spec.user
    return {
        "Image": spec.image.id,
        "User": f"{user}:{group}",
        "Env": [f"{name}={value}" for name, value in spec.environment.items()],
        "Labels": dict(spec.labels),
        "Tty": False,
        "OpenStdin": False,
        "AttachStdin": False,
        "AttachStdout": True,
        "AttachStderr": True,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "NetworkMode": "none",
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            **_limits(spec, traits),
            "Ulimits": [
                {"Name": name, "Soft": limit, "Hard": limit} for name, limit in _ulimits(spec, traits).items()
            ],
            "IpcMode": "private",
            "Init": True,
            "Mounts": mounts,
            "Tmpfs": _tmpfs(spec, traits),
            "LogConfig": _log_config(spec, traits),
            "RestartPolicy": {"Name": "no"},
        },
    }


def _tmpfs(spec: ContainerSpec, traits: EngineTraits) -> dict[str, str]:
    """Podman adds places to write to in a container that is to be read only, as large as half the machine's memory."""
    places = {"/tmp": _TMP_OPTIONS}  # noqa: S108 - a path inside the container
    if traits.product == "podman":
        places |= {place: _NO_PLACE for place in _PODMAN_PLACES if place not in spec.image.volumes}
    return places


def _limits(spec: ContainerSpec, traits: EngineTraits) -> JSONObject:
    limits: dict[Resource, JSONObject] = {
        "memory": {"Memory": spec.memory_bytes, "MemorySwap": spec.memory_bytes},
        "processors": {"NanoCpus": spec.nano_cpus},
        "processes": {"PidsLimit": _MAX_PROCESSES},
    }
    return {
        key: value
        for resource, settings in limits.items()
        if resource not in traits.unlimited
        for key, value in settings.items()
    }


def _ulimits(spec: ContainerSpec, traits: EngineTraits) -> dict[str, int]:
    """Without any, Podman sets some that are higher than it may always set."""
    limits = {"core": 0, "fsize": spec.file_bytes}
    return limits | _PODMAN_ULIMITS if traits.product == "podman" else limits


def _log_config(spec: ContainerSpec, traits: EngineTraits) -> JSONObject:
    max_bytes = str(max(spec.log_bytes, _MIN_LOG_BYTES))
    if traits.product == "podman":
        return {"Type": "k8s-file", "Config": {"max-size": max_bytes}}
    # Two files, so that something is left whenever one is begun. Packing them would be work for whoever writes.
    return {"Type": "local", "Config": {"max-size": max_bytes, "max-file": "2", "compress": "false"}}
