"""What people are shown of each resource: a row in a list, lines when there is one."""

from collections.abc import Callable, Sequence
from datetime import UTC, timedelta
from typing import Any, Final, Protocol

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.json_format import MessageToDict, MessageToJson
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from osa_grpc.wire import pb

Pairs = list[tuple[str, str]]


class Enum(Protocol):
    """An enum of the contract."""

    @property
    def DESCRIPTOR(self) -> EnumDescriptor:  # noqa: N802 - protobuf's word
        """Its values."""


def list_table_header(message: Message) -> Sequence[str]:
    """Return the header of a list of such resources."""
    return _LISTS[type(message)][0]


def list_row_of(message: Message) -> Sequence[str]:
    """Return a resource's row in a list."""
    return _LISTS[type(message)][1](message)


def details_of(message: Message) -> Pairs:
    """Return what is shown of one resource, as (label, text)."""
    return [(label, text) for label, text in _DETAILS[type(message)](message) if text]


def instant(at: Timestamp) -> str:
    """Return an instant in local time, to the second; empty when it is not set."""
    if not at.seconds and not at.nanos:
        return ""
    return at.ToDatetime(tzinfo=UTC).astimezone().isoformat(sep=" ", timespec="seconds")


def size(count: float) -> str:
    """Return a number of bytes as people read it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:  # noqa: PLR2004 - the units' factor
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def seconds(duration: timedelta) -> str:
    """Return a duration as people read it."""
    total = duration.total_seconds()
    if total < 60:  # noqa: PLR2004 - a minute
        return f"{total:.1f} s"
    return f"{int(total // 60)} min {int(total % 60)} s"


def enum_word(enum: Enum, number: int) -> str:
    """Return an enum value's own word: READY for CONVENTION_STATE_READY; the number, if it is of a newer contract."""
    names = enum.DESCRIPTOR.values_by_number
    if number not in names:
        return str(number)
    prefix = names[0].name.removesuffix("UNSPECIFIED")
    return names[number].name.removeprefix(prefix)


def failure_text(failure: pb.Failure) -> str:
    """Return a failure in one line."""
    kind = enum_word(pb.FailureKind, failure.kind)
    return f"{kind}: {failure.message}" + (" (another try may succeed)" if failure.retryable else "")


def _convention_details(convention: pb.Convention) -> Pairs:
    return [
        ("name", convention.name),
        ("srn", convention.srn),
        ("title", convention.title),
        ("state", enum_word(pb.ConventionState, convention.state)),
        ("failure", convention.failure.message),
        ("description", convention.description),
        ("metadata", "\n".join(_column_line(field) for field in convention.metadata_schema)),
        ("files", _requirements(convention.file_requirements)),
        ("hooks", "\n".join(f"{hook.name}  {hook.oci.image}" for hook in convention.hooks)),
        ("tables", "\n".join(convention.feature_tables)),
        ("registered", instant(convention.create_time)),
    ]


def _column_line(column: pb.ColumnDef) -> str:
    kind = enum_word(pb.JsonType, column.json_type).lower()
    shape = f"{kind} ({column.format})" if column.format else kind
    return f"{column.name}  {shape}{', required' if column.required else ''}  {column.description}".rstrip()


def _requirements(files: pb.FileRequirements) -> str:
    kinds = ", ".join(files.extensions) or "any name"
    return f"{files.min_count} to {files.max_count}, each up to {size(files.max_size_bytes)}; {kinds}"


def _deposition_details(deposition: pb.Deposition) -> Pairs:
    return [
        ("name", deposition.name),
        ("srn", deposition.srn),
        ("convention", deposition.convention),
        ("state", enum_word(pb.DepositionState, deposition.state)),
        ("not published", deposition.rejection_reason),
        ("run", deposition.run),
        ("record", deposition.record),
        ("files", str(deposition.file_count)),
        ("metadata", _json(deposition.metadata)),
        ("created", instant(deposition.create_time)),
        ("changed", instant(deposition.update_time)),
    ]


def _file_details(file: pb.DepositionFile) -> Pairs:
    return [
        ("name", file.name),
        ("size", size(file.size_bytes)),
        ("sha256", file.sha256),
        ("media type", file.media_type),
        ("uploaded", instant(file.create_time)),
    ]


def _run_details(run: pb.Run) -> Pairs:
    return [
        ("name", run.name),
        ("srn", run.srn),
        ("deposition", run.deposition.deposition),
        ("convention", run.convention),
        ("state", enum_word(pb.RunState, run.state)),
        ("rejected", run.rejection_reason),
        ("failure", failure_text(run.failure) if run.HasField("failure") else ""),
        ("record", run.record),
        ("hooks", "\n".join(_execution_line(execution) for execution in run.executions)),
        ("submitted", instant(run.create_time)),
        ("ended", instant(run.end_time)),
    ]


