"""Reads a MATLAB file from standard input and writes fields of it to standard output, as a .npz.

It is a program of its own, since SciPy's reader crashes on some damaged files, and takes whatever
memory a file declares. A field of numbers is the array "numbers:NAME", another "texts:NAME", JSON.

python -m ldl_jax.isolated.matlab VARIABLE FIELD ... < FILE
"""

import io
import json
import sys

import numpy as np
from scipy.io.matlab import loadmat  # type: ignore[import-untyped]


def main() -> None:
    """Writes the fields that the variable has."""
    variable, *names = sys.argv[1:]
    content = io.BytesIO(sys.stdin.buffer.read())
    loaded = loadmat(content, simplify_cells=True, variable_names=[variable])
    if variable not in loaded:
        raise ValueError(f"it has no variable {variable}")
    structure = loaded[variable]
    arrays = {}
    for name in names:
        if isinstance(structure, dict) and name in structure:
            values = np.atleast_1d(structure[name])
            if values.dtype.kind in "iuf":
                arrays[f"numbers:{name}"] = values.astype(np.float64)
            else:
                texts = json.dumps([str(value) for value in values])
                arrays[f"texts:{name}"] = np.frombuffer(texts.encode("ascii"), np.uint8)
    written = io.BytesIO()
    np.savez(written, allow_pickle=False, **arrays)
    sys.stdout.buffer.write(written.getvalue())


if __name__ == "__main__":
    main()
