"""A server for the demo: `osa-grpc serve` as a child, stopped when the demo ends, however it ends."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 90.0
_STOP_SECONDS = 40.0
_ANNOUNCEMENT = "osa-grpc serves at "


class ServerDidNotStartError(Exception):
    """The server ended, or said nothing; the message has the end of its log."""


@dataclass(frozen=True, kw_only=True)
class DemoServer:
    """A server that answers."""

    address: str
    """`host:port`."""
    process: "subprocess.Popen[bytes]"


@contextmanager
def demo_server(*, docker_host: str, listen: str, data_directory: Path | None) -> Iterator[DemoServer]:
    """A server for the length of the block. Without a data directory its data goes with it.

    Raises:
        ServerDidNotStartError: it could not start.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="osa-grpc-demo-")))
        scratch.chmod(0o711)  # Postgres and hooks run as other users
        log = scratch / "server.log"
        with log.open("wb") as log_file:
            server = subprocess.Popen(  # noqa: S603 - our own program
                [
                    *(sys.executable, "-m", "osa_grpc", "serve"),
                    *("--listen", listen, "--docker-host", docker_host),
                    *("--data-directory", str(data_directory or scratch / "data")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log_file,
                start_new_session=True,  # Ctrl-C is for the demo, which stops its server in order
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        stack.callback(_stop, server)
        yield DemoServer(address=_address(server, log), process=server)


def _address(server: "subprocess.Popen[bytes]", log: Path) -> str:
    assert server.stdout is not None
    timer = threading.Timer(_START_SECONDS, server.terminate)
    timer.daemon = True
    timer.start()
    try:
        for line in server.stdout:
            text = line.decode(errors="replace").strip()
            if text.startswith(_ANNOUNCEMENT):
                threading.Thread(target=_drain, args=(server,), daemon=True).start()
                return text.removeprefix(_ANNOUNCEMENT)
    finally:
        timer.cancel()
    server.wait()
    said = log.read_text(errors="replace").strip().splitlines()[-5:]
    raise ServerDidNotStartError("\n".join(["the server did not start:", *said]))


def _drain(server: "subprocess.Popen[bytes]") -> None:
    """Read on, so that the server never waits for a reader."""
    assert server.stdout is not None
    with server.stdout:
        for _ in server.stdout:
            pass


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
