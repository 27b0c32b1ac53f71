"""`manage.py setup`: everything a new installation needs. Safe to run again."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.provisioning import ADMIN_NAME, ensure_admin, ensure_data_dir, ensure_secrets
from llm_proxy_site.schema import bring_up_to_date


class Command(FactsCommand):
    help = "Make the data directory, the secrets, the database and an admin account, where they are missing."
    # The checks would refuse for want of the secrets that are made here; they run below.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--without-admin", action="store_true", help="make no account: its password would be in a log"
        )

    def facts(self, *, without_admin: bool, **options: Any) -> dict[str, Any]:
        try:
            ensure_data_dir(settings.DATA_DIR)
            made = ensure_secrets(settings.SECRETS_FILE)
        except OSError as problem:
            raise CommandError(f"{problem.filename}: {problem.strerror}") from None
        self.check()
        bring_up_to_date()
        password = None if without_admin else ensure_admin()
        return {
            "data_dir": str(settings.DATA_DIR),
            "secrets_file": str(settings.SECRETS_FILE),
            "secrets_made": made,
            "admin": {"username": ADMIN_NAME, "password": password} if password else None,
        }

    def text(self, facts: dict[str, Any]) -> str:
        lines = [f"Ready: {facts['data_dir']}"]
        if facts["secrets_made"]:
            lines.append(
                f"New secrets in {facts['secrets_file']}: back this file up, keys are lost without it."
            )
        if facts["admin"]:
            lines.append(f"Admin account: {facts['admin']['username']} / {facts['admin']['password']}")
            lines.append("The password is not shown again.")
        return "\n".join(lines)
