"""The ASGI application: what `manage.py serve` and `runserver` run."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_proxy_site.settings")
control_plane = get_asgi_application()

from llm_proxy_site.live.routing import control_sockets
from proxy.routing import beside

application = beside(control_plane, control_sockets)
