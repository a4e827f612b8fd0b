"""Installing packages: what is refused, and that no service is started meanwhile."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from osa_grpc.runtimes import debian_packages
from osa_grpc.runtimes.debian_packages import PackagesUnavailableError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "policy-rc.d"
    monkeypatch.setattr(debian_packages, "POLICY", path)
    return path


def install(say: list[str]) -> None:
    debian_packages.install(["osa-there-is-no-such-package"], say=say.append, purpose="this test")


def test_who_is_not_root_is_told_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(
        PackagesUnavailableError, match=r"run `sudo apt-get install osa-there-is-no-such-package`"
    ):
        install([])


def test_another_system_than_debian_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(debian_packages, "is_debian", lambda: False)
    with pytest.raises(PackagesUnavailableError, match=r"this is not a Debian system"):
        install([])


@pytest.mark.skipif(os.geteuid() != 0 or not debian_packages.is_debian(), reason="needs root on Debian")
@pytest.mark.slow
def test_what_apt_says_is_told_and_the_policy_goes_away_again(policy: Path) -> None:
    said: list[str] = []
    with pytest.raises(
        PackagesUnavailableError, match=r"Unable to locate package osa-there-is-no-such-package"
    ):
        install(said)
    assert said == ["Installing Debian's osa-there-is-no-such-package: this test needs them."]
    assert not policy.exists()


def test_services_are_not_started_while_packages_are_installed(policy: Path) -> None:
    with debian_packages._no_service_started():
        assert subprocess.run([policy, "docker", "start"], check=False).returncode == 101
    assert not policy.exists()


def test_a_policy_of_the_administrator_is_left_alone(policy: Path) -> None:
    policy.write_text("#!/bin/sh\nexit 0\n")
    with debian_packages._no_service_started():
        assert policy.read_text() == "#!/bin/sh\nexit 0\n"
    assert policy.exists()


def test_a_policy_that_a_killed_installation_left_is_cleared(policy: Path) -> None:
    with debian_packages._no_service_started():
        left = policy.read_text()
    policy.write_text(left)
    with debian_packages._no_service_started():
        pass
    assert not policy.exists()
