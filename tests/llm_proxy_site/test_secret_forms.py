"""What secrets look like."""

import pytest

from llm_proxy_site.secret_forms import without_secrets

KEY = "sk-abcdefgh1234567890abcdefgh"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"/v1/files/{KEY}/content", "/v1/files/[redacted]/content"),
        (f"before\\n{KEY}", "before\\n[redacted]"),
        (f"before\\u0026{KEY}", "before\\u0026[redacted]"),
        (f"before\\x26{KEY}", "before\\x26[redacted]"),
        (f"a=b%3D{KEY}%26", "a=b%3D[redacted]%26"),
        ("tkn_AZqk8zH1cyK0pQ2vN4x6bw", "[redacted]"),
        ("xapp-1-A0123456789-0123456789", "[redacted]"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nlQ\n-----END PGP PRIVATE KEY BLOCK-----.", "[redacted]."),
    ],
)
def test_a_secret_goes_wherever_it_stands(text: str, kept: str) -> None:
    assert without_secrets(text) == kept


@pytest.mark.parametrize(
    "text", ["/v1/models/ft:gpt-4o:task-abcdefgh:x", "disk-partitioning", "/v1/chat/completions", "tkn_short"]
)
def test_other_words_stay(text: str) -> None:
    assert without_secrets(text) == text
