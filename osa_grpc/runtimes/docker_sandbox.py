"""The sandbox of a hook, as Docker's API wants to be told: the body of `POST /containers/create`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiodocker.types import JSONObject

    from osa_grpc.runtimes.engine import ContainerSpec

_TMP_BYTES: Final = 100 * 10**6
_MAX_PROCESSES: Final = 256
_MIN_LOG_BYTES: Final = 2**20
_TMP_OPTIONS: Final = f"rw,noexec,nosuid,nodev,mode=1777,size={_TMP_BYTES}"


def container_config(spec: ContainerSpec, *, rootless: bool) -> JSONObject:
    """Return the configuration of a container without network, rights, or anything to write to but /tmp and its output.

    In a rootless engine the container's root is the engine's user outside, and has no capabilities either.
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
    user, group = (0, 0) if rootless else spec.user
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
            "PidsLimit": _MAX_PROCESSES,
            "Memory": spec.memory_bytes,
            "MemorySwap": spec.memory_bytes,
            "NanoCpus": spec.nano_cpus,
            "Ulimits": [
                {"Name": "core", "Soft": 0, "Hard": 0},
                {"Name": "fsize", "Soft": spec.file_bytes, "Hard": spec.file_bytes},
            ],
            "IpcMode": "private",
            "Init": True,
            "Mounts": mounts,
            "Tmpfs": {"/tmp": _TMP_OPTIONS},  # noqa: S108 - a path inside the container
            "LogConfig": {
                "Type": "local",
                # Two files, so that something is left whenever one is begun. Packing them would be work for whoever writes.
                "Config": {
                    "max-size": str(max(spec.log_bytes, _MIN_LOG_BYTES)),
                    "max-file": "2",
                    "compress": "false",
                },
            },
            "RestartPolicy": {"Name": "no"},
        },
    }
