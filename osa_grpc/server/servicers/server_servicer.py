from datetime import timedelta
from typing import Final

import grpc.aio

from osa_grpc import __version__
from osa_grpc.application.ports import EngineProbe
from osa_grpc.application.watching import DEFAULT_BOOKMARK
from osa_grpc.domain.column import COLUMN_FORMATS
from osa_grpc.domain.deposition import MAX_METADATA_BYTES
from osa_grpc.server.settings import Settings
from osa_grpc.wire import pb
from osa_grpc.wire.times import duration_to_proto
from osa_grpc.wire.transport import MAX_MESSAGE_BYTES

_CONTAINER_CONTRACTS: Final = ("v1", "v2")


class ServerServicer(pb.ServerServiceServicer):
    """Serves ServerService."""

    def __init__(
        self,
        *,
        settings: Settings,
        engine: EngineProbe,
        runtimes: tuple[str, ...],
        feature_kinds: tuple[str, ...],
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._runtimes = runtimes
        self._feature_kinds = feature_kinds

    async def GetServerInfo(
        self, request: pb.GetServerInfoRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.GetServerInfoResponse:
        """Say what the server is."""
        found = await self._engine.describe()
        engine = pb.EngineInfo(reachable=False)
        if found is not None:
            engine = pb.EngineInfo(
                reachable=True,
                description=found.description,
                cpus=found.cpus,
                memory_bytes=found.memory_bytes,
            )
        settings = self._settings
        return pb.GetServerInfoResponse(
            server_info=pb.ServerInfo(
                version=__version__,
                srn_domain=settings.srn_domain,
                runtimes=self._runtimes,
                feature_kinds=self._feature_kinds,
                column_formats=COLUMN_FORMATS,
                container_contracts=_CONTAINER_CONTRACTS,
                limits=pb.ServerLimits(
                    max_message_bytes=MAX_MESSAGE_BYTES,
                    max_running_hooks=settings.max_running_hooks,
                    max_log_bytes=settings.max_log_bytes,
                    max_progress_events=settings.max_progress_events,
                    max_output_bytes=settings.max_output_bytes,
                    max_rows=settings.max_rows,
                    default_bookmark_interval=duration_to_proto(DEFAULT_BOOKMARK),
                    max_metadata_bytes=MAX_METADATA_BYTES,
                    request_id_retention=duration_to_proto(
                        timedelta(seconds=settings.request_id_retention_seconds)
                    ),
                    max_retry_memory_bytes=settings.retry.max_memory_bytes,
                ),
                engine=engine,
            )
        )
