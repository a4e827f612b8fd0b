"""Clients of what was released, and of what is about to be, at today's server. See docs/compatibility.md."""

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from osa_grpc.server.app import Started
from tests.clients.foreign_contract import Contract, ForeignClient, contract_of_today
from tests.clients.foreign_road import EXPECTED, go_the_road
from tests.fixtures.archive import Archive
from tests.fixtures.documents import ROOT

RELEASES = {path.stem: path for path in sorted((ROOT / "proto" / "released").glob("*.binpb"))}


@pytest.mark.parametrize("release", [*RELEASES, "today"])
async def test_a_client_of_a_release_goes_the_whole_road(
    server: Started, archive: Archive, release: str
) -> None:
    files = contract_of_today() if release == "today" else RELEASES[release].read_bytes()
    async with grpc.aio.insecure_channel(server.address) as channel:
        client = ForeignClient(Contract(FileDescriptorSet.FromString(files)), channel)
        assert await go_the_road(client, archive) == EXPECTED
