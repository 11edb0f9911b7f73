"""Fuzz all readers and commands: ``python -m tests.fuzz --cases 10000 --seed 0 --target npz``."""

import argparse
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

from tests.fuzz.fuzz import Fuzz
from tests.fuzz.targets import TARGETS

MEMORY = 16 << 30
"""Address space of the process, so that a header that asks for more memory than there is ends in an error."""


def main():
    """Run cases for the targets in turn, print the table and the bugs; exit with 1 if there is one."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--target", action="append", choices=list(TARGETS))
    options = parser.parse_args()
    names = options.target or list(TARGETS)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    began = time.monotonic()
    out = sys.stdout  # libraries that a case calls may replace it
    with tempfile.TemporaryDirectory() as folder:
        fuzz = Fuzz(Path(folder))
        for number in range(options.cases):
            if time.monotonic() - began > options.seconds:
                break
            name, seed = names[number % len(names)], options.seed + number // len(names)
            (Path(folder) / "case.txt").write_text(f"--target '{name}' --seed {seed}")  # for what kills the process
            result = fuzz.case(name, seed)
            if result not in ("accepted", "refused"):
                print(f"--target '{name}' --seed {seed}: {result}", file=out, flush=True)
    print("| input | refused | accepted | bug |\n|---|---|---|---|", file=out)
    for name, counts in fuzz.table.items():
        print(f"| {name} | {counts['refused']} | {counts['accepted']} | {counts['bug']} |", file=out)
    for bug, cases in fuzz.bugs.items():
        print(f"{len(cases)} × {bug}, as in {cases[0]}", file=out)
    out.flush()
    sys.exit(1 if fuzz.bugs else 0)


if __name__ == "__main__":
    main()
