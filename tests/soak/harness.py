"""Runs changed files through workers, and collects what must not happen."""

import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.soak.kinds import KINDS

ROOT = Path(__file__).parents[2]
SECONDS = 10.0  # for one file
_START = 120.0  # seconds in which a worker loads its libraries and makes a sound file


@dataclasses.dataclass(frozen=True)
class Fault:
    """What must not happen, and the numbers that bring it back."""

    kind: str
    seed: int
    case: int
    outcome: str
    text: str

    def __str__(self) -> str:
        line = (self.text.strip().splitlines() or [""])[-1]
        return (
            f"{self.outcome}: {self.kind}, --seed={self.seed} --kind='{self.kind}' "
            f"--case={self.case}: {line[:200]}"
        )


class Worker:
    """A process that reads changed files; one that hangs is killed, and another one started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._seen = 0
        self._ready: set[str] = set()

    def ask(self, kind: str, seed: int, case: int) -> tuple[str, str]:
        """Returns what became of a case."""
        if self._process is None:
            self._start()
        if kind not in self._ready:
            outcome = self._exchange({"kind": kind, "seed": seed, "case": None}, _START)
            if outcome[0] != "read":
                raise RuntimeError(f"{kind}: no sound file can be made or read: {outcome[1]}")
            self._ready.add(kind)
        return self._exchange({"kind": kind, "seed": seed, "case": case}, SECONDS)

    def close(self) -> None:
        """Ends the process, and what it has started."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)  # a session of its own, and only that
            self._process.wait()
            self._process = None
            self._ready.clear()

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._errors = self.folder / "stderr"
        self._seen = 0
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.soak.worker", str(self.folder)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        answers = self._answers
        for line in process.stdout:
            answers.put(line)
        answers.put("")

    def _exchange(self, request: dict[str, object], seconds: float) -> tuple[str, str]:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._answers.get(timeout=seconds)
        except queue.Empty:
            self.close()
            return "hang", f"longer than {seconds:g} s"
        except BrokenPipeError:
            line = ""
        said = self._errors.read_text(errors="replace")[self._seen :]
        self._seen += len(said)
        if not line:
            self.close()
            return "crash", said[-600:] or "the process died without a word"
        answer = json.loads(line)
        if "Traceback" in said and answer["outcome"] in ("read", "refused"):
            return "traceback", f"beside the answer: {said[-600:]}"
        return answer["outcome"], answer["text"]


def plan(count: int, kinds: list[str]) -> Iterator[tuple[str, int]]:
    """Yields (kind, case), about `count` in all, by the kinds' weights, kind by kind."""
    total = sum(KINDS[kind].weight for kind in kinds)
    for kind in kinds:
        for case in range(max(1, round(count * KINDS[kind].weight / total))):
            yield kind, case


def run(
    folder: Path, seed: int, cases: list[tuple[str, int]]
) -> tuple[list[Fault], dict[str, Counter[str]]]:
    """Returns the faults of cases, and how often each outcome came, by kind."""
    worker, faults = Worker(folder), []
    outcomes: dict[str, Counter[str]] = {}
    try:
        for kind, case in cases:
            outcome, text = worker.ask(kind, seed, case)
            outcomes.setdefault(kind, Counter())[outcome] += 1
            if outcome not in ("read", "refused"):
                faults.append(Fault(kind, seed, case, outcome, text))
    finally:
        worker.close()
    return faults, outcomes
