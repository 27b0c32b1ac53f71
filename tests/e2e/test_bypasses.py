"""Tricks by which a request could be one thing to the proxy and another to upstream: none gets through."""

import gzip
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.test_rules import post, token, told
from tests.factories import ProjectFactory, issue_token
from tests.live import LiveProxy, eventually
from usage.models import UsageRecord

CHEAP, DEAR = "gpt-4o-mini", "gpt-4o"
RULES = {
    "models": [CHEAP],
    "parameters": [
        {"name": "max_tokens", "maximum": 2000},
        {"name": "tools[].type", "forbidden_values": ["web_search"]},
    ],
}
OK = b'{"model":"gpt-4o-mini","max_tokens":5,"messages":[]}'
JSON = {"content-type": "application/json"}
UTF7, LATIN1 = (
    {"content-type": f"application/json; charset={charset}"} for charset in ("utf-7", "iso-8859-1")
)
UTF16 = json.dumps({"model": DEAR}).encode("utf-16")

BODIES: dict[str, tuple[bytes, dict[str, str]]] = {
    "model twice, the cheap one last": (b'{"model":"gpt-4o","model":"gpt-4o-mini"}', JSON),
    "model twice, the cheap one first": (b'{"model":"gpt-4o-mini","model":"gpt-4o"}', JSON),
    "model twice, one escaped": (b'{"mod\\u0065l":"gpt-4o","model":"gpt-4o-mini"}', JSON),
    "model escaped only": (b'{"\\u006dodel":"gpt-4o"}', JSON),
    "model in another case": (b'{"model":"gpt-4o-mini","Model":"gpt-4o"}', JSON),
    "model with a NUL": (b'{"model":"gpt-4o-mini","model\\u0000":"gpt-4o"}', JSON),
    "no model": (b'{"messages":[]}', JSON),
    "model null": (b'{"model":null}', JSON),
    "model in a list": (b'{"model":["gpt-4o"]}', JSON),
    "models to fall back to": (b'{"model":"gpt-4o-mini","models":["gpt-4o"]}', JSON),
    "max_tokens twice": (b'{"model":"gpt-4o-mini","max_tokens":9999,"max_tokens":5}', JSON),
    "max_tokens as text": (b'{"model":"gpt-4o-mini","max_tokens":"9999"}', JSON),
    "max_tokens in exponents": (b'{"model":"gpt-4o-mini","max_tokens":1e9}', JSON),
    "max_tokens with a Kelvin sign": ('{"model":"gpt-4o-mini","max_to\u212aens":9999}'.encode(), JSON),
    "tool type twice": (
        b'{"model":"gpt-4o-mini","tools":[{"type":"web_search","type":"function"}]}',
        JSON,
    ),
    "tools as an object": (b'{"model":"gpt-4o-mini","tools":{"type":"web_search"}}', JSON),
    "tools in a nested list": (b'{"model":"gpt-4o-mini","tools":[[{"type":"web_search"}]]}', JSON),
    "byte order mark": (b"\xef\xbb\xbf" + OK, JSON),
    "UTF-16": (UTF16, JSON),
    "UTF-16, and said so": (UTF16, {"content-type": "application/json; charset=utf-16"}),
    "UTF-32": (json.dumps({"model": DEAR}).encode("utf-32"), JSON),
    "UTF-7": (b'{"model":"gpt-4o-mini","+AG0-odel":"gpt-4o"}', UTF7),
    "another charset": (b'{"model":"gpt-4o"}', LATIN1),
    "not UTF-8": (b'{"model":"gpt-4o-mini","x":"\xff"}', JSON),
    "NaN": (b'{"model":"gpt-4o-mini","x":NaN}', JSON),
    "two documents": (b'{"model":"gpt-4o-mini"}{"model":"gpt-4o"}', JSON),
    "a comment": (b'{"model":"gpt-4o-mini"/*,"model":"gpt-4o"*/}', JSON),
    "compressed": (gzip.compress(b'{"model":"gpt-4o"}'), JSON | {"content-encoding": "gzip"}),
    "said to be compressed": (OK, JSON | {"content-encoding": "gzip"}),
    "another media type": (b'{"model":"gpt-4o"}', {"content-type": "text/plain"}),
    "no media type": (b'{"model":"gpt-4o"}', {"content-type": ""}),
    "urlencoded": (b"model=gpt-4o", {"content-type": "application/x-www-form-urlencoded"}),
    "JSON said to be a form": (OK, {"content-type": "multipart/form-data; boundary=x"}),
    "other multipart": (OK, {"content-type": "multipart/mixed; boundary=x"}),
    "empty": (b"", JSON),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("is_chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_that_hides_what_it_asks_for_is_refused(live: LiveProxy, name: str, is_chunked: bool) -> None:
    body, headers = BODIES[name]
    answer = httpx.post(
        f"{live.base_url}/chat/completions?m=bypass-marker",
        content=(part for part in (body[:9], body[9:])) if is_chunked else body,
        headers={"authorization": f"Bearer {token(RULES)}", **headers},
    )
    status, code, param = told(answer)
    assert (status, code) in ((400, "bad_request"), (403, "model_not_allowed"), (403, "param_not_allowed"))
    assert param
    assert live.upstream_requests("bypass-marker") == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"gpt-4o","model":"gpt-4o-mini","max_tokens":5}',
        b'{"model":"gpt-4o-mini","max_tokens":999999,"max_tokens":5}',
        b'{"model":"gpt-4o-mini","max_tokens":5,"n":100,"n":1}',
        b'{"model":"gpt-4o-mini","max_tokens":5,"MAX_TOKENS":999999}',
    ],
)
def test_a_reservation_is_not_tricked_by_what_is_said_twice(live: LiveProxy, body: bytes) -> None:
    _, plain = issue_token(daily_budget_microusd=1_000_000)
    answer = httpx.post(
        f"{live.base_url}/chat/completions?m=twice-marker",
        content=body,
        headers={"authorization": f"Bearer {plain}", **JSON},
    )
    assert told(answer)[:2] == (400, "bad_request")
    assert live.upstream_requests("twice-marker") == []


