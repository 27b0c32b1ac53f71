"""What the database has to do with an exchange: which rule accepts an assertion, that it comes once only, and
the token that is issued.
"""

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from audit import trail
from audit.actors import of_subject
from audit.origin import NOWHERE, Origin, acting_from
from projects.limits import BUDGETS, LIMITS
from tokens import lifecycle
from tokens.exchange.assertion import LEEWAY, Assertion
from tokens.exchange.claims import fulfils
from tokens.exchange.errors import AmbiguousError, RefusedError, ReplayedError
from tokens.exchange.models import SpentAssertion, TrustRule
from tokens.lifetime import longest_ttl
from tokens.models import AccessToken

LONGEST_NAME = 100
REFUSED = "token.exchange_refused"


def trusted_issuers() -> frozenset[str]:
    """Of the active rules."""
    return frozenset(TrustRule.objects.active().values_list("issuer", flat=True).distinct())


@transaction.atomic
def issue_for(
    assertion: Assertion, *, project: str, now: datetime, origin: Origin = NOWHERE
) -> tuple[str, timedelta]:
    """The plain text of a new access token, and how long it lives.

    The oldest rule that accepts the assertion says what is issued. `project`: a name or an id, where rules of
    several accept it; empty: whichever it is. Raises RefusedError and lifecycle.ProjectInactiveError.
    """
    with acting_from(origin):
        return _issue(assertion, _rule_for(assertion, project), now)


def record_refusal(reason: str, *, actor: str, refused: int, origin: Origin) -> None:
    """`reason` repeats nothing of what was sent. `actor`: the workload, if the JWT has proved who it is."""
    with acting_from(origin):
        trail.record_act(REFUSED, "accesstoken", actor=actor, details={"reason": reason, "refused": refused})


def forget_expired(now: datetime) -> int:
    """Delete what is remembered of assertions that are refused for their age by now; how many they were."""
    return SpentAssertion.objects.filter(expires_at__lte=now).delete()[0]


def _issue(assertion: Assertion, rule: TrustRule, now: datetime) -> tuple[str, timedelta]:
    _spend(assertion)
    ttl = min(rule.ttl, longest_ttl(rule.project))
    actor = of_subject(assertion.issuer, assertion.subject)
    token, plain = lifecycle.issue(
        rule.project,
        ttl=ttl,
        name=assertion.subject[:LONGEST_NAME],
        rules=rule.rules,
        actor=actor,
        now=now,
        **{field: getattr(rule, field) for field in (*LIMITS, *BUDGETS)},
    )
    _record(token, rule, assertion, actor)
    TrustRule.objects.filter(pk=rule.pk).update(last_used_at=now)
    return plain, ttl


def _rule_for(assertion: Assertion, project: str) -> TrustRule:
    rules = TrustRule.objects.active().select_related("project").filter(issuer=assertion.issuer)
    meant = [
        rule for rule in rules if rule.issuer == assertion.issuer and rule.audience in assertion.audiences
    ]
    if not meant:
        raise RefusedError("No trust rule has the subject token's audience.")
    accepting = [rule for rule in meant if fulfils(assertion.claims, rule.claims)]
    if not accepting:
        raise RefusedError("The subject token's claims are not those that a trust rule asks for.")
    if project:
        accepting = [rule for rule in accepting if project in (rule.project.name, str(rule.project_id))]
        if not accepting:
            raise RefusedError(
                "No trust rule of the project that `audience` names accepts the subject token."
            )
    if len({rule.project_id for rule in accepting}) > 1:
        raise AmbiguousError(
            "Rules of several projects accept the subject token. Name one of them as `audience`."
        )
    return accepting[0]


def _spend(assertion: Assertion) -> None:
    """Of two at the same time the second waits here for what becomes of the first. Raises ReplayedError."""
    try:
        with transaction.atomic():
            SpentAssertion.objects.create(
                # Another machine's clock may be behind ours, and lets it pass for longer.
                digest=assertion.digest,
                expires_at=assertion.expires_at + 2 * LEEWAY,
            )
    except IntegrityError:
        raise ReplayedError(
            "The subject token has been exchanged before. Ask its issuer for another."
        ) from None


def _record(token: AccessToken, rule: TrustRule, assertion: Assertion, actor: str) -> None:
    wanted = {name: assertion.claims[name] for name in rule.claims}
    trail.record(
        "token.exchanged",
        token,
        actor=actor,
        project_id=rule.project_id,
        details={
            "trust_rule": rule.name,
            "trust_rule_id": str(rule.pk),
            "issuer": assertion.issuer,
            "subject": assertion.subject,
            "claims": wanted,
        },
    )
