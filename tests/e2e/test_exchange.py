"""A job shows its JWT to a real proxy, and uses the token that it receives. The issuer is real, too.

Each test comes from an address of its own: failures are counted by address.
"""

import itertools
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from audit.models import AuditEvent
from tests.factories import ProjectFactory, TrustRuleFactory, stored_text
from tests.issuers import Issuer, serving_issuer
from tests.live import LiveProxy
from tokens.exchange.models import TrustRule
from tokens.format import digest
from tokens.models import AccessToken

FORM = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
}
_hosts = itertools.count(2)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with serving_issuer() as issuer:
        yield issuer


class Job:
    def __init__(self, live: LiveProxy) -> None:
        transport = httpx.HTTPTransport(local_address=f"127.0.1.{next(_hosts)}")
        self.client = httpx.Client(base_url=live.url, transport=transport)

    def exchange(self, subject_token: str, **parameters: str) -> httpx.Response:
        return self.client.post(
            "/token/exchange", data={**FORM, "subject_token": subject_token, **parameters}
        )


@pytest.fixture
def job(live: LiveProxy) -> Iterator[Job]:
    job = Job(live)
    with job.client:
        yield job


def trust(issuer: Issuer, **fields: Any) -> None:
    TrustRuleFactory.create(issuer=issuer.url, **fields)


def error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def issued(job: Job, issuer: Issuer, *arguments: str, **claims: Any) -> dict[str, Any]:
    return dict(job.exchange(issuer.jwt(*arguments, **claims)).raise_for_status().json())


