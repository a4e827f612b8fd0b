"""How an error is shown: one line with code and reason, then a line for each thing that is wrong."""

from collections.abc import Iterator
from typing import Any

import click
import grpc

from osa_grpc.cli import exit_codes
from osa_grpc.cli.output import as_json as proto_as_json
from osa_grpc.cli.output import compact_json
from osa_grpc.client import DownloadError, OsaRpcError, UnknownKindError, UploadError, WatchGapError
from osa_grpc.domain.errors import InvalidRequestError
from osa_grpc.wire import pb


def report(error: Exception, *, as_json: bool) -> int | None:
    """Show an error on stderr; return the exit code. None: it is not one that is expected, nothing was shown."""
    match error:
        case OsaRpcError():
            fields, lines = _of_rpc(error), list(_lines_of_rpc(error))
            code = exit_codes.of_status(error.code)
        case InvalidRequestError():  # noticed before anything was sent
            violations = [
                {"field": str(v.at), "message": v.message, "reason": v.reason} for v in error.violations
            ]
            fields = {"code": "INVALID_ARGUMENT", "reason": error.reason, "message": error.message}
            fields["violations"] = violations
            lines = [f"INVALID_ARGUMENT {error.reason}: {error.message}"]
            if len(violations) > 1:  # the message has the first
                lines += [f"{v['field']}: {v['message']} ({v['reason']})" for v in violations]
            code = exit_codes.INVALID
        case TimeoutError():
            text = "the command did not end within --timeout"
            fields = {"code": "DEADLINE_EXCEEDED", "reason": "", "message": text}
            lines = [f"DEADLINE_EXCEEDED: {text}"]
            code = exit_codes.DEADLINE
        case UploadError() | DownloadError() | WatchGapError() | UnknownKindError() | OSError():
            fields = {"code": "UNKNOWN", "reason": "", "message": str(error)}
            lines = [str(error)]
            code = exit_codes.UNEXPECTED
        case _:
            return None
    if as_json:
        click.echo(compact_json({"error": fields}), err=True)
    else:
        click.echo("\n  ".join([f"error: {lines[0]}", *lines[1:]]), err=True)
    return code


def _of_rpc(error: OsaRpcError) -> dict[str, Any]:
    return {
        "code": error.code.name,
        "reason": error.reason,
        "message": error.message,
        "metadata": error.metadata,
        "violations": [
            {"field": v.field, "message": v.description, "reason": v.reason} for v in error.violations
        ],
        "preconditions": [
            {"type": p.type, "subject": p.subject, "message": p.description} for p in error.preconditions
        ],
        "details": [
            proto_as_json(detail)
            for detail in error.details
            if isinstance(detail, (pb.FeatureTableConflict, pb.ConventionConflict))
        ],
    }


def _lines_of_rpc(error: OsaRpcError) -> Iterator[str]:
    yield str(error)
    for violation in error.violations:
        if len(error.violations) == 1 and violation.description in error.message:
            continue  # it was just said
        reason = f" ({violation.reason})" if violation.reason else ""
        yield f"{violation.field}: {violation.description}{reason}"
    for unmet in error.preconditions:
        yield f"{unmet.subject}: {unmet.description} ({unmet.type})"
    yield from _conflicts(error)
    if error.omitted_count:
        yield f"and {error.omitted_count} more"
    if error.incident:
        yield f"incident {error.incident}: the server's log has the rest"
    if error.code is grpc.StatusCode.UNAVAILABLE and not error.reason:
        yield "is the server running there? `osa-grpc serve` starts one; --server or OSA_SERVER says where it is"
        yield "one that speaks TLS wants --tls, or --ca-certificate with its authority; one that does not wants neither"


def _conflicts(error: OsaRpcError) -> Iterator[str]:
    for detail in error.details:
        match detail:
            case pb.FeatureTableConflict():
                for column in detail.columns:
                    yield (
                        f"{detail.feature_table} {column.column or 'cardinality'}: "
                        f"expected {column.expected}, found {column.found}"
                    )
            case pb.ConventionConflict():
                for difference in detail.differences:
                    yield f"{difference.field}: registered {difference.expected}, sent {difference.found}"
