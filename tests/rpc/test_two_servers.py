from pathlib import Path

import pytest

from osa_grpc.server.app import running
from osa_grpc.server.cannot_start import CannotStartError
from osa_grpc.server.settings import Settings


async def test_a_database_is_refused_to_a_server_that_has_not_its_files(
    server_settings: Settings, tmp_path: Path
) -> None:
    async with running(server_settings):
        pass
    with pytest.raises(CannotStartError, match="another data directory"):
        async with running(server_settings.model_copy(update={"data_directory": tmp_path})):
            pass
    async with running(server_settings):
        pass
