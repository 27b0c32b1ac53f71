import re

from tests.licences import FILE, TITLE, line, table

TABLE = table()
PERMITTED = re.compile(
    r"(MIT(-0)?|BSD(-[23]-Clause)?|Apache-2\.0|PSF-2\.0|MPL-2\.0|LGPL-3\.0-only|ZPL-2\.1|Unlicense|TCL"
    r"| AND | OR )+"
)


def test_every_package_is_listed_with_its_licence() -> None:
    listed = set(FILE.read_text(encoding="utf-8").splitlines())

    assert {line(*each) for each in TABLE.items()} - listed == set(), "run `make licences`"


def test_no_licence_binds_those_who_run_the_product() -> None:
    assert {name: each for name, each in TABLE.items() if not PERMITTED.fullmatch(each)} == {}


def test_nothing_else_is_listed() -> None:
    text = FILE.read_text(encoding="utf-8")

    assert text.startswith(TITLE)
    assert len(text.removeprefix(TITLE).splitlines()) <= len(TABLE) + 1  # what only older Pythons need
