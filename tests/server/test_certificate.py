"""What the server takes for a certificate, and what it does when the files change."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization as s
from structlog.testing import capture_logs

from osa_grpc.server.cannot_start import CannotStartError
from osa_grpc.server.certificate import ServerCertificate
from tests.fixtures.archive import until
from tests.fixtures.certificates import Certificates, pem_of

OFTEN = timedelta(milliseconds=10)


def fingerprint(issued: trustme.LeafCert) -> str:
    der = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
    return hashlib.sha256(der).hexdigest()


@asynccontextmanager
async def looking(files: Certificates) -> AsyncIterator[list[Any]]:
    """A server's certificate that looks at its files all the time; gives what it logs."""
    with capture_logs() as said:
        role = ServerCertificate(certificate=files.certificate, key=files.key, every=OFTEN)
        task = asyncio.create_task(role.run())
        try:
            yield said
        finally:
            task.cancel()
            await asyncio.wait({task})


def said_of(said: list[Any], event: str) -> list[Any]:
    return [line for line in said if line["event"] == event]


def why_not(certificate: Path, key: Path) -> str:
    with pytest.raises(CannotStartError) as caught:
        ServerCertificate(certificate=certificate, key=key)
    return str(caught.value)


def test_a_server_does_not_start_with_files_that_are_no_pair_and_says_why(
    certificates: Certificates, tmp_path: Path
) -> None:
    certificate, key = certificates.certificate, certificates.key
    assert f"{tmp_path / 'none'} cannot be read (No such file" in why_not(certificate, tmp_path / "none")
    assert f"{certificate} has no private key" in why_not(certificate, certificate)
    assert f"{key} has no whole certificate" in why_not(key, key)
    other = tmp_path / "other.pem"
    certificates.issue().private_key_pem.write_to_path(str(other))
    assert f"the key in {other} is not that of the certificate" in why_not(certificate, other)
    half = tmp_path / "half.pem"
    half.write_bytes(key.read_bytes()[:-60])
    assert "cannot be used" in why_not(certificate, half)


def test_a_key_with_a_password_is_refused_without_asking_for_it(
    certificates: Certificates, tmp_path: Path
) -> None:
    encrypted = tmp_path / "encrypted.pem"
    _encrypt(certificates.key, encrypted)
    assert "is encrypted" in why_not(certificates.certificate, encrypted)


def _encrypt(key: Path, encrypted: Path) -> None:
    loaded = s.load_pem_private_key(key.read_bytes(), password=None)
    encrypted.write_bytes(
        loaded.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"secret"))
    )


def test_a_key_that_every_user_can_read_is_warned_of(certificates: Certificates) -> None:
    with capture_logs() as said:
        ServerCertificate(certificate=certificates.certificate, key=certificates.key)
        assert said == []
        certificates.key.chmod(0o644)
        ServerCertificate(certificate=certificates.certificate, key=certificates.key)
    [line] = said
    assert line["event"] == "the key can be read by every user of this machine"
    assert line["remedy"] == f"chmod o= {certificates.key}"


async def test_a_new_pair_is_taken_once_both_files_are_there_and_what_does_not_fit_is_said_once(
    certificates: Certificates,
) -> None:
    new = certificates.issue()
    async with looking(certificates) as said:
        certificates.certificate.write_bytes(pem_of(new))
        await until(lambda: said_of(said, "the new certificate is not taken"))
        certificates.key.write_bytes(new.private_key_pem.bytes())
        [taken] = await until(lambda: said_of(said, "new certificate"))
        [refused] = said_of(said, "the new certificate is not taken")
        assert "is not that of the certificate" in refused["why"]
        assert taken["fingerprint"] == fingerprint(new)
        assert refused["fingerprint_in_use"] != fingerprint(new)


async def test_files_that_vanish_or_are_half_written_change_nothing(certificates: Certificates) -> None:
    whole = certificates.certificate.read_bytes()
    async with looking(certificates) as said:
        certificates.certificate.write_bytes(whole[: len(whole) // 3])
        await until(lambda: any("no whole certificate" in line.get("why", "") for line in said))
        certificates.certificate.unlink()
        await until(lambda: any("cannot be read" in line.get("why", "") for line in said))
        certificates.certificate.write_bytes(whole)
        certificates.install(certificates.issue())
        await until(lambda: said_of(said, "new certificate"))


async def test_a_pair_behind_a_link_that_is_turned_is_taken(
    certificates: Certificates, tmp_path: Path
) -> None:
    """Kubernetes turns a link, and programs that renew certificates do."""
    issued = [certificates.issue(), certificates.issue()]
    for number, one in enumerate(issued):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "tls.crt").write_bytes(pem_of(one))
        (folder / "tls.key").write_bytes(one.private_key_pem.bytes())
    link, turned = tmp_path / "now", tmp_path / "next"
    link.symlink_to(tmp_path / "0")
    linked = Certificates(
        authority=certificates.authority,
        authority_file=certificates.authority_file,
        certificate=link / "tls.crt",
        key=link / "tls.key",
    )
    async with looking(linked) as said:
        turned.symlink_to(tmp_path / "1")
        turned.rename(link)
        [taken] = await until(lambda: said_of(said, "new certificate"))
        assert taken["fingerprint"] == fingerprint(issued[1])
        assert said_of(said, "the new certificate is not taken") == []
