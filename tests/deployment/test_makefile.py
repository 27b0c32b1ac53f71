"""What `make` takes for done is done, and is not done again."""

import re
from pathlib import Path

from django.conf import settings

MAKEFILE = (Path(settings.BASE_DIR) / "Makefile").read_text(encoding="utf-8")
RULE = re.compile(r"^\$\((\w*STAMP)\): .*\n((?:\t.*\n)+)", re.MULTILINE)


def test_every_installation_leaves_the_file_that_says_so() -> None:
    rules = dict(RULE.findall(MAKEFILE))

    assert set(rules) == set(re.findall(r"^(\w*STAMP) = ", MAKEFILE, re.MULTILINE))
    assert [name for name, lines in rules.items() if not lines.endswith("\ttouch $@\n")] == []
