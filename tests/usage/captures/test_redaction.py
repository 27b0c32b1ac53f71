"""What is taken out of documents before they are kept."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_proxy_site.secret_forms import REDACTED
from tests.usage.captures.test_prefix import DOCUMENTS, TEXTS
from usage.captures.body import KeptBody, kept
from usage.captures.raw import RawBody
from usage.captures.redaction import Redaction, is_secret

MARKER = "Xyzzy0123456789"
"""What must not be kept."""
SECRETS = [
    f"sk-wt-{MARKER}",
    f"sk-mg-{MARKER}",
    f"sk-{MARKER}",
    f"sk-proj-{MARKER}",
    f"password={MARKER}",
    f'"api_key": "{MARKER}"',
    f"Authorization: Bearer {MARKER}",
    f"https://ada:{MARKER}@example.com/",
    f"ghp_{MARKER}{MARKER}",
    f"eyJhbGciOiJIUzI1NiJ9.{MARKER}.sig",
    f"-----BEGIN RSA PRIVATE KEY-----\n{MARKER}\n-----END RSA PRIVATE KEY-----",
    f"-----BEGIN PRIVATE KEY-----\n{MARKER}",
    f"data:image/png;base64,{MARKER}==",
    f"{MARKER}{'A' * 600}",
    f"{MARKER}@example.com",
    json.dumps({"arguments": {"password": MARKER}}),
    json.dumps([{"inner": json.dumps({"client_secret": MARKER})}]),
]
NAMES = [
    "password",
    "apiKey",
    "client_secret",
    "x-api-key",
    "Authorization",
    "token",
    "accessToken",
    "headers",
]


def body(data: bytes, max_bytes: int = 10**6, media_type: str = "application/json") -> KeptBody:
    raw = RawBody(media_type, size_bytes=len(data), data=bytearray(data[:max_bytes]))
    return kept(raw, Redaction(["messages[].content", "**.ssn", "user"]), max_bytes)


def planted(document: Any, where: st.DataObject, secret: Any) -> Any:
    """A document with the secret somewhere in it."""
    if isinstance(document, list) and document and where.draw(st.booleans()):
        place = where.draw(st.integers(0, len(document) - 1))
        return [planted(each, where, secret) if at == place else each for at, each in enumerate(document)]
    if isinstance(document, dict) and document and where.draw(st.booleans()):
        place = where.draw(st.sampled_from(sorted(document)))
        return {**document, place: planted(document[place], where, secret)}
    return {"before": document, **secret} if isinstance(secret, dict) else [document, secret]


def assert_gone(text: str | None) -> None:
    assert text is not None
    assert MARKER[:6] not in text


@given(DOCUMENTS, st.sampled_from(SECRETS), TEXTS, st.booleans(), st.data())
def test_a_secret_in_a_text_is_not_kept_wherever_it_stands_and_a_body_is_cut(
    document: Any, secret: str, before: str, is_ascii: bool, data: st.DataObject
) -> None:
    found = planted(document, data, f"{before} {secret} and more")
    if secret.startswith(("{", "[")):
        found = planted(document, data, secret)
    text = json.dumps(found, ensure_ascii=is_ascii).encode()
    assert_gone(body(text).text)
    assert_gone(body(text, data.draw(st.integers(2, len(text)))).text or "")
    events = b"event: x\ndata: " + text + b"\n\ndata: [DONE]\n\n"
    assert_gone(body(events, media_type="text/event-stream").text)
    assert_gone(body(events, data.draw(st.integers(2, len(events))), "text/event-stream").text)


@given(DOCUMENTS, st.sampled_from([*NAMES, "ssn"]), st.data())
def test_what_is_called_like_a_secret_is_not_kept(document: Any, name: str, data: st.DataObject) -> None:
    value = data.draw(st.sampled_from([MARKER, [MARKER], {"value": MARKER}, f"{MARKER} of many words"]))
    text = json.dumps(planted(document, data, {name: value})).encode()
    assert_gone(body(text).text)
    assert_gone(body(text, data.draw(st.integers(2, len(text)))).text or "")


@given(DOCUMENTS)
def test_the_whole_of_a_document_stays_one(document: Any) -> None:
    found = body(json.dumps(document).encode())
    assert found.text is not None
    json.loads(found.text)


def test_names_of_the_project_are_redacted_where_they_lead() -> None:
    document = {
        "user": "ada",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, {"content": None}],
        "metadata": {"user": "kept", "ssn": 123, "messages": [{"content": "kept"}]},
    }
    found = json.loads(body(json.dumps(document).encode()).text or "")
    assert found == {
        "user": REDACTED,
        "messages": [{"role": "user", "content": REDACTED}, {"content": REDACTED}],
        "metadata": {"user": "kept", "ssn": REDACTED, "messages": [{"content": "kept"}]},
    }


def test_of_a_short_text_that_was_cut_the_last_word_goes_too() -> None:
    for data, kept_text in ((b'{"a": "my sk-w', "my "), (b'{"a": "sk-w', ""), (b'{"a": "pass', "")):
        raw = RawBody("application/json", size_bytes=len(data) + 9, data=bytearray(data))
        assert json.loads(kept(raw, Redaction(), len(data)).text or "") == {"a": kept_text}


def test_what_a_project_names_goes_whatever_it_is() -> None:
    found = body(b'{"ssn": null, "user": true, "token": null, "secret": false, "password": 1}').text
    assert json.loads(found or "") == {
        "ssn": REDACTED,
        "user": REDACTED,
        "token": None,
        "secret": False,
        "password": REDACTED,
    }


def test_a_member_that_is_there_twice_is_kept_once() -> None:
    assert json.loads(body(b'{"user": "ada", "a": 1, "user": "eve"}').text or "") == {
        "user": REDACTED,
        "a": 1,
    }


@pytest.mark.parametrize("name", NAMES)
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "max_tokens",
        "prompt_tokens",
        "token_ids",
        "content",
        "keys",
        "key",
        "secretary",
        "tokenizer",
        "author",
    ],
)
def test_other_names_are_not_taken_for_secrets(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    "text", ["The task is easy, isn't it?", "max_tokens=100", "a data: url", "2 * [3]", "user at example.com"]
)
def test_usual_words_stay(text: str) -> None:
    assert Redaction().text(text) == text


def test_addresses_stay_where_a_project_says_so() -> None:
    assert Redaction(addresses=False).text("ada@example.com") == "ada@example.com"
    assert Redaction().text("Mail ada@example.com!") == f"Mail {REDACTED}!"


def test_pictures_in_texts_are_told_by_their_length() -> None:
    text = Redaction().text(f"See data:image/png;base64,{'QUJD' * 100} there")
    assert text == "See data:image/png;base64,[400 characters] there"


@pytest.mark.parametrize("max_bytes", [2**20, 2**20 - 10])
@pytest.mark.parametrize(
    "hostile",
    [
        *("eyJ", "eyJ" * 170 + " ", "a", "a" * 99_999 + " ", "://a:", "token ", "data:", "data:a;"),
        *("-----BEGIN A ", "a@", "sk-", "-sk-", "{", '[\\"', "password=", "aA", "\\\\"),
    ],
)
def test_no_text_takes_long(hostile: str, max_bytes: int) -> None:
    """The event loop waits meanwhile. What takes time by the square of its length would take minutes."""
    text = (hostile * (2**20 // len(hostile)))[: 2**20 - 20]
    data = b'{"a": "' + text.encode() + b'"}'
    raw = RawBody("application/json", size_bytes=2**20, data=bytearray(data[: max_bytes - 20]))
    began = time.thread_time()
    kept(raw, Redaction(), max_bytes)
    assert time.thread_time() - began < 20
