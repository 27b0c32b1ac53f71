"""The roles: groups, made by each `migrate`, whose permissions are these and no others.

Not by a migration alone: Django makes the permissions of a model only after all migrations, and those of a
model that comes later would be missing. Who needs other rights makes a group of their own.
"""

from typing import Any

from django.apps import apps as installed
from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q

from projects.access import ADMIN, OPERATOR, VIEWER

APPS = ("auth", "projects", "tokens", "usage", "audit")
VIEWER_MAY = (
    "projects.view_project",
    "projects.view_upstreamkey",
    "tokens.view_accesstoken",
    "tokens.view_trustrule",
    "usage.view_usagerecord",
    "usage.view_modelprice",
    "audit.view_auditevent",
)
OPERATOR_MAY = (*VIEWER_MAY, "tokens.add_accesstoken", "tokens.change_accesstoken")
"""Not to write trust rules: one lets strangers issue tokens from then on, and if it accepts the JWTs of
another project's rule, these become ambiguous there.
"""


def make_roles(*, using: str = DEFAULT_DB_ALIAS, apps: Apps = installed, **kwargs: Any) -> None:
    """Receives post_migrate. `apps`: as the migrations left them, perhaps before there were any people."""
    try:
        group_model, permission_model = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    except LookupError:
        return
    for label in APPS:  # those that come after ours in the list have theirs made only later
        create_permissions(installed.get_app_config(label), verbosity=0, using=using, apps=apps)
    permissions = permission_model.objects.using(using)
    roles = {
        VIEWER: permissions.filter(_named(VIEWER_MAY)),
        OPERATOR: permissions.filter(_named(OPERATOR_MAY)),
        ADMIN: permissions.filter(content_type__app_label__in=APPS),
    }
    for name, granted in roles.items():
        group, _ = group_model.objects.using(using).get_or_create(name=name)
        group.permissions.set(granted)


def _named(names: tuple[str, ...]) -> Q:
    """Permissions as `has_perm` takes them."""
    found = Q()
    for name in names:
        label, codename = name.split(".")
        found |= Q(content_type__app_label=label, codename=codename)
    return found
