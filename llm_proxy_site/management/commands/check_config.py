"""`manage.py check_config`."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from llm_proxy_site.commands import FactsCommand
from proxy.providers import InvalidProvidersError, read_schema


class Command(FactsCommand):
    help = "Say whether a file of providers can be used, and if not, every reason with its line."
    # The checks would refuse for want of the very file that is looked at here.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", nargs="?", type=Path, help="default: PROVIDERS_FILE")

    def facts(self, *, file: Path | None, **options: Any) -> dict[str, Any]:
        file = file or settings.PROVIDERS_FILE
        try:
            schema = read_schema(file)
        except InvalidProvidersError as invalid:
            raise CommandError(str(invalid)) from None
        return {
            "file": str(file),
            "providers": list(schema.providers),
            "families": len(schema.families),
            "endpoints": sum(map(len, schema.families.values())),
        }

    def text(self, facts: dict[str, Any]) -> str:
        return (
            f"{facts['file']} is good: providers: {len(facts['providers'])}, families: {facts['families']}, "
            f"endpoints: {facts['endpoints']}."
        )
