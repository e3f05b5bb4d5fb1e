"""Finds where the repository's files are in the site, and the site's links that are broken."""

import posixpath
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[2]
# The pages that lie above docs/, and their places in the site.
FROM_ROOT = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
# Files that are copied into the site as they are.
COPIED = ("CITATION.cff", "LICENSE")
_LINK = re.compile(r"\[([^][]*)\]\((?![a-z]+:|#|/)([^)\s#]+)(#[^)\s]*)?(?:\s[^)]*)?\)")
_ANCHOR_OF_CODE = re.compile(r"(ldl_jax/(\w+)(?:/[\w/]+)?)\.py")
# Elements that fetch what their attribute names as soon as a page is opened.
_FETCHING = {("link", "href"), ("script", "src"), ("img", "src"), ("iframe", "src")}
_STYLE_FETCHES = re.compile(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//")


def relinked(markdown: str, source: str, page: str) -> str:
    """Returns a page's text whose links, which hold in the repository, hold in the site.

    Args:
      markdown: the text.
      source: the file that it is in, from the repository's root, as `docs/data.md`.
      page: the page that it becomes, from the site's root, as `data.md`.
    """

    def moved(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
        address = _in_site(target, match[3] or "")
        if address is None:
            return match[1]
        start = posixpath.dirname(page) or "."
        path, hash_, anchor = address.partition("#")
        shown = _title(target) if match[1].endswith(".md") else match[1]
        return f"[{shown}]({posixpath.relpath(path, start)}{hash_}{anchor})"

    return _LINK.sub(moved, markdown)


def _title(source: str) -> str:
    """Returns a page's heading, which the site shows where the repository has a file's name."""
    heading = re.search(r"^# (.+)$", (ROOT / source).read_text(), re.MULTILINE)
    return heading[1] if heading else source


def _in_site(target: str, anchor: str) -> str | None:
    """Returns the address of a file of the repository; None where the site has none of it."""
    code = _ANCHOR_OF_CODE.fullmatch(target)
    if code:
        return f"api/{code[2]}.md#{code[1].replace('/', '.')}"
    command = re.fullmatch(r"launch/(\w+)\.py", target)
    if command:
        return f"commands.md#launch{command[1]}"
    if target.startswith("docs/notebooks/"):
        target = target.replace(".py", ".md")
    if (ROOT / target).is_dir():
        target = f"{target}/README.md"
    if target in FROM_ROOT or target in COPIED:
        return FROM_ROOT.get(target, target) + anchor
    return target.removeprefix("docs/") + anchor if target.startswith("docs/") else None


class _Page(HTMLParser):
    """The anchors of a page, and what it links to and fetches."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)
            if name in ("href", "src"):
                self.links.append(value)
            if (tag, name) in _FETCHING and dict(attrs).get("rel") != "canonical":
                self.fetched.append(value)


def faults(site: Path) -> Iterator[str]:
    """Yields a line for each broken link or anchor of a site, and each foreign file it fetches.

    Links to other servers are left alone: a reader follows them, or does not.
    """
    pages = {}
    for file in sorted(site.rglob("*.html")):
        pages[file] = _Page()
        pages[file].feed(file.read_text())
    for file, page in pages.items():
        name = file.relative_to(site)
        for address in page.fetched:
            if urlsplit(address).netloc:
                yield f"{name}: fetches {address} from another server"
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link.startswith("javascript"):
                continue
            target = file if not parts.path else _file(site, file, unquote(parts.path))
            if not target.exists():
                yield f"{name}: links to {link}, which is not there"
            elif parts.fragment and target in pages:
                anchor = unquote(parts.fragment)
                if anchor not in pages[target].anchors and not anchor.startswith("__"):
                    yield f"{name}: links to {link}, but that page has no such heading"
    for file in sorted(site.rglob("*.css")):
        if _STYLE_FETCHES.search(file.read_text()):
            yield f"{file.relative_to(site)}: fetches from another server"


def anchors(file: Path) -> set[str]:
    """Returns the anchors of a page of a built site."""
    page = _Page()
    page.feed(file.read_text())
    return page.anchors


def _file(site: Path, page: Path, path: str) -> Path:
    target = site / path.lstrip("/") if path.startswith("/") else page.parent / path
    target = Path(posixpath.normpath(PurePosixPath(target)))
    return target / "index.html" if target.is_dir() else target


if __name__ == "__main__":
    found = list(faults(Path(sys.argv[1])))
    print(*found, sep="\n")
    sys.exit(bool(found))
