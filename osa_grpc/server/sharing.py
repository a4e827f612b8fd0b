"""The part of the data directory that containers see, proved where the operator has said where it is."""

from osa_grpc.runtimes.docker_engine import DockerEngine
from osa_grpc.runtimes.engine import EngineError
from osa_grpc.runtimes.shared_directory import SharedDirectory
from osa_grpc.server.cannot_start import CannotStartError
from osa_grpc.server.settings import Settings


async def share_work_directory(settings: Settings, engine: DockerEngine, server_id: str) -> SharedDirectory:
    """Return the data directory as server and engine share it; not proved yet if nothing was said, or the engine does not answer.

    Raises:
        CannotStartError: `host_data_directory` is set, and the engine has something else there.
    """
    shared = SharedDirectory(
        engine=engine,
        directory=settings.data_directory,
        part="work",
        host_directory=settings.host_data_directory,
        server_id=server_id,
    )
    if settings.host_data_directory is not None and await engine.describe() is not None:
        try:
            trouble = await shared.trouble()
        except EngineError:  # it went away; the directory is proved when it is back
            return shared
        if trouble is not None:
            raise CannotStartError(
                f"The setting host_data_directory is wrong, or the data directory is not mounted from there: {trouble}. "
                f"It has to say where the engine at {engine.docker_host} finds the directory that this server has at "
                f"{settings.data_directory}."
            )
    return shared
