"""How log lines look: structured, with the ids that are bound (`run`, `rpc_id`, ...)."""

import logging
import sys
from typing import Literal

import grpc.aio
import structlog
from structlog.typing import EventDict


def _printable(_logger: object, _method: str, fields: EventDict) -> EventDict:
    """Escape what a terminal would take for a command or a line's end: callers choose some of the values."""
    for name, value in fields.items():
        if isinstance(value, str) and name != "event" and not value.isprintable():
            fields[name] = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in value)
    return fields


def _is_worth_telling(record: logging.LogRecord) -> bool:
    """Leave out that an answer could not be sent: its client has gone, for which gRPC has an error with a traceback."""
    return record.exc_info is None or not isinstance(record.exc_info[1], grpc.aio.InternalError)


def configure_logs(*, form: Literal["console", "json"], level: str) -> None:
    """Write every log line, ours and libraries', to stderr in one form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info if form == "json" else structlog.processors.StackInfoRenderer(),
    ]
    if form == "console":  # JSON escapes by itself
        shared.append(_printable)
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        # Plain: rich ones show local variables, so passwords and people's data, and take seconds to draw.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_worth_telling)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
