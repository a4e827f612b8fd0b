"""Outputs far larger than what a server may take of memory. `make test-large-outputs` writes 2 GiB instead of 200 MiB."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from osa_grpc.client import Client
from osa_grpc.wire import pb
from tests.fixtures.archive import column
from tests.fixtures.server_process import Serving

SIZE_MIB = int(os.environ.get("OSA_TEST_OUTPUT_MIB", "200"))
ROW_BYTES = 10**6
ROWS = SIZE_MIB * 2**20 // ROW_BYTES
BUDGET_BYTES = 256 * 2**20
GROWTH_BYTES = 100 * 2**20
"""An idle server has some 100 MiB in memory. What it takes more does not depend on how much there is to read."""
LONGEST_ANSWER_SECONDS = 5
"""Everybody else goes on being served."""

SCRIPT = f"""
x=$(head -c {ROW_BYTES} /dev/zero | tr '\\0' x)
{{
    printf '{{"id": "%s", "features": [' $(basename /osa/files/*)
    i=1
    while [ $i -lt {ROWS} ]; do printf '{{"score": %d, "label": "%s"}},' $i "$x"; i=$((i+1)); done
    printf '{{"score": %d, "label": "%s"}}]}}\\n' $i "$x"
}} > /osa/out/features.jsonl
"""


@pytest.mark.timeout(900)
async def test_an_output_larger_than_the_servers_memory_is_judged_and_published(serving: Serving) -> None:
    server = await serving.start()
    async with serving.archive(server) as archive:
        hook = archive.hook(
            "check", column("score"), column("label", pb.JSON_TYPE_STRING), timeout_seconds=600
        )
        convention = await archive.convention(hook)
        idle_bytes = server.most_memory_bytes
        ending = asyncio.create_task(archive.finish(convention, check=SCRIPT))
        longest_seconds = await longest_answer(archive.client, until=ending)
        run = await ending

        assert run.state == pb.RUN_STATE_COMPLETED, run.failure
        [execution] = run.executions
        assert execution.row_count == ROWS
        table = archive.client.query(
            "featureTables/check", columns=["score"], order_by="score", page_size=1000
        )
        assert [row["score"] async for row in table] == list(range(1, ROWS + 1))
        assert longest_seconds < LONGEST_ANSWER_SECONDS
        assert server.most_memory_bytes < BUDGET_BYTES
        assert server.most_memory_bytes - idle_bytes < GROWTH_BYTES


async def longest_answer(client: Client, *, until: asyncio.Task[pb.Run]) -> float:
    """Ask the server something again and again until that is done; how many seconds it once took."""
    longest = 0.0
    while not until.done():
        began_at = time.monotonic()
        await client.server_info()
        longest = max(longest, time.monotonic() - began_at)
        await asyncio.wait({until}, timeout=0.05)
    return longest
