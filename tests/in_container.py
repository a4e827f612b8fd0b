"""The tests themselves in a container beside their engine: `python -m tests.in_container [--user UID:GID] [pytest's arguments]`.

The engine has their files at other paths than they have. Whoever runs this needs an engine on this machine, or has to be root.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

from osa_grpc.runtimes.private_engine import engine_at_hand
from tests.fixtures.engine_proxy import engine_proxy
from tests.fixtures.host_paths import VARIABLE
from tests.fixtures.machine_container import machine_container

_HERE: Final = "/scratch"
_WHAT: Final = ("tests/engine", "tests/rpc", "tests/system")
_NOT_THERE: Final = {
    "tests/engine/test_debian_packages.py": "it installs packages",
    "tests/engine/test_private_engine.py": "it starts an engine",
    "tests/engine/test_shared_directory.py": "it lends other paths to the engine itself",
    "tests/system/test_in_container.py": "it makes such a container itself",
}


async def run(docker_host: str, user: str, arguments: list[str], scratch: Path) -> int:
    """Run pytest in the container, and show what it says; its exit code."""
    uid, gid = (int(part) for part in user.split(":"))
    for folder in ("tmp", "pytest"):
        (scratch / folder).mkdir()
        os.chown(scratch / folder, uid, gid)
    ignored = [f"--ignore={path}" for path in _NOT_THERE]
    chosen = [] if any(argument.startswith("tests/") for argument in arguments) else _WHAT
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={_HERE}/pytest/all"]
    async with engine_proxy(scratch / "engine", docker_host) as proxy:
        proxy_socket = proxy.docker_host.replace(str(scratch), _HERE)
        environment = {
            "DOCKER_HOST": proxy_socket,
            "TMPDIR": f"{_HERE}/tmp",
            "COLUMNS": "120",
            VARIABLE: f"{_HERE}={scratch}",
        }
        async with machine_container(
            docker_host,
            [*command, *ignored, *chosen, *arguments],
            mounts={_HERE: scratch},
            user=user,
            environment=environment,
        ) as container:
            async with container.attach(stdout=True, stderr=True) as output:
                await container.start()
                while (message := await output.read_out()) is not None:
                    sys.stdout.buffer.write(message.data)
                    sys.stdout.flush()
            return int((await container.wait())["StatusCode"])


def main() -> int:
    """Do what the command line says; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--user", default="0:0", help="UID:GID that the tests, and their servers, have in the container"
    )
    known, arguments = parser.parse_known_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as Ctrl-C: nothing is left
    scratch = Path(tempfile.mkdtemp(prefix="osa-in-container-"))
    scratch.chmod(0o755)
    (scratch / "engine").mkdir()
    try:
        with engine_at_hand() as docker_host:
            return asyncio.run(run(docker_host, known.user, arguments, scratch))
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    sys.exit(main())
