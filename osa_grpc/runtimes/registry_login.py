"""Logins to registries: those of the settings, and of the file that `docker login` writes.

Credential helper programs are not asked. A login is shown to nobody but the engine.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

_DOCKER_HUB: Final = "docker.io"
_NAMES_OF_DOCKER_HUB: Final = {"index.docker.io", "registry-1.docker.io", _DOCKER_HUB}


class RegistryLogins:
    """Which login the engine is given for which registry. The file is read anew each time, so that a login counts at once."""

    def __init__(self, *, configured: Mapping[str, SecretStr] | None = None) -> None:
        """`configured`: `user:password` by the registry's host and port. Each wins over the file's."""
        self._configured = {host_of(registry): login for registry, login in (configured or {}).items()}

    def header(self, repository: str, *, default_registry: str) -> str | None:
        """Return what the engine wants as `X-Registry-Auth` to pull from there, or None if there is no login.

        `default_registry`: the engine's, for a repository without a host (`IndexServerAddress`).
        """
        registry = registry_of(repository, default_registry=default_registry)
        if (configured := self._configured.get(registry)) is not None:
            return _with_password(registry, configured.get_secret_value())
        entry = _entry_of_file(registry)
        if isinstance(token := entry.get("identitytoken"), str) and token:
            return _encoded({"identitytoken": token, "serveraddress": registry})
        try:
            return _with_password(registry, base64.b64decode(str(entry.get("auth", ""))).decode())
        except (binascii.Error, UnicodeDecodeError):
            return None


def registry_of(repository: str, *, default_registry: str) -> str:
    """Return the host, and port if it has one, that a repository's name begins with; else the default one's."""
    host, slash, _ = repository.partition("/")
    is_host = slash and (host == "localhost" or "." in host or ":" in host)
    return host_of(host if is_host else default_registry)


def host_of(registry: str) -> str:
    """Return the host and port of a registry that may be given as an address; each of Docker Hub's names is one."""
    host = registry.partition("://")[2] or registry
    host = host.partition("/")[0]
    return _DOCKER_HUB if host in _NAMES_OF_DOCKER_HUB else host


def _entry_of_file(registry: str) -> dict[str, object]:
    folder = os.environ.get("DOCKER_CONFIG")
    path = (Path(folder) if folder else Path.home() / ".docker") / "config.json"
    try:
        logins = json.loads(path.read_bytes())["auths"]
        entries = [entry for name, entry in logins.items() if host_of(name) == registry]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return next((entry for entry in entries if isinstance(entry, dict)), {})


def _with_password(registry: str, login: str) -> str | None:
    user, colon, password = login.partition(":")
    return _encoded({"username": user, "password": password, "serveraddress": registry}) if colon else None


def _encoded(login: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(login).encode()).decode()
