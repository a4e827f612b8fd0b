"""The server's TLS certificate and its key: read from files, proven to belong together, and read anew when they change.

gRPC asks for the certificate at each new connection; connections there are keep theirs. What does not fit, because it is
half-written or its key has not come yet, is never taken: the one before stays until the files are right.
"""

import asyncio
import hashlib
import re
import ssl
import stat
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, NoReturn

import grpc
import structlog

from osa_grpc.server.cannot_start import CannotStartError

_LOG = structlog.get_logger(__name__)
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(rb"-----BEGIN (?:\w+ )?PRIVATE KEY-----")


class UnusableCertificateError(Exception):
    """The files do not hold a certificate and its key. The message says why, for people."""


class _EncryptedKeyError(Exception):
    """A key that wants a password."""


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    """A certificate, followed by those that link it to its authority, and its private key; both PEM."""

    certificate: bytes
    key: bytes

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` has it but for the colons."""
        found = _CERTIFICATE.search(self.certificate)
        assert found is not None
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(found[0].decode())).hexdigest()

    @property
    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """What gRPC takes."""
        return grpc.ssl_server_certificate_configuration([(self.key, self.certificate)])


class ServerCertificate:
    """A role: looks whether the files have changed. What it read is in its `credentials`.

    The object has to live as long as a server that uses them.
    """

    name = "certificate"

    def __init__(self, *, certificate: Path, key: Path, every: timedelta = timedelta(seconds=2)) -> None:
        """Read the files.

        Raises:
            CannotStartError: they do not hold a certificate and its key.
        """
        self.ready = asyncio.Event()
        self._files: Final = (certificate, key)
        self._every: Final = every
        try:
            self._pair = _read_pair(*self._files)
        except UnusableCertificateError as error:
            raise CannotStartError(
                f"TLS is not possible: {error}. Mend --tls-certificate and --tls-key."
            ) from error
        self._news: KeyPair | None = None
        self._complaint = ""
        self.credentials: Final = grpc.dynamic_ssl_server_credentials(
            self._pair.configuration,
            self._newest,  # type: ignore[arg-type] # it may give None, whatever the stubs say
        )
        _warn_of_readable(key)

    async def run(self) -> None:
        """Look until cancelled."""
        self.ready.set()
        while True:
            await asyncio.sleep(self._every.total_seconds())
            await self._look()

    async def _look(self) -> None:
        try:
            pair = await asyncio.to_thread(_read_pair, *self._files)
        except UnusableCertificateError as error:
            if str(error) != self._complaint:  # said once
                self._complaint = str(error)
                _LOG.warning(
                    "the new certificate is not taken",
                    why=self._complaint,
                    fingerprint_in_use=self._pair.fingerprint,
                )
            return
        self._complaint = ""
        if pair != self._pair:
            self._pair = self._news = pair
            _LOG.info("new certificate", fingerprint=pair.fingerprint)
            _warn_of_readable(self._files[1])

    def _newest(self) -> grpc.ServerCertificateConfiguration | None:
        """Give gRPC, in a thread of its own, what it does not have yet; None: nothing new."""
        news, self._news = self._news, None
        return None if news is None else news.configuration


def _read_pair(certificate: Path, key: Path) -> KeyPair:
    pair = _read(certificate, key)
    if _CERTIFICATE.search(pair.certificate) is None:
        raise UnusableCertificateError(f"{certificate} has no whole certificate in PEM")
    if _KEY.search(pair.key) is None:
        raise UnusableCertificateError(f"{key} has no private key in PEM")
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key, password=_no_password)
    except _EncryptedKeyError:
        raise UnusableCertificateError(
            f"the key in {key} is encrypted, and nobody is there to decrypt it"
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UnusableCertificateError(
                f"the key in {key} is not that of the certificate in {certificate}"
            ) from error
        raise UnusableCertificateError(
            f"{certificate} and {key} cannot be used: {error.reason or error}"
        ) from error
    except OSError as error:
        raise _unreadable(error) from error
    if _read(certificate, key) != pair:  # so that what was proven is what is used
        raise UnusableCertificateError(f"{certificate} and {key} are being written")
    return pair


def _read(certificate: Path, key: Path) -> KeyPair:
    try:
        return KeyPair(certificate=certificate.read_bytes(), key=key.read_bytes())
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> UnusableCertificateError:
    return UnusableCertificateError(
        f"{error.filename or 'a file'} cannot be read ({error.strerror or error})"
    )


def _no_password() -> NoReturn:
    raise _EncryptedKeyError


def _warn_of_readable(key: Path) -> None:
    try:
        others = key.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH)
    except OSError:
        return  # it has just been read; the next look says so if it is gone
    if others:
        _LOG.warning(
            "the key can be read by every user of this machine", file=str(key), remedy=f"chmod o= {key}"
        )
