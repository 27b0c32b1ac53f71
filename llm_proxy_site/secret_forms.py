"""What secrets look like, wherever they stand in a text. Pure, and in linear time."""

import re

REDACTED = "[redacted]"

_BEGINS = (
    r"(?:(?<![A-Za-z0-9])|(?<=\\[abfnrtv])"
    r"|(?<=\\x[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})|(?<=%[0-9A-Fa-f]{2}))"
)
"""Not in the midst of a word; what is left of an escape in a text in a text, or in a URL, is none."""
_SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)"
    r"|sk-(?:wt|mg|proj|svcacct|admin)-[A-Za-z0-9_-]+"
    rf"|{_BEGINS}(?:sk|rk|ek)[-_][A-Za-z0-9_-]{{8,}}"
    rf"|{_BEGINS}tkn_[A-Za-z0-9_-]{{22,}}"
    rf"|{_BEGINS}(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|xapp-|AKIA|ASIA|AIza)[A-Za-z0-9_-]{{10,}}"
    rf"|{_BEGINS}eyJ[A-Za-z0-9_-]{{8,}}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?",
    re.DOTALL,
)
_MARKS = (
    *("sk-", "sk_", "rk-", "rk_", "ek-", "ek_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    *("tkn_", "glpat-", "xox", "xapp-", "AKIA", "ASIA", "AIza", "eyJ", "-----BEGIN"),
)
"""What has none of these has none of those: to look for them takes a hundredth of the time."""


def without_secrets(text: str) -> str:
    for mark in _MARKS:
        if mark in text:
            return _SECRETS.sub(REDACTED, text)
    return text
