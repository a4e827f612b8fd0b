"""Settings that depend on each other, or are read in a way of their own."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from osa_grpc.server.cannot_start import CannotStartError
from osa_grpc.server.settings import read_settings

NETWORKS = (ip_network("127.0.0.1"), ip_network("10.0.0.0/8"), ip_network("::1"))


@pytest.mark.parametrize("one", ["tls_certificate", "tls_key"])
def test_a_certificate_without_its_key_is_a_wrong_setting(one: str) -> None:
    with pytest.raises(CannotStartError, match="expected both or none of them, found one"):
        read_settings({one: "/some/file.pem"}, config=None)


def test_with_tls_any_address_may_be_listened_on() -> None:
    flags = {"listen": "0.0.0.0:50051"}
    with pytest.raises(CannotStartError, match="give --tls-certificate and --tls-key, or say --insecure"):
        read_settings(flags, config=None)
    pair = {"tls_certificate": "/some/file.pem", "tls_key": "/some/key.pem"}
    assert not read_settings(flags | pair, config=None).is_for_this_machine_only


def test_proxies_are_named_with_commas_or_as_a_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named = "127.0.0.1, 10.0.0.0/8,::1"
    assert read_settings({"trusted_proxies": named}, config=None).trusted_proxies == NETWORKS
    monkeypatch.setenv("OSA_TRUSTED_PROXIES", named)
    assert read_settings({}, config=None).trusted_proxies == NETWORKS
    monkeypatch.delenv("OSA_TRUSTED_PROXIES")
    file = tmp_path / "settings.toml"
    file.write_text('trusted_proxies = ["127.0.0.1", "10.0.0.0/8", "::1"]\n')
    assert read_settings({}, config=file).trusted_proxies == NETWORKS
    with pytest.raises(CannotStartError, match="trusted_proxies"):
        read_settings({"trusted_proxies": "nginx"}, config=None)
