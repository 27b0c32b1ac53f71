"""What the documents show is in a language that a test reads."""

import json
import re

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands

from tests.documents.blocks import DOCUMENTS, blocks, tokens

LANGUAGES = {"sh", "python", "js", "json", "yaml", "ini", "text", "nginx", "haproxy", "mermaid"}
PROGRAM = re.compile(r"(python|curl|make|docker|kubectl|git|export|echo)\b")
"""What begins so is for a shell, and is run."""
NOT_OURS = {"OPENAI_AGENTS_DISABLE_TRACING"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_blocks_say_their_language_and_are_of_it(document: str) -> None:
    for block in blocks(document):
        assert block.language in LANGUAGES, str(block)
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "text":
            assert not PROGRAM.match(block.text), str(block)
        elif block.language == "yaml":
            list(yaml.safe_load_all(block.text))
        elif block.language == "ini":
            names = set(re.findall(r"^([A-Z_]+)=", block.text, re.MULTILINE))
            assert names - NOT_OURS <= set(settings.ENVIRONMENT.names), str(block)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_in_sentences_are_there(document: str) -> None:
    for token in tokens(document):
        for child in token.children or ():
            if child.type == "code_inline":
                for name in re.findall(r"manage\.py ([a-z_]+)", child.content):
                    assert name in get_commands(), child.content
