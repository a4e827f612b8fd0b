"""Whether what an operator gives as the address of a database is one."""

from typing import Final
from urllib.parse import parse_qs, urlsplit

_EXPECTED: Final = (
    "expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE with a number as the port, "
    "user and password percent-encoded (a / in them is %2F, an @ is %40)"
)
_LARGEST_PORT: Final = 65535


def checked_database_url(url: str) -> str:
    """Return the URL as it is.

    Raises:
        ValueError: it is not one that Postgres is found at. The message never has a part of it, for it may be the password's.
    """
    if not _is_sound(url):  # outside of the except clause, so that no error below is in the chain
        raise ValueError(_EXPECTED)
    return url


def _is_sound(url: str) -> bool:
    if not url.startswith(("postgresql://", "postgres://")):
        return False
    try:
        parts = urlsplit(url)
        query = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
        ports = [int(port) for ports in query.get("port", []) for port in ports.split(",")]
        if parts.port is not None:
            ports.append(parts.port)
    except ValueError:
        return False
    # A password with one of these in it ends too early, or begins what looks like a host.
    cut_short = "#" in url or "@" in parts.path or parts.netloc.count("@") > 1
    return not cut_short and all(0 < port <= _LARGEST_PORT for port in ports)
