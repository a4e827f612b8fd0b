"""Finding a container engine by asking, never by believing a file.

A socket or pid file may be all that is left of an engine that was killed. So every place where an engine may
be is asked (`/_ping`), in the order in which a user would expect to be served.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

PRIVATE_RUN_DIR = Path("/run/osa-grpc-engine")
"""Where the engine we start ourselves (`private_engine`) has its socket, unless told otherwise."""

_PING_SECONDS = 5.0


class EngineUnavailableError(Exception):
    """No container engine is there, none can be had; `str()` says in one sentence why and what mends it."""


class EngineConnection(http.client.HTTPConnection):
    """An HTTP connection to an engine, over a Unix socket or TCP; for the few calls that need no event loop.

    Raises:
        ValueError: `docker_host` has a scheme that is none of unix, tcp, http, https.
    """

    def __init__(self, docker_host: str, *, seconds: float) -> None:
        parts = urlsplit(docker_host)
        if parts.scheme not in {"unix", "tcp", "http", "https"}:
            raise ValueError(f"DOCKER_HOST {docker_host!r} is not of the form unix://, tcp:// or https://")
        super().__init__(parts.hostname or "localhost", parts.port or 2375, timeout=seconds)
        self._socket_path = parts.path if parts.scheme == "unix" else None
        self._tls = parts.scheme == "https" or (
            parts.scheme == "tcp" and os.environ.get("DOCKER_TLS_VERIFY", "0") not in {"", "0"}
        )

    def connect(self) -> None:
        """Open the socket that `docker_host` names."""
        if self._socket_path is not None:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            try:
                self.sock.connect(self._socket_path)
            except BaseException:
                self.sock.close()
                raise
            return
        super().connect()
        if self._tls:
            self.sock = _tls_context().wrap_socket(self.sock, server_hostname=self.host)


def _tls_context() -> ssl.SSLContext:
    certificates = Path(os.environ.get("DOCKER_CERT_PATH") or Path.home() / ".docker")
    context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    return context


def why_silent(docker_host: str) -> str | None:
    """Ask the engine at `docker_host` whether it is there: None when it answers, else why it does not."""
    try:
        connection = EngineConnection(docker_host, seconds=_PING_SECONDS)
    except ValueError as error:
        return str(error)
    try:
        connection.request("GET", "/_ping")
        answer = connection.getresponse()
        body = answer.read(64)
    except PermissionError:
        return "permission denied"
    except (OSError, http.client.HTTPException) as error:
        return getattr(error, "strerror", None) or str(error) or type(error).__name__
    finally:
        connection.close()
    if answer.status == http.HTTPStatus.OK and body.strip() == b"OK":
        return None
    return f"it answers {answer.status} to a ping"


def usual_places() -> list[str]:
    """Where a user's own engine may listen: DOCKER_HOST, then Docker's sockets, then Podman's.

    Podman as root lets nobody else in, on purpose; everybody may have one of their own.
    """
    places = []
    if configured := os.environ.get("DOCKER_HOST"):
        places.append(configured)
    own = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    places += [
        "unix:///var/run/docker.sock",
        f"unix://{own}/docker.sock",
        f"unix://{Path.home()}/.docker/run/docker.sock",
        f"unix://{own}/podman/podman.sock",
    ]
    if os.geteuid() == 0:
        places.append("unix:///run/podman/podman.sock")
    return places


def private_docker_host(run_dir: Path = PRIVATE_RUN_DIR) -> str:
    """The address of the engine that we start ourselves."""
    return f"unix://{run_dir}/docker.sock"


def find_engine() -> str | None:
    """The DOCKER_HOST address of the first engine that answers, our private one last; None when none does."""
    for place in [*usual_places(), private_docker_host()]:
        if why_silent(place) is None:
            return place
    return None
