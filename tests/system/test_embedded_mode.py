"""The laptop's server: a data directory and nothing else."""

import os
import signal
from pathlib import Path

from osa_grpc.wire import pb
from tests.fixtures.archive import rows
from tests.fixtures.server_process import Serving


async def test_a_server_with_nothing_but_a_data_directory_is_used_stopped_and_used_again(
    embedded_serving: Serving,
) -> None:
    embedded_serving.flags = [f"--data-directory={embedded_serving.data_directory}"]
    embedded_serving.environment = {"DOCKER_HOST": embedded_serving.docker_host, "OSA_LISTEN": "127.0.0.1:0"}
    server = await embedded_serving.start()
    async with embedded_serving.archive(server) as archive:
        convention = await archive.convention()
        first = await archive.finish(convention, check=rows('{"score": 1}'))
        assert first.state == pb.RUN_STATE_COMPLETED
        record = await archive.client.get_record(first.record)
        said = await embedded_serving.refused()
        assert said.startswith("osa-grpc cannot start: ")
        assert str(embedded_serving.data_directory) in said
    assert await server.signalled(signal.SIGTERM) == 0
    assert processes_in(embedded_serving.data_directory) == []

    server = await embedded_serving.start()
    async with embedded_serving.archive(server) as archive:
        assert await archive.client.get_run(first.name) == first
        assert await archive.client.get_record(first.record) == record
        await archive.finish(convention, check=rows('{"score": 2}'))
        found = [row["score"] async for row in archive.client.query("featureTables/check", order_by="score")]
        assert found == [1, 2]
    os.killpg(server.pid, signal.SIGINT)  # as Ctrl-C does: everything in its group
    assert await server.over() == 0
    assert processes_in(embedded_serving.data_directory) == []
    assert "Traceback" not in embedded_serving.said()


def processes_in(directory: Path) -> list[str]:
    """The command lines of processes that speak of a directory."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and process.name != str(os.getpid()):
            try:
                line = (process / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(directory) in line:
                found.append(line)
    return found


async def test_what_is_wrong_at_the_start_is_one_sentence_and_an_exit_code(embedded_serving: Serving) -> None:
    said = await embedded_serving.refused("--listen=0.0.0.0:0")
    assert said.startswith("osa-grpc cannot start: ")
    assert "--insecure" in said
    assert "Traceback" not in said
