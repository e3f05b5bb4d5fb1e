"""Answers questions about the arrays of one file: the program's side of `children.asked`.

The first question is "", and its answer is JSON, {name: [type, shape]}. The others are names, and
the answers are the bytes of these arrays, in the machine's order.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

Described = Mapping[str, tuple[str, tuple[int, ...]]]
# Opens a file until the stack is left: the types and shapes of its arrays, and what reads one.
Open = Callable[[Path, contextlib.ExitStack], tuple[Described, Callable[[str], np.ndarray]]]


def serve(open_file: Open) -> None:
    """Answers about the file of the command line until there are no more questions.

    The text of a ValueError goes to the user, after the name of the file.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    _reply(answers, b"")
    with contextlib.ExitStack() as stack:
        questions = (json.loads(line) for line in sys.stdin)
        try:
            next(questions)
            described, read = open_file(Path(sys.argv[1]), stack)
            _reply(answers, json.dumps(described).encode("ascii"))
            for name in questions:
                array = np.ascontiguousarray(read(name))
                _reply(answers, array.reshape(-1).view(np.uint8).data)
        except MemoryError:
            _reply(answers, b": its reader ran out of memory", error=True)
        except ValueError as error:
            _reply(
                answers, " ".join(str(error).split())[:2000].encode(errors="replace"), error=True
            )


def _reply(answers: BinaryIO, content: bytes | memoryview, error: bool = False) -> None:
    answers.write((b"!" if error else b"=") + len(content).to_bytes(8, "little"))
    answers.write(content)
    answers.flush()
