from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class ControlRoomConfig(AdminConfig):
    """Django's admin, with our site."""

    default_site = "llm_proxy_site.people.site.ControlRoom"


class PeopleConfig(AppConfig):
    """An app of its own, after Django's, for it replaces Django's admin of users and groups."""

    name = "llm_proxy_site.people"
