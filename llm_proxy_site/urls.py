"""The control plane's URLs. Not here: /v1, which the data plane answers (proxy/routing.py), and the health
endpoints, which are a middleware (health.py).
"""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

admin.site.site_header = admin.site.site_title = "LLM Proxy"
admin.site.index_title = "Control room"

handler500 = "llm_proxy_site.outages.handler500"
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
]
