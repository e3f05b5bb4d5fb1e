"""Changes files of every kind that is read, and reports what must not happen.

python -m tests.soak --count=10000
python -m tests.soak --seed=7 --kind=jpeg --case=12      one case again, with all that it says
"""

import argparse
import os
import secrets
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.soak import harness
from tests.soak.kinds import KINDS


def main() -> int:
    """Runs the cases of the flags, kinds side by side; returns 1 where one is a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--case", type=int)
    flags = parser.parse_args()
    seed = secrets.randbelow(2**31) if flags.seed is None else flags.seed
    kinds = flags.kind or list(KINDS)
    cases = list(harness.plan(flags.count, kinds))
    if flags.case is not None:
        cases = [(kind, flags.case) for kind in kinds]
    print(f"{len(cases)} changed files of {len(kinds)} kinds, --seed={seed}", flush=True)
    failed = False
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:

        def of_kind(kind: str):
            own = [case for case in cases if case[0] == kind]
            return harness.run(Path(folder) / kind, seed, own)

        for faults, outcomes in pool.map(of_kind, kinds):
            for kind, counts in outcomes.items():
                print(f"{kind}: {dict(counts)}", flush=True)
            for fault in faults:
                print(f"  {fault}" if flags.case is None else fault.text, flush=True)
            failed = failed or bool(faults)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
