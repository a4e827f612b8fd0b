"""The composition root: the one place that knows every class."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar

import structlog

from osa_grpc import __version__
from osa_grpc.application.convention_watching import ConventionWatching
from osa_grpc.application.dead_deliveries import DeadDeliveries
from osa_grpc.application.delivery_worker import DeliveryWorker, Handler
from osa_grpc.application.disk_room import DiskRoom
from osa_grpc.application.log_following import LogFollowing
from osa_grpc.application.places import Places
from osa_grpc.application.publication import row_stream
from osa_grpc.application.querying import FeatureQuerying
from osa_grpc.application.registration import (
    MAKE_FEATURE_TABLES,
    give_up_feature_tables,
    make_feature_tables,
)
from osa_grpc.application.request_forgetting import RequestForgetter
from osa_grpc.application.role import Role
from osa_grpc.application.row_decoding import count_rows
from osa_grpc.application.run_execution import ExecutionRules, RunExecutor
from osa_grpc.application.run_observer import ObservationLimits
from osa_grpc.application.run_worker import RunWorker
from osa_grpc.application.watching import RunWatching
from osa_grpc.domain.srn import SrnAuthority
from osa_grpc.runtimes.docker_engine import DockerEngine
from osa_grpc.runtimes.engine_search import find_engine, usual_places
from osa_grpc.runtimes.oci_attempt import OciRules
from osa_grpc.runtimes.oci_runtime import OciRuntime
from osa_grpc.runtimes.registry_login import RegistryLogins
from osa_grpc.server.cannot_start import CannotStartError
from osa_grpc.server.certificate import ServerCertificate
from osa_grpc.server.directory_lock import DirectoryLock
from osa_grpc.server.embedded import EmbeddedPostgres
from osa_grpc.server.health import Health
from osa_grpc.server.health_watch import CONTAINER_ENGINE, DATA_DIRECTORY, HealthWatch
from osa_grpc.server.identity import server_id, worker_id
from osa_grpc.server.listener import Listener, refuse_taken_address
from osa_grpc.server.metrics import Metrics
from osa_grpc.server.servicers.admin_servicer import AdminServicer
from osa_grpc.server.servicers.convention_servicer import ConventionServicer
from osa_grpc.server.servicers.deposition_servicer import DepositionServicer
from osa_grpc.server.servicers.feature_servicer import FeatureServicer
from osa_grpc.server.servicers.hook_servicer import HookServicer
from osa_grpc.server.servicers.record_servicer import RecordServicer
from osa_grpc.server.servicers.run_servicer import RunServicer
from osa_grpc.server.servicers.server_servicer import ServerServicer
from osa_grpc.server.settings import Settings
from osa_grpc.server.sharing import share_work_directory
from osa_grpc.server.supervisor import ServerFailedError, Supervisor
from osa_grpc.server.sweeping import Reaper
from osa_grpc.server.watch_encoder import ProtoWatchEncoder
from osa_grpc.storage.archive_keeper import keeper_of
from osa_grpc.storage.database import Database, place
from osa_grpc.storage.doorbell import Doorbell
from osa_grpc.storage.files import ObstoreFileStore
from osa_grpc.storage.migrations import schema
from osa_grpc.storage.transaction import PostgresStorage
from osa_grpc.wire import pb
from osa_grpc.wire.transport import MAX_PAGE_BYTES

RUNTIME_TYPES: Final = (OciRuntime.runtime_type,)
"""The arms of the runtime union that this server can run."""

FEATURE_KINDS: Final = ("table",)
"""The arms of the feature union that this server can store."""

T = TypeVar("T")

_RUNS_PER_PLACE: Final = 4

_LOG = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Started:
    """A server that answers: where, and on which engine its hooks run."""

    address: str
    docker_host: str
    database: str


async def serve(settings: Settings, *, on_start: Callable[[Started], None], stop: asyncio.Event) -> None:
    """Serve until `stop` is set or a part fails; then end orderly: watchers told, containers gone, nothing half-written.

    Raises:
        CannotStartError, UnavailableError, SchemaError: it cannot start, with the reason and the remedy.
        ServerFailedError: a part failed.
    """
    async with AsyncExitStack() as stack:
        start = await _unless_stopped(stop, stack.enter_async_context(running(settings)))
        if start is None:
            return
        started, supervisor = start
        on_start(started)
        waits = [
            asyncio.create_task(event.wait(), name=name)
            for event, name in ((stop, "stop"), (supervisor.failed, "failure"))
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        _LOG.info("stopping")
    if supervisor.reason is not None:
        raise ServerFailedError(str(supervisor.reason) or repr(supervisor.reason)) from supervisor.reason


async def _unless_stopped(stop: asyncio.Event, start: Coroutine[object, object, T]) -> T | None:
    """Start, which may wait long for a database; None if it was stopped before it was done, and has undone what it began."""
    starting = asyncio.create_task(start, name="start")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
    return None if starting.cancelled() else starting.result()


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set the event on SIGTERM and Ctrl-C; a second Ctrl-C ends the process as it would without us."""
    loop = asyncio.get_running_loop()

    def stopping() -> None:
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[tuple[Started, Supervisor]]:
    """Run a server while the block runs."""
    async with AsyncExitStack() as stack:
        refuse_taken_address(settings.listen)
        stack.enter_context(DirectoryLock(directory=settings.data_directory))
        roles: list[Role] = []
        certificate = _certificate_of(settings, roles)
        dsn = await _database_of(settings, stack, roles)
        database = await stack.enter_async_context(Database(dsn=dsn, max_size=settings.database_pool_size))
        identity = server_id(settings.data_directory)
        if await keeper_of(database, identity) != identity:
            raise CannotStartError(
                f"The database at {place(dsn)} belongs to a server with another data directory than "
                f"{settings.data_directory}, which has its files. Start with that directory, or with another database."
            )
        files = ObstoreFileStore(
            url=(settings.data_directory / "files").absolute().as_uri(), reserve_bytes=settings.min_free_bytes
        )
        docker_host = settings.docker_host or await asyncio.to_thread(find_engine) or usual_places()[0]
        logins = RegistryLogins(configured=settings.registry_logins)
        engine = await stack.enter_async_context(DockerEngine(docker_host=docker_host, logins=logins))
        shared = await share_work_directory(settings, engine, identity)
        oci = OciRuntime(
            engine=engine,
            shared=shared,
            files=files,
            work_directory=settings.data_directory / "work",
            server_id=identity,
            rules=OciRules(
                pull_timeout=timedelta(seconds=settings.pull_timeout_seconds),
                stop_grace=timedelta(seconds=settings.stop_grace_seconds),
                output_quota_bytes=settings.max_output_bytes,
                min_free_bytes=settings.min_free_bytes,
                log_cap_bytes=settings.max_log_bytes,
            ),
        )
        runtimes = {oci.runtime_type: oci}
        authority = SrnAuthority(domain=settings.srn_domain)
        doorbell = Doorbell(dsn=dsn)
        storage = PostgresStorage(database=database, doorbell=doorbell)
        worker = worker_id()

        metrics = Metrics()
        *_, database_room = rooms = [  # which may be on disks of their own
            DiskRoom(directory=settings.data_directory / part, reserve_bytes=settings.min_free_bytes)
            for part in ("files", "work", "postgres")
        ]
        executor = RunExecutor(
            storage=storage,
            runtimes=runtimes,
            authority=authority,
            count_rows=lambda outputs, hook, subject_id: count_rows(
                outputs, hook, subject_id=subject_id, max_rows=settings.max_rows
            ),
            stream_rows=row_stream(room=None if settings.database_url else database_room),
            places=Places(settings.max_running_hooks),
            rules=ExecutionRules(
                retry=settings.retry,
                limits=ObservationLimits(
                    log_bytes=settings.max_log_bytes, progress_events=settings.max_progress_events
                ),
            ),
            telemetry=metrics,
        )
        run_watching = RunWatching(
            storage=storage,
            doorbell=doorbell,
            encoder=ProtoWatchEncoder(),
            max_age=timedelta(seconds=settings.watch_max_age_seconds),
        )
        metrics.gauge("watched_runs", "Runs that have a watcher.", lambda: run_watching.watched_runs)
        dead_deliveries = DeadDeliveries(storage=storage)
        metrics.gauge("dead_deliveries", "Deliveries that were given up.", lambda: dead_deliveries.count)
        stack.enter_context(metrics.exposed(settings.metrics_listen))
        convention_watching = ConventionWatching(storage=storage, doorbell=doorbell)
        logs = LogFollowing(storage=storage, doorbell=doorbell)
        health = Health([*pb.SERVICES, CONTAINER_ENGINE, DATA_DIRECTORY])
        reaper = Reaper(storage=storage, runtimes=runtimes, files=files)
        metrics.gauge("data_directory_free_bytes", "Bytes left.", lambda: min(r.free_bytes for r in rooms))
        health_watch = HealthWatch(
            health=health,
            database=database,
            engine=engine,
            engine_trouble=shared.trouble_now,
            rooms=rooms,
            on_engine_back=reaper.hurry,
        )
        listener = Listener(
            settings=settings,
            servicers=[
                ConventionServicer(storage=storage, watching=convention_watching, authority=authority),
                DepositionServicer(
                    storage=storage,
                    files=files,
                    authority=authority,
                    idle_upload=timedelta(seconds=settings.idle_upload_seconds),
                ),
                RunServicer(
                    storage=storage,
                    watching=run_watching,
                    logs=logs,
                    authority=authority,
                    slow_consumer=timedelta(seconds=settings.slow_consumer_seconds),
                    on_rejected=reaper.hurry,
                ),
                RecordServicer(storage=storage),
                FeatureServicer(querying=FeatureQuerying(storage=storage, max_page_bytes=MAX_PAGE_BYTES)),
                HookServicer(storage=storage),
                AdminServicer(storage=storage),
                ServerServicer(
                    settings=settings, engine=engine, runtimes=RUNTIME_TYPES, feature_kinds=FEATURE_KINDS
                ),
            ],
            health=health,
            metrics=metrics,
            # The last wakes those who have been told, instead of leaving them to their clocks.
            drains=[run_watching.drain, convention_watching.drain, logs.drain, doorbell.ring_everybody],
            credentials=None if certificate is None else certificate.credentials,
        )
        roles += [
            doorbell,
            reaper,
            DeliveryWorker(
                storage=storage,
                doorbell=doorbell,
                worker=worker,
                lease=settings.lease,
                handlers={
                    MAKE_FEATURE_TABLES: Handler(handle=make_feature_tables, give_up=give_up_feature_tables)
                },
            ),
            RunWorker(
                storage=storage,
                doorbell=doorbell,
                executor=executor,
                worker=worker,
                max_runs=settings.max_running_hooks * _RUNS_PER_PLACE,
                keeps_hooks=settings.keep_hooks_on_stop,
                lease=settings.lease,
            ),
            dead_deliveries,
            RequestForgetter(
                storage=storage, retention=timedelta(seconds=settings.request_id_retention_seconds)
            ),
            health_watch,
        ]
        supervisor = Supervisor()
        # Ended in the reverse order: first the calls, then the work, then what both stand on.
        await stack.enter_async_context(supervisor.running(roles))
        port = await stack.enter_async_context(listener.listening())
        host = settings.listen.rpartition(":")[0]
        _LOG.info(
            "serving",
            address=f"{host}:{port}",
            tls=certificate is not None,
            engine=docker_host,
            version=__version__,
        )
        if not settings.is_for_this_machine_only:
            _LOG.warning("whoever reaches this address may do everything", address=f"{host}:{port}")
        yield (
            Started(
                address=f"{host}:{port}",
                docker_host=docker_host,
                database="embedded" if settings.database_url is None else "given",
            ),
            supervisor,
        )


def _certificate_of(settings: Settings, roles: list[Role]) -> ServerCertificate | None:
    """Return what TLS is served with, if it is; then it is a role."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    certificate = ServerCertificate(certificate=settings.tls_certificate, key=settings.tls_key)
    roles.append(certificate)
    return certificate


async def _database_of(settings: Settings, stack: AsyncExitStack, roles: list[Role]) -> str:
    """Return where the database is, its schema in place: the one that was given, or an embedded one, which is a role."""
    if settings.database_url is not None:
        await schema.check_schema(settings.database_url)
        return settings.database_url
    embedded = EmbeddedPostgres(data_directory=settings.data_directory / "postgres")
    await stack.enter_async_context(embedded)
    roles.append(embedded)
    if await schema.current_revision(embedded.dsn) != schema.head_revision():
        from osa_grpc.storage.migrations.runner import upgrade  # noqa: PLC0415 - Alembic takes a second to import

        await upgrade(embedded.dsn)
    return embedded.dsn
