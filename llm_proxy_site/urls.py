"""The control plane's URLs. /v1 is not here: the data plane answers it (proxy/routing.py)."""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from llm_proxy_site import health

admin.site.site_header = admin.site.site_title = "LLM Proxy"
admin.site.index_title = "Control room"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("live", health.live),
    path("ready", health.ready),
    path("health", health.health),
]