def _execution_line(execution: pb.HookExecution) -> str:
    if execution.state != pb.HOOK_EXECUTION_STATE_FINISHED:
        return f"{execution.hook}  {enum_word(pb.HookExecutionState, execution.state)}"
    line = f"{execution.hook}  {enum_word(pb.Verdict, execution.verdict)}"
    if execution.HasField("start_time") and execution.HasField("end_time"):
        started, ended = execution.start_time.ToDatetime(), execution.end_time.ToDatetime()
        line += f"  {seconds(ended - started)}"
    match execution.verdict:
        case pb.VERDICT_PASSED:
            return f"{line}  {rows(execution.row_count)}"
        case pb.VERDICT_REJECTED:
            return f"{line}  {execution.rejection_reason}"
        case _:
            return f"{line}  {failure_text(execution.failure)}"


def rows(count: int) -> str:
    """Return a number of rows."""
    return "1 row" if count == 1 else f"{count} rows"


def _record_details(record: pb.Record) -> Pairs:
    return [
        ("name", record.name),
        ("srn", record.srn),
        ("deposition", record.deposition),
        ("run", record.run),
        ("convention", record.convention),
        ("files", str(record.file_count)),
        ("metadata", _json(record.metadata)),
        ("published", instant(record.create_time)),
    ]


def _table_details(table: pb.FeatureTable) -> Pairs:
    return [
        ("name", table.name),
        ("cardinality", enum_word(pb.Cardinality, table.table.cardinality)),
        ("rows", f"about {table.row_count_estimate}"),
        ("columns", "\n".join(_column_info_line(column) for column in table.columns)),
        ("conventions", "\n".join(table.conventions)),
        ("made", instant(table.create_time)),
        ("changed", instant(table.update_time)),
    ]


def _column_info_line(column: pb.ColumnInfo) -> str:
    marks = [enum_word(pb.ColumnType, column.type).lower()]
    if column.unit:
        marks.append(f"in {column.unit}")
    if column.required:
        marks.append("required")
    if column.system:
        marks.append("system")
    return f"{column.name}  {', '.join(marks)}  {column.description}".rstrip()


def _server_details(server: pb.ServerInfo) -> Pairs:
    engine = server.engine
    limits = server.limits
    return [
        ("version", server.version),
        ("srn domain", server.srn_domain),
        ("runtimes", ", ".join(server.runtimes)),
        ("features", ", ".join(server.feature_kinds)),
        ("formats", ", ".join(server.column_formats)),
        ("contracts", ", ".join(server.container_contracts)),
        (
            "engine",
            f"{engine.description}, {engine.cpus:g} cores, {size(engine.memory_bytes)}"
            if engine.reachable
            else "does not answer",
        ),
        ("hooks at once", str(limits.max_running_hooks)),
        ("messages", f"up to {size(limits.max_message_bytes)}"),
        ("metadata", f"up to {size(limits.max_metadata_bytes)}"),
        ("logs", f"up to {size(limits.max_log_bytes)} for each attempt of a hook"),
        ("outputs", f"up to {size(limits.max_output_bytes)}"),
    ]


def _json(message: Message) -> str:
    return MessageToJson(message, ensure_ascii=False) if MessageToDict(message) else ""


_DETAILS: Final[dict[type[Message], Callable[[Any], Pairs]]] = {
    pb.Convention: _convention_details,
    pb.Deposition: _deposition_details,
    pb.DepositionFile: _file_details,
    pb.Run: _run_details,
    pb.Record: _record_details,
    pb.FeatureTable: _table_details,
    pb.ServerInfo: _server_details,
}

_LISTS: Final[dict[type[Message], tuple[Sequence[str], Callable[[Any], Sequence[str]]]]] = {
    pb.Convention: (
        ("NAME", "STATE", "TITLE", "REGISTERED"),
        lambda c: (c.name, enum_word(pb.ConventionState, c.state), c.title, instant(c.create_time)),
    ),
    pb.Deposition: (
        ("NAME", "STATE", "CONVENTION", "FILES", "CHANGED"),
        lambda d: (
            d.name,
            enum_word(pb.DepositionState, d.state),
            d.convention,
            str(d.file_count),
            instant(d.update_time),
        ),
    ),
    pb.DepositionFile: (
        ("NAME", "SIZE", "SHA256", "UPLOADED"),
        lambda f: (f.file_name, size(f.size_bytes), f.sha256, instant(f.create_time)),
    ),
    pb.Run: (
        ("NAME", "STATE", "DEPOSITION", "SUBMITTED", "ENDED"),
        lambda r: (
            r.name,
            enum_word(pb.RunState, r.state),
            r.deposition.deposition,
            instant(r.create_time),
            instant(r.end_time),
        ),
    ),
    pb.Record: (
        ("NAME", "CONVENTION", "FILES", "PUBLISHED"),
        lambda r: (r.name, r.convention, str(r.file_count), instant(r.create_time)),
    ),
    pb.FeatureTable: (
        ("NAME", "COLUMNS", "ROWS (ABOUT)", "CHANGED"),
        lambda t: (t.name, str(len(t.columns)), str(t.row_count_estimate), instant(t.update_time)),
    ),
}
