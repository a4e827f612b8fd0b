"""What a server says of itself."""

from datetime import timedelta

from osa_grpc.client import Client
from osa_grpc.server.app import running
from osa_grpc.server.settings import Settings


async def test_every_limit_that_clients_should_know_is_told(server_settings: Settings) -> None:
    settings = server_settings.model_copy(
        update={"request_id_retention_seconds": 90, "max_retry_memory": "3g", "max_rows": 1234}
    )
    async with running(settings) as (started, _), Client(started.address) as client:
        limits = (await client.server_info()).limits
    assert {field.name for field in limits.DESCRIPTOR.fields} == {
        field.name for field, _ in limits.ListFields()
    }
    assert limits.request_id_retention.ToTimedelta() == timedelta(seconds=90)
    assert limits.max_retry_memory_bytes == 3 * 2**30
    assert limits.max_rows == 1234
    assert limits.max_running_hooks == settings.max_running_hooks
    assert limits.max_log_bytes == settings.max_log_bytes
    assert limits.max_output_bytes == settings.max_output_bytes
    assert limits.max_progress_events == settings.max_progress_events
