"""The settings of connections."""

from datetime import timedelta
from pathlib import Path

from grpc._cython import cygrpc

from osa_grpc.client.channel import CHANNEL_OPTIONS
from osa_grpc.server.channel_options import server_channel_options


def test_every_setting_of_both_sides_is_one_that_grpc_knows() -> None:
    """It ignores the others, without a word."""
    library = Path(cygrpc.__file__).read_bytes()
    ours = (*server_channel_options(max_connection_age=timedelta(1)), *CHANNEL_OPTIONS)
    assert [name for name, _ in ours if name.encode() + b"\0" not in library] == []
