"""The control plane's URLs. Not here: /v1, which the data plane answers (proxy/routing.py), and the health
endpoints, which are a middleware (health.py).
"""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from llm_proxy_site.api.application import api
from llm_proxy_site.control_room.captures import delete_captures
from llm_proxy_site.control_room.dashboard import dashboard
from llm_proxy_site.control_room.key_tests import test_upstream_key
from llm_proxy_site.control_room.revocation import revoke_tokens
from llm_proxy_site.control_room.usage_page import project_usage, token_usage
from llm_proxy_site.live.page import live
from llm_proxy_site.sso.views import callback, start

handler500 = "llm_proxy_site.outages.handler500"
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/live/", admin.site.admin_view(live), name="live"),
    path("admin/", admin.site.admin_view(dashboard)),  # in place of its index
    path(
        "admin/projects/project/<uuid:id>/usage/", admin.site.admin_view(project_usage), name="project_usage"
    ),
    path(
        "admin/projects/project/<uuid:id>/revoke_tokens/",
        admin.site.admin_view(revoke_tokens),
        name="revoke_tokens",
    ),
    path(
        "admin/projects/project/<uuid:id>/delete_bodies/",
        admin.site.admin_view(delete_captures),
        name="delete_captures",
    ),
    path(
        "admin/projects/upstreamkey/<uuid:id>/test/",
        admin.site.admin_view(test_upstream_key),
        name="test_upstream_key",
    ),
    path("admin/tokens/accesstoken/<uuid:id>/usage/", admin.site.admin_view(token_usage), name="token_usage"),
    path("admin/sso/", start, name="sso_start"),
    path("admin/sso/callback/", callback, name="sso_callback"),
    path("admin/", admin.site.urls),
    path("manage/", api.urls),
]