@pytest.mark.parametrize("key", ["rsa", "ec"])
def test_a_job_receives_a_token_that_works(live: LiveProxy, issuer: Issuer, job: Job, key: str) -> None:
    trust(issuer, ttl=timedelta(minutes=10), max_requests=1)
    facts = issued(job, issuer, key)
    plain = facts.pop("access_token")
    assert facts == {
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": 600,
    }
    token = AccessToken.objects.get(digest=digest(plain))
    assert AuditEvent.objects.get(action="token.issued").actor.startswith(f"oidc:{issuer.url}#repo:acme/web")
    answers = [job.client.get("/v1/models", headers={"authorization": f"Bearer {plain}"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert plain not in stored_text()
    assert plain not in live.log()
    assert token.max_requests == 1


def test_json_will_do_too_and_nothing_is_kept_in_caches(issuer: Issuer, job: Job) -> None:
    trust(issuer)
    issued(job, issuer)
    answer = job.client.post("/token/exchange", json={**FORM, "subject_token": issuer.jwt()})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"


def test_what_proves_nothing_is_refused_and_logged_without_it(
    live: LiveProxy, issuer: Issuer, job: Job
) -> None:
    trust(issuer)
    issued(job, issuer)
    good = issuer.jwt()
    used = issuer.jwt()
    job.exchange(used)
    refused = {
        "another audience": issuer.jwt(aud="https://other.example.com"),
        "another repository": issuer.jwt(repository="acme/other"),
        "expired": issuer.jwt(exp=1),
        "not yet": issuer.jwt(nbf=2**31),
        "replayed": used,
        "another issuer": issuer.jwt(iss="https://other.example.com"),
        "another spelling of the issuer": issuer.jwt(iss=issuer.url + "/"),
        "another key": issuer.jwt("ec-other"),
        "cut": good[:-5],
        "no jwt": "sk-wt-x",
    }
    for what, subject_token in refused.items():
        answer = job.exchange(subject_token)
        assert error(answer) == (401, "invalid_subject_token"), what
        assert answer.json()["error"]["param"] == "subject_token"
        assert answer.headers["x-should-retry"] == "false"
        assert subject_token not in answer.text + live.log()
    reasons = [json.loads(line) for line in live.log().splitlines() if "token exchange is refused" in line]
    assert "its issuer is not trusted" in [line["reason"] for line in reasons]
    assert job.exchange(good).status_code == 200


def test_refusals_are_audited_and_do_not_fill_the_trail(live: LiveProxy, issuer: Issuer, job: Job) -> None:
    trust(issuer)
    plain = issued(job, issuer)["access_token"]
    other = issuer.jwt(repository="acme/other", sub="repo:acme/other")
    for _ in range(5):
        assert error(job.exchange(other)) == (401, "invalid_subject_token")
        assert error(job.exchange("sk-wt-guess")) == (401, "invalid_subject_token")
    events = AuditEvent.objects.filter(action="token.exchange_refused").order_by("sequence")
    claims = "The subject token's claims are not those that a trust rule asks for."
    malformed = "The subject token is not a JWT that can be read."
    assert list(events.values_list("actor", "details")) == [
        (f"oidc:{issuer.url}#repo:acme/other", {"reason": claims, "refused": 1}),
        ("stranger", {"reason": malformed, "refused": 1}),
    ]
    address = AuditEvent.objects.get(action="token.exchanged").address
    assert {event.address for event in events} == {address}
    assert address.startswith("127.0.1.")
    for secret in (other, plain, "sk-wt-guess"):
        assert secret not in stored_text()


def test_a_rule_holds_at_once_and_so_does_its_end(issuer: Issuer, job: Job) -> None:
    assert error(job.exchange(issuer.jwt())) == (401, "invalid_subject_token")
    trust(issuer)
    issued(job, issuer)
    TrustRule.objects.update(is_active=False)
    assert error(job.exchange(issuer.jwt())) == (401, "invalid_subject_token")


def test_only_issuers_of_rules_are_ever_asked(issuer: Issuer, job: Job) -> None:
    trust(issuer)
    issued(job, issuer)
    with serving_issuer() as other:
        for url in (other.url, other.url + "/", "http://169.254.169.254/", "file:///etc/passwd"):
            answer = job.exchange(issuer.jwt(iss=url))
            assert error(answer) == (401, "invalid_subject_token")
        assert other.asked == []


def test_a_job_is_told_when_its_issuer_cannot_be_asked(live: LiveProxy, issuer: Issuer, job: Job) -> None:
    issuer.fault = "down"
    trust(issuer)
    answer = job.exchange(issuer.jwt())
    assert error(answer) == (503, "issuer_unavailable")
    assert answer.headers["retry-after"] == "15"
    assert "it answers 500" in live.log()


def test_a_project_that_is_switched_off_gets_nothing(issuer: Issuer, job: Job) -> None:
    project = ProjectFactory.create()
    trust(issuer, project=project)
    issued(job, issuer)
    project.set_active(False, project.created_at)
    project.save()
    assert error(job.exchange(issuer.jwt())) == (403, "project_inactive")


def test_of_several_projects_the_job_names_one(issuer: Issuer, job: Job) -> None:
    web = ProjectFactory.create(name="web")
    trust(issuer, project=web)
    issued(job, issuer)
    trust(issuer)
    answer = job.exchange(issuer.jwt())
    assert (*error(answer), answer.json()["error"]["param"]) == (400, "bad_request", "audience")
    plain = job.exchange(issuer.jwt(), audience="web").json()["access_token"]
    assert AccessToken.objects.get(digest=digest(plain)).project == web


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"grant_type": "client_credentials"}, "grant_type"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "subject_token_type"),
        (
            {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
            "requested_token_type",
        ),
        ({"actor_token": "x"}, "actor_token"),
        ({"subject_token": ""}, "subject_token"),
    ],
)
def test_what_the_standard_has_and_we_do_not_is_refused(
    job: Job, parameters: dict[str, str], param: str
) -> None:
    answer = job.client.post("/token/exchange", data={**FORM, "subject_token": "x", **parameters})
    assert (*error(answer), answer.json()["error"]["param"]) == (400, "bad_request", param)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", b"grant_type=x"),
        ("application/json", b"[]"),
        ("application/json", b'{"grant_type": 1}'),
        ("application/json", b"{"),
        ("application/x-www-form-urlencoded", b"grant_type=x&grant_type=y"),
        ("application/x-www-form-urlencoded", b"a=%ff"),
        ("application/x-www-form-urlencoded", b"\xff"),
        ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % number for number in range(30))),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(job: Job, content_type: str, body: bytes) -> None:
    answer = job.client.post("/token/exchange", content=body, headers={"content-type": content_type})
    assert error(answer) == (400, "bad_request")


def test_other_methods_and_long_bodies_are_refused(job: Job) -> None:
    answer = job.client.get("/token/exchange")
    assert (*error(answer), answer.headers["allow"]) == (405, "method_not_allowed", "POST")
    assert error(job.exchange("x" * 70_000)) == (413, "request_too_large")


def test_who_fails_too_often_must_wait_and_others_need_not(live: LiveProxy, issuer: Issuer, job: Job) -> None:
    trust(issuer)
    issued(job, issuer)
    answers = [job.exchange("guess") for _ in range(40)]
    assert error(answers[0]) == (401, "invalid_subject_token")
    assert error(answers[-1]) == (429, "rate_limit_exceeded")
    assert int(answers[-1].headers["retry-after"]) > 0
    assert job.exchange(issuer.jwt()).status_code == 429
    other = Job(live)
    with other.client:
        assert [other.exchange(issuer.jwt()).status_code for _ in range(40)] == [200] * 40
