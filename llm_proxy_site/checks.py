"""System checks: everything that can be wrong with the configuration, with an id and a hint."""

import os
import re
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ValidationError
from django.db import Error as DatabaseError

from llm_proxy_site.environment import SQLITE
from llm_proxy_site.logs import FORMATS, LEVELS
from projects.encryption import position_of
from projects.models import Project, UpstreamKey, validate_base_url
from proxy.configuration import provider_names
from proxy.providers import InvalidProvidersError, load_providers
from proxy.tracing.sampler import SAMPLERS

SHORTEST_TOKEN = 32
HOST = re.compile(r"[^/:]+|\[[^/]+\]")
"""As Django compares it with a request's: without a port, IPv6 in brackets."""
SETUP_HINT = (
    "A new installation: run `python manage.py setup`, which makes the secrets once. One that had them: "
    "put its secrets.env back into the data directory, or set them in the environment."
)
TAG = "llm_proxy"
"""Of these checks: commands need no others, and those of the pages take a second."""


@register(TAG)
def check_values(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    problems = [*settings.ENVIRONMENT.problems]
    if settings.LOG_LEVEL not in LEVELS:
        problems.append(f"LOG_LEVEL: must be one of {', '.join(LEVELS)}")
    if settings.LOG_FORMAT not in FORMATS:
        problems.append(f"LOG_FORMAT: must be one of {', '.join(FORMATS)}")
    if settings.TRACES_SAMPLER not in SAMPLERS:
        problems.append(f"OTEL_TRACES_SAMPLER: must be one of {', '.join(SAMPLERS)}")
    if not all(map(HOST.fullmatch, settings.ALLOWED_HOSTS)):
        problems.append(
            "ALLOWED_HOSTS: must be names or addresses (IPv6 in brackets) without scheme and port"
        )
    if settings.BREAKER_FAILURE_PERCENT > 100:
        problems.append("BREAKER_FAILURE_PERCENT: must be at most 100; 0 is never")
    return [
        Error(problem, hint="docs/settings.md describes every setting.", id="llm_proxy.E001")
        for problem in problems
    ]


@register(TAG)
def check_secrets(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    missing = settings.MISSING_SECRETS
    errors: list[CheckMessage] = [
        Error(f"{name} is not set.", hint=SETUP_HINT, id="llm_proxy.E002") for name in missing
    ]
    if not all(map(_is_fernet_key, settings.ENCRYPTION_KEYS)):
        errors.append(
            Error(
                "ENCRYPTION_KEYS holds something that is not a Fernet key.",
                hint="Each key is 32 bytes in URL-safe base64; separate several by commas, the newest first.",
                id="llm_proxy.E003",
            )
        )
    return errors


@register(TAG)
def check_tokens(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    tokens = {
        "MANAGEMENT_TOKEN": (settings.MANAGEMENT_TOKEN, "may do everything", "llm_proxy.E009"),
        "METRICS_TOKEN": (settings.METRICS_TOKEN, "reads what all projects use", "llm_proxy.E010"),
    }
    return [
        Error(
            f"{name} is shorter than {SHORTEST_TOKEN} characters.",
            hint=f"Whoever guesses it {power}: take the output of `openssl rand -hex 32`.",
            id=check_id,
        )
        for name, (token, power, check_id) in tokens.items()
        if token and len(token) < SHORTEST_TOKEN
    ]


@register(TAG)
def check_secrets_file(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    file = settings.SECRETS_FILE
    if file.is_file() and file.stat().st_mode & 0o077:
        return [
            checks.Warning(
                f"{file} can be read by other users.", hint=f"Run `chmod 600 {file}`.", id="llm_proxy.W001"
            )
        ]
    return []


@register(TAG)
def check_data_dir(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    directories = {"DATA_DIR": settings.DATA_DIR, "SPOOL_DIR": settings.SPOOL_DIR}
    if _nearest(settings.SPOOL_DIR) == _nearest(settings.DATA_DIR):
        del directories["SPOOL_DIR"]  # the same is told of once
    return [
        Error(
            f"The directory {directory} is not writable."
            if directory.is_dir()
            else f"The directory {directory} is not there, and cannot be made.",
            hint=f"Give it to the user who runs the proxy, or set {name}.",
            id="llm_proxy.E004",
        )
        for name, directory in directories.items()
        if not _is_writable(_nearest(directory))
    ]


def _nearest(directory: Path) -> Path:
    """That one, or the first above it that is there: in it the others would be made."""
    return next(path for path in (directory, *directory.absolute().parents) if path.exists())


def _is_writable(directory: Path) -> bool:
    return directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)


@register(TAG)
def check_database_file(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """SQLite's, and those that it keeps beside it. Where they can only be read, requests are answered all the
    same, and nothing of them can be recorded.
    """
    database = settings.DATABASES["default"]
    if database["ENGINE"] != SQLITE:
        return []
    files = [Path(f"{database['NAME']}{suffix}") for suffix in ("", "-wal", "-shm")]
    return [
        Error(
            f"The file {file} of the database is not writable.",
            hint="Give it to the user who runs the proxy, as a rule the owner of the directory.",
            id="llm_proxy.E011",
        )
        for file in files
        if file.exists() and not os.access(file, os.W_OK)
    ]


@register(TAG)
def check_upstream(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    try:
        validate_base_url(settings.UPSTREAM_BASE_URL)
    except ValidationError:
        return [
            Error(
                "UPSTREAM_BASE_URL is not an http(s) URL.",
                hint="Give it as an SDK would take it, such as https://api.openai.com/v1.",
                id="llm_proxy.E005",
            )
        ]
    return []


@register(TAG)
def check_providers(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    try:
        load_providers(settings.PROVIDERS_FILE)
    except InvalidProvidersError as invalid:
        hint = "docs/providers.md describes PROVIDERS_FILE; the one shipped is proxy/providers.yaml."
        return [Error(problem, hint=hint, id="llm_proxy.E006") for problem in invalid.problems]
    return []


@register(TAG)
def check_exchange(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    file = settings.EXCHANGE_CA_FILE
    if not file:
        return []
    try:
        ssl.create_default_context(cafile=file)
    except OSError:  # SSLError is one
        return [
            Error(
                f"EXCHANGE_CA_FILE: {file} holds no certificates that can be read.",
                hint="Give a file of PEM certificates, such as the authority of your cluster.",
                id="llm_proxy.E030",
            )
        ]
    return []


@register(checks.Tags.database)
def check_projects(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    if not databases:
        return []
    try:
        orphans = list(Project.objects.without_provider(provider_names()))
    except (DatabaseError, InvalidProvidersError):  # told by others
        return []
    return [
        checks.Warning(
            f"The project {project} names the provider {project.provider}, which is not configured.",
            hint="Its requests are refused with 503. Add the provider to PROVIDERS_FILE, or give the project "
            f"another: `update_project {project.id} --provider ...`.",
            id="llm_proxy.W002",
        )
        for project in orphans
    ]


@register(checks.Tags.database)
def check_upstream_keys(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    if not databases or not all(map(_is_fernet_key, settings.ENCRYPTION_KEYS)):
        return []
    try:
        ciphertexts = list(UpstreamKey.objects.filter(is_active=True).values_list("ciphertext", flat=True))
    except DatabaseError:  # told by others
        return []
    unreadable = sum(position_of(ciphertext) is None for ciphertext in ciphertexts)
    if not unreadable:
        return []
    return [
        checks.Warning(
            f"No key in ENCRYPTION_KEYS decrypts {unreadable} of {len(ciphertexts)} upstream keys.",
            hint="Requests that have no other are refused with 503. Put back the secrets.env that they were "
            "stored with; if it is lost: docs/runbook.md.",
            id="llm_proxy.W003",
        )
    ]


def _is_fernet_key(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True
