"""docs/licences.md, the licences of what the server is installed with. `make licences` writes it anew."""

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILE = ROOT / "docs/licences.md"
TITLE = """# Licences

LLM Proxy is under the [MIT licence](../LICENSE). These packages are installed with it (`requirements.txt`,
and `requirements-traces.txt` and `requirements-fast.txt` in the image), each under the licence that it
declares itself:

| package | licence |
|---|---|
"""
OF_CLASSIFIER = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "MIT License": "MIT",
}
OF_WORDS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "MIT License": "MIT",
}


def table() -> dict[str, str]:
    """What is locked, and is installed on this platform."""
    files = ("requirements.txt", "requirements-traces.txt", "requirements-fast.txt")
    lines = "".join((ROOT / name).read_text() for name in files)
    locked = set(re.findall(r"^([a-z0-9-]+)(?:\[.*?\])?==", lines, re.MULTILINE))
    found: dict[str, str] = {}
    for name in sorted(locked):
        try:
            found[name] = licence(name)
        except PackageNotFoundError:
            continue
    return found


def licence(name: str) -> str:
    """Raises PackageNotFoundError."""
    told = metadata(name)
    if "License-Expression" in told:
        return told["License-Expression"]
    words = told["License"].strip() if "License" in told else ""
    if words and "\n" not in words and not words.startswith("Copyright") and words != "BSD":
        return OF_WORDS.get(words, words)
    classified = [
        each.rpartition(" :: ")[2] for each in told.get_all("Classifier") or [] if "License ::" in each
    ]
    return ", ".join(OF_CLASSIFIER.get(each, each) for each in classified)


def line(name: str, its_licence: str) -> str:
    return f"| {name} | {its_licence} |"


if __name__ == "__main__":
    lines = [line(*each) for each in table().items()]
    FILE.write_text(TITLE + "\n".join(lines) + "\n", encoding="utf-8")