def part(name: str, text: str, more: str = "") -> bytes:
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{text}\r\n'.encode()


MODEL, OTHER, FILE = part("model", CHEAP), part("model", DEAR), part("file", "abc", '; filename="a.mp3"')
FORMS = {
    "two models": MODEL + OTHER + b"--x--\r\n",
    "a model in brackets": MODEL + part("model[]", DEAR) + b"--x--\r\n",
    "a model as a file": part("model", CHEAP, '; filename="f"') + b"--x--\r\n",
    "filename*": part("model", CHEAP, "; filename*=utf-8''f") + b"--x--\r\n",
    "name*": part("file", CHEAP, "; name*=utf-8''model") + b"--x--\r\n",
    "two names": part("file", CHEAP, '; name="model"') + b"--x--\r\n",
    "no end": MODEL + FILE,
    "more after the end": MODEL + b"--x--\r\n" + OTHER + b"--x--\r\n",
    "more before the beginning": b"x\r\n" + MODEL + b"--x--\r\n",
    "bare line feeds": (MODEL + b"--x--\r\n").replace(b"\r\n", b"\n"),
    "a boundary within a part": MODEL + part("y", f"\n--x\n{OTHER.decode()}") + b"--x--\r\n",
    "another case": MODEL + part("Model", DEAR) + b"--x--\r\n",
    "no model": FILE + b"--x--\r\n",
    "another model": OTHER + FILE + b"--x--\r\n",
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_that_hides_what_it_asks_for_is_refused(live: LiveProxy, name: str) -> None:
    answer = httpx.post(
        f"{live.base_url}/audio/transcriptions?m=form-marker",
        content=FORMS[name],
        headers={
            "authorization": f"Bearer {token(RULES)}",
            "content-type": "multipart/form-data; boundary=x",
        },
    )
    assert told(answer)[:2] in ((400, "bad_request"), (403, "model_not_allowed"))
    assert live.upstream_requests("form-marker") == []


FORM_TYPE, JSON_TYPE = b"multipart/form-data; boundary=x", b"application/json"
SEVERAL_TYPES = {
    "form and JSON": b"Content-Type: %b\r\nContent-Type: %b\r\n" % (FORM_TYPE, JSON_TYPE),
    "JSON and form": b"Content-Type: %b\r\nContent-Type: %b\r\n" % (JSON_TYPE, FORM_TYPE),
    "form and JSON in one": b"Content-Type: %b, %b\r\n" % (FORM_TYPE, JSON_TYPE),
    "JSON and form in one": b"Content-Type: %b, %b\r\n" % (JSON_TYPE, FORM_TYPE),
}
TYPES = SEVERAL_TYPES | {
    "form": b"Content-Type: %b\r\n" % FORM_TYPE,
    "form, to be dropped": b"Content-Type: %b\r\nConnection: content-type\r\n" % FORM_TYPE,
}


@pytest.mark.parametrize(
    ("path", "types"),
    [(path, types) for path in ("/chat/completions", "/assistants") for types in TYPES]
    + [("/skills", types) for types in SEVERAL_TYPES],
)
def test_what_may_be_no_form_is_looked_into(live: LiveProxy, path: str, types: str) -> None:
    answer = raw(live, token(RULES), TYPES[types], b'{"model":"gpt-4o"}', path=path)
    assert answer.startswith(b"HTTP/1.1 400")
    assert live.upstream_requests("raw-marker") == []


ELSEWHERE = {
    "/batches": {"input_file_id": "file-1", "endpoint": "/v1/responses"},
    "/evals": {"testing_criteria": [{"type": "label_model", "model": DEAR}]},
    "/evals/e/runs": {"data_source": {"type": "completions", "model": DEAR}},
    "/fine_tuning/alpha/graders/run": {"grader": {"type": "score_model", "model": DEAR}},
    "/fine_tuning/alpha/graders/validate": {"grader": {"type": "score_model", "model": DEAR}},
    "/fine_tuning/jobs": {"method": {"reinforcement": {"grader": {"model": DEAR}}}},
    "/videos/edits": {"video": {"id": "v"}, "prompt": "x"},
    "/videos/extensions": {"video": {"id": "v"}, "prompt": "x"},
    "/videos/v/remix": {"prompt": "x"},
    "/realtime/client_secrets": {"session": {"model": DEAR}},
}


@pytest.mark.parametrize("path", ELSEWHERE)
@pytest.mark.parametrize("decoy", [{}, {"model": CHEAP}], ids=["alone", "beside a decoy"])
def test_a_model_that_stands_elsewhere_is_refused(live: LiveProxy, path: str, decoy: dict[str, str]) -> None:
    project = ProjectFactory.create(permits_leading_past_us=True)
    _, plain = issue_token(project=project, rules={"models": [CHEAP]})
    answer = post(live, plain, ELSEWHERE[path] | decoy, f"{path}?m=elsewhere-marker")
    assert told(answer) == (403, "model_not_allowed", "model")
    assert live.upstream_requests("elsewhere-marker") == []


def test_in_shadow_mode_a_model_that_stands_elsewhere_is_noted(live: LiveProxy) -> None:
    issued, plain = issue_token(rules={"models": [CHEAP], "shadow": ["models"]})
    assert post(live, plain, ELSEWHERE["/evals/e/runs"], "/evals/e/runs").is_success
    record = eventually(lambda: UsageRecord.objects.filter(token=issued).first())
    assert record.shadow_refusals == "model_not_allowed"


@pytest.mark.parametrize(
    "lengths",
    [
        b"Content-Length: 18\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        b"Content-Length: 18\r\nContent-Length: 0\r\n",
        b"Content-Length: +18\r\n",
        b"Transfer-Encoding: identity, chunked\r\n",
    ],
)
def test_a_body_of_two_lengths_reaches_nothing(live: LiveProxy, lengths: bytes) -> None:
    body = b'12\r\n{"model":"gpt-4o"}\r\n0\r\n\r\n'
    answer = raw(live, token(RULES), lengths, body, has_length=True)
    assert answer == b"" or int(answer.split(b" ")[1]) in (400, 403, 501)
    assert live.upstream_requests("raw-marker") == []


@pytest.mark.parametrize("name", ["x-http-method-override", "x-http-method", "x-method-override"])
def test_the_method_is_that_of_the_first_line(live: LiveProxy, name: str) -> None:
    _, plain = issue_token(rules={"endpoints": ["GET /chat/completions"]})
    answer = httpx.request(
        "GET",
        f"{live.base_url}/chat/completions?m=override-{name}.",
        content=b'{"model":"gpt-4o"}',
        headers={"authorization": f"Bearer {plain}", name: "POST", "x-original-url": "/v1/files", **JSON},
    )
    assert answer.status_code < 500
    (request,) = live.upstream_requests(f"override-{name}.")
    assert request["method"] == "GET"
    assert not {name, "x-original-url"} & {header.lower() for header, _ in request["headers"]}


def raw(
    live: LiveProxy,
    plain: str,
    headers: bytes,
    body: bytes,
    *,
    has_length: bool = False,
    path: str = "/chat/completions",
) -> bytes:
    """The beginning of the answer to a request that no library would send."""
    parts: Any = urlsplit(live.url)
    length = b"" if has_length else b"Content-Length: %d\r\n" % len(body)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(
            f"POST /v1{path}?m=raw-marker HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode()
            + b"Authorization: Bearer "
            + plain.encode()
            + b"\r\n"
            + headers
            + length
            + b"\r\n"
            + body
        )
        return connection.recv(4096)
