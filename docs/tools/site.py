"""The hooks of MkDocs: pages that are made of the code, links that hold in both places, checks."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from mkdocs.config.defaults import MkDocsConfig  # noqa: E402
from mkdocs.exceptions import PluginError  # noqa: E402
from mkdocs.structure.files import File, Files  # noqa: E402
from mkdocs.structure.pages import Page  # noqa: E402

from docs.tools import api, commands, links, notebooks, tables  # noqa: E402


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that lie elsewhere or are generated, and completes the navigation."""
    for source, page in links.FROM_ROOT.items():
        text = links.relinked((ROOT / source).read_text(), source, page)
        files.append(File.generated(config, page, content=text))
    for name in links.COPIED:
        files.append(File.generated(config, name, content=(ROOT / name).read_bytes()))
    generated: dict[str, str | bytes] = {
        "api/README.md": api.overview(),
        "commands.md": commands.page(),
        "config-keys.md": commands.config_keys(),
        **{f"api/{package}.md": api.page(package) for package in api.packages()},
        **notebooks.pages(),
    }
    for page, content in generated.items():
        files.append(File.generated(config, page, content=content))
    there = [file.src_uri for file in files.documentation_pages()]
    config.nav = navigation(config.nav or [], there)
    return files


def navigation(entries: list, pages: list[str]) -> list:
    """Returns a navigation's entries with their pages: `folder/*` stands for those without a name.

    An entry whose page is not there is left out: a part of the docs may not be installed yet.
    """
    named = {entry for section in entries for entry in next(iter(section.values()))}
    complete = []
    for section in entries:
        ((title, names),) = section.items()
        listed: list[str] = []
        for name in names:
            if name.endswith("*"):
                below = [page for page in pages if page.startswith(name[:-1])]
                listed += [page for page in _ordered(below) if page not in named]
            elif name in pages:
                listed.append(name)
        complete.append({title: listed})
    return complete


def _ordered(pages: list[str]) -> list[str]:
    """Returns the reference's pages in the packages' order, others by name."""
    order = {f"api/{package}.md": index for index, package in enumerate(api.packages())}
    return sorted(pages, key=lambda page: (order.get(page, -1), page))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Makes a page's links hold in the site, and adds what is generated for it."""
    source = page.file.src_uri
    if page.file.generated_by is None:
        markdown = links.relinked(markdown, f"docs/{source}", source)
    if source in tables.ADDED:
        markdown = tables.ADDED[source](markdown)
    return markdown


def on_post_build(config: MkDocsConfig) -> None:
    """Fails where a link is broken, a file would be fetched, or a public name is missing."""
    site = Path(config.site_dir)
    found = list(links.faults(site))
    for package in api.packages():
        anchors = links.anchors(site / f"api/{package}.html")
        found += [
            f"api/{package}.html: has no {name}"
            for name in api.expected(package)
            if name not in anchors
        ]
    if found:
        raise PluginError("\n".join(["the site has faults:", *dict.fromkeys(found)]))
