"""`manage.py runserver`: Django's development server, on the same server class as `serve`."""

from daphne.management.commands.runserver import Command as DaphneCommand

from llm_proxy_site.server.server import ProxyServer


class Command(DaphneCommand):
    server_cls = ProxyServer
