"""What the documents show: their code blocks, headings and links, as a reader of Markdown sees them.

By the parser that rich brings along. Libraries that run examples (Sybil, pytest-examples, mktestdocs) do so
one by one, and know Python: here a document's lines follow from each other, in a shell, on one server.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted(
    file.relative_to(ROOT).as_posix()
    for folder, pattern in ((ROOT, "[A-Z]*.md"), (ROOT / "docs", "**/*.md"))
    for file in folder.glob(pattern)
)


@dataclass(frozen=True, slots=True)
class Block:
    document: str
    line: int
    language: str
    """Empty: none is said."""
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(document: str, language: str | None = None) -> list[Block]:
    found = [
        Block(document, token.map[0] + 1 if token.map else 0, token.info.partition(" ")[0], token.content)
        for token in tokens(document)
        if token.type in ("fence", "code_block")
    ]
    return [block for block in found if language in (None, block.language)]


def documents_with(language: str) -> list[str]:
    return [document for document in DOCUMENTS if blocks(document, language)]


def commands(block: Block) -> Iterator[str]:
    """Of a block for the shell: its lines, those that go on behind a backslash in one."""
    yield from re.findall(r"(?:.*\\\n)*.+", block.text)


def tokens(document: str) -> list[Token]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)


def anchors(document: str) -> set[str]:
    """Of its headings, as GitHub makes them."""
    made: set[str] = set()
    parsed = tokens(document)
    for opening, inline in pairwise(parsed):
        if opening.type != "heading_open":
            continue
        words = "".join(
            child.content for child in inline.children or () if child.type in ("text", "code_inline")
        )
        anchor = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        suffix = 0
        while (unique := f"{anchor}-{suffix}" if suffix else anchor) in made:
            suffix += 1
        made.add(unique)
    return made


def links(document: str) -> list[str]:
    """The targets of links and pictures."""
    targets = []
    for token in tokens(document):
        for child in (token, *(token.children or ())):
            if child.type in ("link_open", "image"):
                targets.append(str(child.attrs.get("href") or child.attrs.get("src")))
            elif child.type in ("html_block", "html_inline"):
                targets += re.findall(r'(?:href|src)="([^"]+)"', child.content)
    return targets
