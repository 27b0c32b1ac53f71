"""Keys of the management API that do not work, as events of the audit trail: `api_key.refused`. Of what was
sent nothing is kept; a key that has worked once is named.
"""

import structlog

from audit import trail
from audit.actors import STRANGER
from audit.refusals import refusals
from llm_proxy_site.api.keys import find_dead_api_key
from proxy.client_address import network_of

ACTION = "api_key.refused"

log = structlog.get_logger("server")


def note_refused_key(plain: str, address: str) -> None:
    """Not each becomes an event: audit/refusals.py."""
    log.warning("a key of the management API is refused", address=address)
    refused = refusals.due(ACTION, network_of(address))
    if not refused:
        return
    key = find_dead_api_key(plain)
    if key is None:
        trail.record_act(ACTION, "apikey", actor=STRANGER, details={"refused": refused})
        return
    details = {"refused": refused, "user": key.user.get_username()}
    trail.record(ACTION, key, actor=STRANGER, details=details)
