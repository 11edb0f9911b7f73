"""Measurements in processes of their own, and the table that they make."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence


def case(name: str, *arguments: object, **environment: str) -> dict[str, float]:
    """Run one measurement in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.cases", name, *map(str, arguments)]
    print(name, *arguments, file=sys.stderr, flush=True)
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    if done.returncode:
        sys.exit(f"the case {name} exited with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def table(rows: Sequence[tuple[str, str, str]]) -> None:
    """Print what was measured, the goal, and what was found."""
    print("| what | goal | measured |\n|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
