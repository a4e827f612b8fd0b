"""Resume and page tokens: opaque text, versioned and checksummed. No secrets, and they carry no rights.

Bytes: version (1), what it is bound to, a body, and a BLAKE2 checksum (6) over all of that; as base64url without padding. The
checksum tells damage and mix-ups from tokens, nothing more.
"""

import base64
import binascii
import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from osa_grpc.domain.errors import InvalidRequestError, Violation
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.names import RunId

_VERSION: Final = b"\x01"
_CHECKSUM_BYTES: Final = 6
_BINDING_BYTES: Final = 8
_RUN_BYTES: Final = 16
_SEQUENCE_BYTES: Final = 8
_MAX_SEQUENCE: Final = 2**63 - 1
_MAX_TEXT: Final = 2**20
_RESUME: Final = b"osa-resume"
_PAGE: Final = b"osa-page"


@dataclass(frozen=True)
class PageBinding:
    """What a page token belongs to: a method and a query."""

    digest: bytes


def page_binding(method: str, *query: str) -> PageBinding:
    """Return what the tokens of a listing are bound to: its method and all that decides which items come in which order."""
    digest = hashlib.blake2b(digest_size=_BINDING_BYTES)
    for part in (method, *query):
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return PageBinding(digest.digest())


def page_token(binding: PageBinding, after: Sequence[str] | None) -> str:
    """Return the token that continues a listing after a position; empty when there is nothing more."""
    if after is None:
        return ""
    body = json.dumps(list(after), separators=(",", ":")).encode()
    return _sealed(_PAGE, binding.digest + body)


def read_page_token(text: str, binding: PageBinding) -> tuple[str, ...] | None:
    """Return the position in a token; None for an empty one.

    Raises:
        InvalidRequestError: it is no page token, or one of another listing (`INVALID_PAGE_TOKEN`).
    """
    if not text:
        return None
    content = _opened(_PAGE, text)
    if content is None:
        raise _invalid("page_token", "expected a token as a page before gave it")
    if content[:_BINDING_BYTES] != binding.digest:
        raise _invalid("page_token", "expected a token of this listing with the same query")
    try:
        after = json.loads(content[_BINDING_BYTES:])
    except (ValueError, RecursionError) as error:
        raise _invalid("page_token", "expected a token as a page before gave it") from error
    if not isinstance(after, list) or not all(isinstance(part, str) for part in after):
        raise _invalid("page_token", "expected a token as a page before gave it")
    return tuple(after)


def resume_token(run: RunId, sequence: int) -> str:
    """Return the token that continues a watch of the run after that sequence."""
    return _sealed(_RESUME, uuid.UUID(run).bytes + sequence.to_bytes(_SEQUENCE_BYTES, "big"))


def read_resume_token(text: str, run: RunId) -> int:
    """Return the sequence in a token.

    Raises:
        InvalidRequestError: it is no resume token, or one of another run (`INVALID_RESUME_TOKEN`).
    """
    content = _opened(_RESUME, text)
    if content is None or len(content) != _RUN_BYTES + _SEQUENCE_BYTES:
        raise _invalid("resume_token", "expected a token as a watch gave it")
    if content[:_RUN_BYTES] != uuid.UUID(run).bytes:
        raise _invalid("resume_token", "expected a token of this run, found one of another")
    sequence = int.from_bytes(content[_RUN_BYTES:], "big")
    if sequence > _MAX_SEQUENCE:
        raise _invalid("resume_token", "expected a token as a watch gave it")
    return sequence


def _sealed(kind: bytes, content: bytes) -> str:
    body = _VERSION + content
    return base64.urlsafe_b64encode(body + _checksum(kind, body)).rstrip(b"=").decode()


def _opened(kind: bytes, text: str) -> bytes | None:
    if len(text) > _MAX_TEXT or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    body, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    if body[:1] != _VERSION or checksum != _checksum(kind, body):
        return None
    return body[1:]


def _checksum(kind: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECKSUM_BYTES, person=kind).digest()


def _invalid(field: str, message: str) -> InvalidRequestError:
    reason = f"INVALID_{field.upper()}"
    return InvalidRequestError(
        [Violation(at=FieldPath(field), message=message, reason=reason)], reason=reason
    )
