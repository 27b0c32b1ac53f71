"""`manage.py list_api_keys`."""

from argparse import ArgumentParser
from typing import Any

from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.management.api_keys import api_key_facts
from llm_proxy_site.models import ApiKey
from llm_proxy_site.terminal import Table
from projects.management.people import find_user


class Command(FactsCommand):
    help = "List the keys of the management API, the newest first, by their last four characters."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--user", help="of this person only")

    def facts(self, *, user: str | None, **options: Any) -> list[dict[str, Any]]:
        keys = ApiKey.objects.select_related("user")
        if user is not None:
            keys = keys.filter(user=find_user(user))
        return [api_key_facts(key) for key in keys]

    def text(self, facts: list[dict[str, Any]]) -> Table:
        rows = [
            [
                key["id"],
                key["key"],
                key["name"],
                key["user"],
                key["state"],
                key["expires_at"],
                key["last_used_at"] or "never",
                " ".join(key["scopes"]),
            ]
            for key in facts
        ]
        return Table(["ID", "KEY", "NAME", "USER", "STATE", "EXPIRES", "LAST USED", "SCOPES"], rows)
