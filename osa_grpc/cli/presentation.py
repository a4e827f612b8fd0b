"""What people are shown of each resource: a row in a list, lines when there is one."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from google.protobuf.json_format import MessageToDict, MessageToJson
from google.protobuf.message import Message

from osa_grpc.cli.run_presentation import run_details
from osa_grpc.cli.wording import Pairs, enum_word, instant, printable, seconds, size
from osa_grpc.wire import pb

_SHOWN: Final = 60  # of a text in a list


def list_table_header(message: Message) -> Sequence[str]:
    """Return the header of a list of such resources."""
    return _LISTS[type(message)][0]


def list_row_of(message: Message) -> Sequence[str]:
    """Return a resource's row in a list."""
    return [printable(text) for text in _LISTS[type(message)][1](message)]


def details_of(message: Message) -> Pairs:
    """Return what is shown of one resource, as (label, text)."""
    return [(label, printable(text)) for label, text in _DETAILS[type(message)](message) if text]


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
        ("review", "by a person" if convention.review == pb.REVIEW_MODE_MANUAL else ""),
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


def _hook_details(hook: pb.Hook) -> Pairs:
    definition, counts = hook.definition, hook.verdict_counts
    limits = definition.oci.limits
    return [
        ("name", hook.name),
        ("image", definition.oci.image),
        ("digest", definition.oci.digest),
        ("limits", f"{limits.timeout_seconds} s, memory {limits.memory}, {limits.cpu} cores"),
        ("config", _json(definition.oci.config)),
        ("table", hook.feature_table),
        ("cardinality", enum_word(pb.Cardinality, definition.table.cardinality)),
        ("columns", "\n".join(_column_line(column) for column in definition.table.columns)),
        ("verdicts", f"{counts.passed} passed, {counts.rejected} rejected, {counts.failed} failed"),
        ("conventions", str(hook.convention_count)),
        ("first used", instant(hook.create_time)),
        ("last used", instant(hook.update_time)),
    ]


def _use_details(use: pb.HookUse) -> Pairs:
    return [
        ("convention", use.convention),
        ("image", use.definition.oci.image),
        ("digest", use.definition.oci.digest),
        ("registered", instant(use.create_time)),
    ]


def _delivery_details(delivery: pb.Delivery) -> Pairs:
    return [
        ("name", delivery.name),
        ("event", delivery.event_type),
        ("about", delivery.subject),
        ("handler", delivery.handler),
        ("state", enum_word(pb.DeliveryState, delivery.state)),
        ("attempts", str(delivery.attempts)),
        ("last error", delivery.last_error),
        ("happened", instant(delivery.create_time)),
        ("changed", instant(delivery.update_time)),
        ("tried next", instant(delivery.next_attempt_time)),
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
        ("rows", f"up to {limits.max_rows} for each execution of a hook"),
        ("retry memory", f"up to {size(limits.max_retry_memory_bytes)} for a hook that ran out of it"),
        ("request ids", f"kept for {seconds(limits.request_id_retention.ToTimedelta())}"),
    ]


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def _json(message: Message) -> str:
    return MessageToJson(message, ensure_ascii=False) if MessageToDict(message) else ""


_DETAILS: Final[dict[type[Message], Callable[[Any], Pairs]]] = {
    pb.Convention: _convention_details,
    pb.Deposition: _deposition_details,
    pb.DepositionFile: _file_details,
    pb.Run: run_details,
    pb.Record: _record_details,
    pb.FeatureTable: _table_details,
    pb.Hook: _hook_details,
    pb.HookUse: _use_details,
    pb.Delivery: _delivery_details,
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
    pb.Hook: (
        ("NAME", "CONVENTIONS", "PASSED", "REJECTED", "FAILED", "LAST USED"),
        lambda h: (
            h.name,
            str(h.convention_count),
            str(h.verdict_counts.passed),
            str(h.verdict_counts.rejected),
            str(h.verdict_counts.failed),
            instant(h.update_time),
        ),
    ),
    pb.HookUse: (
        ("CONVENTION", "IMAGE", "REGISTERED"),
        lambda u: (u.convention, u.definition.oci.image, instant(u.create_time)),
    ),
    pb.Delivery: (
        ("NAME", "STATE", "EVENT", "ABOUT", "HANDLER", "ATTEMPTS", "CHANGED", "LAST ERROR"),
        lambda d: (
            d.name,
            enum_word(pb.DeliveryState, d.state),
            d.event_type,
            d.subject,
            d.handler,
            str(d.attempts),
            instant(d.update_time),
            _one_line(d.last_error),
        ),
    ),
}
