"""Models on the Hugging Face hub: one file and its card in a repository, "hf://owner/name".

The package huggingface_hub (the extra `hub`) is imported only when such a name is met. It looks for
a token where its own command line leaves one, and keeps what was fetched.
"""

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ldl_jax.extras import needed
from ldl_jax.files import from_home
from ldl_jax.predict import one_file
from ldl_jax.predict.one_file import Notes

PREFIX = "hf://"
FILE, CARD = "model.safetensors", "README.md"
_PART = r"[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9])?"
_NAME = re.compile(rf"({_PART}/{_PART})(?:@([\w./-]+))?", re.ASCII)


class HubName(NamedTuple):
    """A repository of the hub, and its branch, tag or commit; "" for its newest state."""

    repository: str
    revision: str


def is_hub(path: str | os.PathLike[str]) -> bool:
    """Returns whether a path is a name on the hub."""
    return os.fspath(path).startswith(PREFIX)


def parsed(name: str) -> HubName:
    """Returns what a name on the hub says.

    Raises:
      ValueError: it is no such name.

    Examples:
      >>> parsed("hf://owner/name@v1")
      HubName(repository='owner/name', revision='v1')
    """
    match = _NAME.fullmatch(name.removeprefix(PREFIX))
    if not match or ".." in name or not name.startswith(PREFIX):
        raise ValueError(f"expected hf://owner/name or hf://owner/name@revision, got {name!r}")
    return HubName(match[1], match[2] or "")


def local(path: str | os.PathLike[str]) -> Path:
    """Returns where a path is here: a name on the hub is fetched, and "~" is the user's folder.

    Raises:
      ValueError: as in `fetched`, or there is no such user.
    """
    return fetched(os.fspath(path)) if is_hub(path) else Path(from_home(path))


def fetched(name: str) -> Path:
    """Fetches the model of a repository, once, and returns its file here.

    Raises:
      ValueError: the package is not installed, the hub cannot be reached and the file was not
        fetched before, there is no such repository, revision or file, or a token is missing.
    """
    wanted = parsed(name)
    api = _package()
    try:
        with _quiet():
            path = api.hf_hub_download(wanted.repository, FILE, revision=wanted.revision or None)
    except Exception as error:  # those of the package, of its HTTP client and of the system
        raise ValueError(f"{name}: {_reason(error, wanted)}") from error
    return Path(path)


def check_writable(name: str) -> None:
    """Checks a name that is pushed to, and that the package is there.

    Raises:
      ValueError: it is no name on the hub, or one of a revision, or the package is not installed.
    """
    if parsed(name).revision:
        raise ValueError(f"a new state has no revision yet: give {name.partition('@')[0]}")
    _package()


def push(predictor: one_file.Kept, notes: Notes, name: str, *, dtype: str = "float32") -> str:
    """Puts a model as one file, and its card, into a repository, in one commit.

    The repository is made where there is none.

    Returns:
      the commit's address.

    Raises:
      ValueError: as in `fetched`.
    """
    check_writable(name)
    wanted = parsed(name)
    package = _package()
    content = one_file.dumps(predictor, dtype=dtype, notes=notes)
    try:
        api = package.HfApi()
        api.create_repo(wanted.repository, exist_ok=True)
        added = [
            package.CommitOperationAdd(FILE, content),
            package.CommitOperationAdd(CARD, notes.card.encode()),
        ]
        commit = api.create_commit(
            wanted.repository, added, commit_message="Add the model and its card"
        )
    except Exception as error:  # those of the package, of its HTTP client and of the system
        raise ValueError(f"{name}: {_reason(error, wanted)}") from error
    return str(commit.commit_url)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the package from logging each try to reach the hub: what matters it also raises."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _package() -> Any:
    return needed("huggingface_hub", "the hub", "hub")


def _reason(error: Exception, wanted: HubName) -> str:
    """Returns what went wrong, in a line."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    detail = " ".join(str(error).split())[:200]
    if "GatedRepoError" in kinds:
        return "its owner has to let you in first, and your token has to say who you are"
    if "RepositoryNotFoundError" in kinds:
        return (
            "the hub has no such repository, or it is private and needs a token "
            "(`hf auth login`, or HF_TOKEN)"
        )
    if "RevisionNotFoundError" in kinds:
        return f"the repository has no revision {wanted.revision!r}"
    if "LocalEntryNotFoundError" in kinds:
        return "the hub cannot be reached, and the file was not fetched before"
    if "EntryNotFoundError" in kinds:
        return f"the repository has no {FILE}, so it holds no model of this library"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if "LocalTokenNotFoundError" in kinds or status == 401:
        return "the hub asks for a token that it knows (`hf auth login`, or HF_TOKEN)"
    if status == 403:
        return "the token does not allow that"
    return f"the hub said no, or nothing ({type(error).__name__}: {detail})"
