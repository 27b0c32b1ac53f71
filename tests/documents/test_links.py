"""Links within the documents lead to a file, and to a heading of it; every page is in the site's menu."""

import tomllib

import pytest

from tests.documents.blocks import DOCUMENTS, ROOT, anchors, links


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    for link in links(document):
        path, _, anchor = link.partition("#")
        if "://" in path or path.startswith("mailto:"):
            continue
        target = (ROOT / document).parent / path if path else ROOT / document
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target.resolve().relative_to(ROOT.resolve()).as_posix()), link


def test_every_page_is_in_the_menu_of_the_site() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    pages = [page for group in site["project"]["nav"] for page in in_menu(group)]
    assert sorted(f"docs/{page}" for page in pages) == [
        page for page in DOCUMENTS if page.startswith("docs/")
    ]


@pytest.mark.parametrize(("first", "folder"), [("docs/index.md", "docs/"), ("README.md", "")])
def test_every_page_is_on_the_first_page(first: str, folder: str) -> None:
    pages = {page for page in DOCUMENTS if page.startswith("docs/")} - {"docs/index.md"}
    assert pages <= {f"{folder}{link.partition('#')[0]}" for link in links(first)}


def test_the_site_has_nothing_that_its_theme_fetches_from_elsewhere() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    assert site["project"]["theme"]["font"] is False
    assert "mermaid" not in str(site["project"]["markdown_extensions"])


def in_menu(group: dict[str, str | list[dict[str, str]]]) -> list[str]:
    (content,) = group.values()
    return [content] if isinstance(content, str) else [page for entry in content for page in entry.values()]
