"""Runs the notebooks of docs/notebooks, and turns them into pages with what they print and draw."""

import os
import re
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/notebooks"
# Commands print no colours and no bars of progress, for which the kernel asks them.
# The warning of a fork comes of starting a command beside JAX, which does no harm to the command.
_PLAIN = (
    "import os, warnings; os.environ['FORCE_COLOR'] = ''; "
    "warnings.filterwarnings('ignore', message='.*os.fork')"
)
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
SECONDS = 600  # for one cell at most; on an idle machine a whole notebook takes one minute


def pages() -> dict[str, str | bytes]:
    """Runs every notebook, and returns its page and pictures by their addresses in the site.

    With the environment's NOTEBOOKS=0 they are shown without being run.

    Raises: CellExecutionError where a cell fails; the message has the cell and the error.
    """
    # Late, since the quick test of the pages needs none of it.
    import jupytext
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_core.utils import run_sync
    from nbclient import NotebookClient
    from nbconvert import MarkdownExporter

    files: dict[str, str | bytes] = {}
    run = os.environ.get("NOTEBOOKS", "1") != "0"
    for path in sorted(FOLDER.glob("*.py")):
        notebook = jupytext.read(path)
        if run:
            start = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as sockets:
                # A reader's own folder, with the repository's configs in it.
                (Path(folder) / "configs").symlink_to(ROOT / "configs")
                with _environment(folder):
                    # Sockets of files: nothing of the kernel is on a network.
                    kernel = AsyncKernelManager(kernel_name="python3", transport="ipc")
                    kernel.ip = f"{sockets}/kernel"
                    client = NotebookClient(notebook, kernel, timeout=SECONDS)
                    client.startup_timeout = SECONDS
                    client.resources = {"metadata": {"path": folder}}
                    client.extra_arguments = [f"--IPKernelApp.exec_lines={_PLAIN}"]
                    try:
                        client.execute()
                    finally:
                        run_sync(kernel.shutdown_kernel)(now=True)
            print(f"{path.name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                if "text" in output:
                    output["text"] = _ESCAPE.sub("", output["text"])
        name = path.stem
        text, resources = MarkdownExporter().from_notebook_node(
            notebook, resources={"output_files_dir": f"{name}_files"}
        )
        files[f"notebooks/{name}.md"] = text
        for file, content in resources["outputs"].items():
            files[f"notebooks/{file}"] = content
    return files


class _environment:  # noqa: N801 (it is used as a function)
    """The environment of a notebook's commands: this Python first, and the CPU alone."""

    def __init__(self, folder: str) -> None:
        binaries = str(Path(sys.executable).parent)
        self.values = {
            "PATH": os.pathsep.join([binaries, os.environ.get("PATH", "")]),
            "JAX_PLATFORMS": "cpu",
            "TERM": "dumb",
            "COLUMNS": "100",
            "PYTHONPATH": os.pathsep.join([str(ROOT), folder]),
            "JUPYTER_PLATFORM_DIRS": "1",
            # The notebooks' runs are much alike, and so are their programs.
            "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".cache/notebooks"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.3",
        }

    def __enter__(self) -> None:
        self.before = {key: os.environ.get(key) for key in self.values}
        os.environ.update(self.values)

    def __exit__(self, *_: object) -> None:
        for key, value in self.before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
