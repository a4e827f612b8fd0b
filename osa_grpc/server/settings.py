"""Settings: by flag, environment (`OSA_...`) and file (TOML), in this order of precedence. Read once; classes get values."""

import difflib
import ipaddress
import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from osa_grpc.application.retry_policy import RetryRules
from osa_grpc.domain.hook import MemorySize, memory_bytes, memory_text
from osa_grpc.domain.srn import SrnDomain
from osa_grpc.server.cannot_start import CannotStartError
from osa_grpc.server.client_address import IpNetwork
from osa_grpc.server.embedded import default_data_directory
from osa_grpc.storage.database_url import checked_database_url

_MIB = 2**20

_LEAST_RETRY_MEMORY = 2048 * _MIB  # as much as a hook has that asks for none
_TEN_YEARS = 10 * 365 * 24 * 3600

Seconds = Annotated[float, Field(gt=0, le=_TEN_YEARS, allow_inf_nan=False)]


def places_of_this_machine() -> int:
    """Return how many hooks this machine runs at once, unless told otherwise."""
    return max(2, os.cpu_count() or 1)


def memory_of_a_place() -> str:
    """Return how much memory one hook may get in the end, unless told otherwise, in whole MiB.

    Hooks that leak in every place leave half of the memory to all else, unless the machine is too small for 2g each.
    """
    shared = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return memory_text(max(_LEAST_RETRY_MEMORY, shared // places_of_this_machine() // _MIB * _MIB))


class Settings(BaseSettings):
    """What an operator can decide. Every field is a flag's value, an environment variable `OSA_<FIELD>` or a key of the file."""

    model_config = SettingsConfigDict(
        env_prefix="OSA_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    listen: str = Field(
        default="127.0.0.1:50051", description="HOST:PORT to listen on; port 0 takes a free one."
    )
    insecure: bool = Field(
        default=False,
        description="Listen on an address that is not loopback, although nothing is encrypted.",
    )
    tls_certificate: Path | None = Field(
        default=None,
        description="A PEM file: the certificate to serve TLS with, then those that link it to its authority.",
    )
    tls_key: Path | None = Field(
        default=None,
        description="A PEM file: the certificate's private key, without a password. Both are read again when they change.",
    )
    trusted_proxies: Annotated[tuple[IpNetwork, ...], NoDecode] = Field(
        default=(),
        description="Addresses or networks of proxies, with commas; what they say of a call's client is logged as `client`.",
    )
    data_directory: Path = Field(
        default_factory=default_data_directory, description="Where files and the embedded Postgres live."
    )
    host_data_directory: Path | None = Field(
        default=None,
        description="Where the engine's host has the data directory; for a server that itself runs in a container.",
    )
    database_url: str | None = Field(
        default=None,
        description="A Postgres of your own, postgresql://...; without it an embedded one is run.",
    )
    docker_host: str | None = Field(
        default=None, description="The container engine; without it DOCKER_HOST, then the usual sockets."
    )
    registry_logins: dict[str, SecretStr] = Field(
        default={},
        description="Logins to registries of images, `user:password` by host; each wins over the Docker config file's.",
    )
    srn_domain: SrnDomain = Field(
        default="localhost", description="The domain of the SRNs this archive gives."
    )
    log_format: Literal["console", "json"] = Field(default="console", description="How log lines look.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="What is logged."
    )

    max_running_hooks: Annotated[int, Field(ge=1, le=1000)] = Field(
        default_factory=places_of_this_machine, description="Hook containers at once."
    )
    max_log_bytes: Annotated[int, Field(ge=0)] = Field(
        default=16 * _MIB, description="Bytes kept of one attempt's log."
    )
    max_progress_events: Annotated[int, Field(ge=0)] = Field(
        default=10_000, description="Progress events kept of one attempt."
    )
    max_output_bytes: Annotated[int, Field(ge=1)] = Field(
        default=10 * 1024 * _MIB, description="Bytes one attempt of a hook may write as output."
    )
    max_rows: Annotated[int, Field(ge=1)] = Field(
        default=10_000_000, description="Rows one execution of a hook may give."
    )
    min_free_bytes: Annotated[int, Field(ge=0)] = Field(
        default=512 * _MIB,
        description="Bytes that uploads and hooks leave free on the data directory's disk, for the database.",
    )
    pull_timeout_seconds: Seconds = Field(default=600, description="How long pulling an image may take.")
    stop_grace_seconds: Seconds = Field(
        default=5, description="How long a container has after the stop signal."
    )
    keep_hooks_on_stop: bool = Field(
        default=False,
        description="Leave running hooks alone when the server stops; the next one goes on with them.",
    )
    max_attempts: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=10, description="Attempts of one hook in one run, the first included."
    )
    retry_delay_seconds: Seconds = Field(
        default=5, description="The pause before the second attempt; it doubles with each."
    )
    max_retry_delay_seconds: Seconds = Field(default=300, description="The longest such pause.")
    max_retry_memory: MemorySize = Field(
        default_factory=memory_of_a_place,
        description="How far the memory of a hook that ran out of it is doubled, for example 8g.",
    )
    lease_seconds: Annotated[Seconds, Field(ge=1)] = Field(
        default=10,
        description="How long a run is held without a sign of life before another worker takes it.",
    )

    max_concurrent_calls: Annotated[int, Field(ge=1)] = Field(
        default=200, description="Calls at once that are neither watches nor uploads."
    )
    max_concurrent_uploads: Annotated[int, Field(ge=1)] = Field(
        default=32, description="Uploads at once; each takes some 24 MiB of memory."
    )
    default_deadline_seconds: Seconds = Field(
        default=60,
        description="How long a call may take that takes one message, answers once, and brings no deadline.",
    )
    idle_upload_seconds: Seconds = Field(default=60, description="How long an upload may send nothing.")
    max_concurrent_watches: Annotated[int, Field(ge=1)] = Field(
        default=10_000, description="Watches at once."
    )
    watch_max_age_seconds: Seconds = Field(
        default=3600, description="After that a watch is asked to come again, so that clients spread."
    )
    slow_consumer_seconds: Seconds = Field(
        default=30, description="How long a watcher may take to accept a message."
    )
    request_id_retention_seconds: Seconds = Field(
        default=24 * 3600, description="How long the answer to a request id is kept, for whoever asks again."
    )
    metrics_listen: str | None = Field(
        default=None,
        description="HOST:PORT to serve Prometheus metrics on, over HTTP; without it they are not.",
    )
    drain_seconds: Seconds = Field(default=15, description="How long calls may go on after a stop signal.")
    database_pool_size: Annotated[int, Field(ge=2, le=1000)] = Field(
        default=12, description="Connections to Postgres."
    )

    @model_validator(mode="after")
    def _loopback_or_told(self) -> Self:
        host, _, port = self.listen.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004 - the largest port
            raise ValueError(f"listen: expected HOST:PORT, found {self.listen!r}")
        if not self.insecure and self.tls_certificate is None and not _is_loopback(host):
            raise ValueError(
                f"listen: {self.listen} is not a loopback address, and nothing would be encrypted; "
                "give --tls-certificate and --tls-key, or say --insecure if that is what you want"
            )
        return self

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key: expected both or none of them, found one")
        return self

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, given: object) -> object:
        return (
            [part.strip() for part in given.split(",") if part.strip()] if isinstance(given, str) else given
        )

    @field_validator("database_url")
    @classmethod
    def _postgres_url(cls, url: str | None) -> str | None:
        return None if url is None else checked_database_url(url)

    @field_validator("registry_logins")
    @classmethod
    def _user_and_password(cls, logins: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for registry, login in logins.items():
            if ":" not in login.get_secret_value():
                raise ValueError(f"the login for {registry} is not of the form user:password")
        return logins

    @property
    def is_for_this_machine_only(self) -> bool:
        """Whether it listens on loopback only."""
        return _is_loopback(self.listen.rpartition(":")[0])

    @property
    def retry(self) -> RetryRules:
        """When hooks are tried again."""
        return RetryRules(
            max_attempts=self.max_attempts,
            delay=timedelta(seconds=self.retry_delay_seconds),
            max_delay=timedelta(seconds=self.max_retry_delay_seconds),
            max_memory_bytes=memory_bytes(self.max_retry_memory),
        )

    @property
    def lease(self) -> timedelta:
        """How long a run is held without a sign of life."""
        return timedelta(seconds=self.lease_seconds)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags before environment before file."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _complaint(detail: ErrorDetails) -> str:
    """Return what is wrong with a setting, its name first."""
    name = ".".join(map(str, detail["loc"]))
    if detail["type"] == "extra_forbidden":
        close = difflib.get_close_matches(name, list(Settings.model_fields), n=1)
        return f"there is no setting {name}{f'; did you mean {close[0]}?' if close else ''}"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{name}: {message}" if name else message  # a check of several settings names them itself


def read_settings(flags: dict[str, Any], *, config: Path | None) -> Settings:
    """Return the settings; `flags` are those that were given.

    Raises:
        CannotStartError: a setting is not valid, each named with what was expected.
    """
    if config is not None and not config.is_file():
        raise CannotStartError(f"The settings file {config} is not there.")

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=config)

    try:
        return FromFile(**flags)
    except ValidationError as error:
        lines = [_complaint(detail) for detail in error.errors()]
        raise CannotStartError("The settings are not valid: " + "; ".join(lines)) from error
    except SettingsError as error:  # an environment variable that should be JSON; the cause has what it is
        raise CannotStartError(f"The settings are not valid: {error}; it has to be JSON") from None
    except ValueError as error:  # a file that is not TOML
        raise CannotStartError(f"The settings file {config} cannot be read: {error}") from error
