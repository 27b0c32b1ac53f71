"""What is posted to the pages that act, so that somebody who may is obeyed: by the URL's name. To all others
ANYTHING is posted.
"""

from typing import Any

from tests.llm_proxy_site.people.test_reach import project_form
from tests.refusals.world import World

Form = dict[str, Any]
ANYTHING: Form = {"post": "yes", "name": "new", "_save": "Save"}
PASSWORD = "an entirely good password"


def acts(world: World) -> dict[str, list[Form]]:
    rows = world.rows
    project, token, rule = world.project, rows["tokens.accesstoken"], rows["tokens.trustrule"]
    yes = {"post": "yes"}
    trust = {
        "name": "new",
        "project": project.pk,
        "issuer": "https://gitlab.com",
        "audience": "proxy",
        "claims": "ref=main",
        "ttl": "1h",
    }
    price = {"model": "new", "input_price": "1", "output_price": "1"}
    member = rows["auth.user"]
    user = {"username": "new", "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    return {
        "admin:projects_project_changelist": [chosen("deactivate", project)],
        "admin:projects_project_add": [
            {**project_form(project), "name": "new", "upstream_key": "sk-upstream-new-0001"}
        ],
        "admin:projects_project_change": [
            {"_deactivate": "x"},
            project_form(project)
            | {"name": "new", "memberships-TOTAL_FORMS": 0, "memberships-INITIAL_FORMS": 0},
        ],
        "admin:tokens_accesstoken_changelist": [chosen("revoke_selected", token)],
        "admin:tokens_accesstoken_add": [{"project": project.pk, "name": "new", "lifetime": "1h"}],
        "admin:tokens_accesstoken_change": [
            {"_revoke": "x"},
            {"_rotate": "x", "grace": "0s"},
            {"_renew": "x"},
            {"name": "new"} | _end(token),
        ],
        "revoke_tokens": [yes],
        "delete_captures": [yes],
        "test_upstream_key": [{}],
        "admin:tokens_trustrule_changelist": [chosen("delete_selected", rule) | yes],
        "admin:tokens_trustrule_add": [trust],
        "admin:tokens_trustrule_change": [trust],
        "admin:tokens_trustrule_delete": [yes],
        "admin:usage_modelprice_changelist": [chosen("delete_selected", rows["usage.modelprice"]) | yes],
        "admin:usage_modelprice_add": [price],
        "admin:usage_modelprice_change": [price],
        "admin:usage_modelprice_delete": [yes],
        "admin:auth_user_changelist": [chosen("delete_selected", member) | yes],
        "admin:auth_user_add": [
            {"username": "new", "password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
        ],
        "admin:auth_user_change": [user],
        "admin:auth_user_delete": [yes],
        "admin:auth_user_password_change": [
            {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
        ],
        "admin:auth_group_changelist": [chosen("delete_selected", rows["auth.group"]) | yes],
        "admin:auth_group_add": [{"name": "new"}],
        "admin:auth_group_change": [{"name": "new"}],
        "admin:auth_group_delete": [yes],
        "admin:llm_proxy_site_apikey_changelist": [chosen("revoke", rows["llm_proxy_site.apikey"])],
        "admin:llm_proxy_site_apikey_add": [{"name": "new", "lifetime": "1h", "scopes": ["usage:read"]}],
        "admin:second_factor": [{"act": "begin"}],
    }


def chosen(action: str, row: Any) -> Form:
    return {"action": action, "_selected_action": [str(row.pk)]}


def _end(token: Any) -> Form:
    """As it is."""
    day, _, time = token.expires_at.strftime("%Y-%m-%d %H:%M:%S").partition(" ")
    return {"expires_at_0": day, "expires_at_1": time}
