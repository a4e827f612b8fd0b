"""Logins to registries, from the file that `docker login` writes. Credential helper programs are not asked."""

from __future__ import annotations

import base64
import binascii
import json
import os
from pathlib import Path


def login_header(repository: str, *, default_registry: str) -> str | None:
    """Return what the engine wants as `X-Registry-Auth` to pull from there, or None if nobody has logged in.

    `default_registry`: the engine's, for a repository without a host (`IndexServerAddress`).
    """
    registry = _registry_of(repository) or default_registry
    entry = _entry(registry)
    if entry is None:
        return None
    if isinstance(token := entry.get("identitytoken"), str) and token:
        return _encoded({"identitytoken": token})
    try:
        user, colon, password = base64.b64decode(str(entry.get("auth", ""))).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    if not colon:
        return None
    return _encoded({"username": user, "password": password, "serveraddress": registry})


def _registry_of(repository: str) -> str | None:
    host, slash, _ = repository.partition("/")
    return host if slash and (host == "localhost" or "." in host or ":" in host) else None


def _entry(registry: str) -> dict[str, object] | None:
    folder = os.environ.get("DOCKER_CONFIG")
    path = (Path(folder) if folder else Path.home() / ".docker") / "config.json"
    try:
        logins = json.loads(path.read_bytes())["auths"]
        entry = logins.get(registry) or logins.get(f"https://{registry}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return entry if isinstance(entry, dict) else None


def _encoded(login: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(login).encode()).decode()
