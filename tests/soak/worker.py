"""Reads changed files in a process of its own, with bounded memory: worker.py FOLDER.

It takes lines of JSON, {"kind", "seed", "case"}, and answers each with {"outcome", "text"}.
"""

import json
import os
import random
import resource
import shutil
import sys
import traceback
import warnings
from pathlib import Path

from tests.soak import runs
from tests.soak.kinds import KINDS, Kind
from tests.soak.mutate import mutated

MEMORY = 4 * 2**30  # bytes above what the process has mapped once its libraries are loaded


class Sample:
    """A sound folder of a kind, in which one file at a time is changed."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        kind.make(folder)
        self.kind, self.folder = kind, folder
        self.content = {path: path.read_bytes() for path in _files(folder)}
        self.changed = [path for path in sorted(folder.glob(kind.files)) if path.is_file()]
        kind.read(folder)  # as it is, it can be read

    def judge(self, rng: random.Random) -> tuple[str, str]:
        """Returns what becomes of a change: "read", "refused", or what is wrong, and a text."""
        path = rng.choice(self.changed)
        content = mutated(rng, self.content[path])
        if content == self.content[path]:
            return "read", "nothing was changed"
        path.write_bytes(content)
        try:
            return self._judged(path)
        finally:
            path.write_bytes(self.content[path])

    def _judged(self, path: Path) -> tuple[str, str]:
        before = {file: file.stat().st_mtime_ns for file in _files(self.folder)}
        try:
            answer = self.kind.read(self.folder)
        except (ValueError, OSError) as error:
            text = str(error).replace("\n  - ", "; ")  # a list's faults, a line each
            if isinstance(error, json.JSONDecodeError | UnicodeError) or not text.isprintable():
                return "traceback", f"a line for the user: {type(error).__name__}: {text!r}"
            outcome = "refused", text
        except MemoryError:
            return "memory", "".join(traceback.format_exc())[-600:]
        except Exception:
            return "traceback", "".join(traceback.format_exc())[-900:]
        else:
            objection = self.kind.objects(path, answer)
            outcome = ("answered", objection) if objection else ("read", "")
        after = {file: file.stat().st_mtime_ns for file in _files(self.folder)}
        return outcome if before == after else ("written", "a reader changed the folder")


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def main() -> None:
    """Answers until there are no more lines."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    warnings.simplefilter("ignore")
    root, samples = Path(sys.argv[1]), {}
    for line in sys.stdin:
        request = json.loads(line)
        name = request["kind"]
        if name not in samples:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
            samples[name] = Sample(KINDS[name], root / name)
            mapped = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf(
                "SC_PAGE_SIZE"
            )
            resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, resource.RLIM_INFINITY))
        if request["case"] is None:  # only to be made ready
            outcome = "read", ""
        else:
            rng = random.Random(f"{request['seed']}/{name}/{request['case']}")
            outcome = samples[name].judge(rng)
        answers.write(json.dumps({"outcome": outcome[0], "text": outcome[1]}) + "\n")
        answers.flush()


if __name__ == "__main__":
    runs.register()
    main()
