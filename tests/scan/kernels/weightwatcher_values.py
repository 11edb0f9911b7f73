"""Write what WeightWatcher says of seeded matrices to weightwatcher_values.json, for the test of the tails.

Run it with ``python tests/scan/kernels/weightwatcher_values.py`` where torch and weightwatcher are installed.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

VALUES = Path(__file__).with_suffix(".json")


def matrices() -> dict[str, np.ndarray]:
    """Noise, heavy tails of several exponents, low rank in noise, and a spectrum that decays as a power."""
    rng = np.random.default_rng(0)
    actual = {
        "normal 60x100": rng.standard_normal((60, 100)),
        "normal 120x120": rng.standard_normal((120, 120)),
        "uniform 30x200": rng.uniform(-0.1, 0.1, (30, 200)),
        "student-t 2 100x150": rng.standard_t(2, (100, 150)),
        "student-t 3 200x64": rng.standard_t(3, (200, 64)),
    }
    left, right = rng.standard_normal((80, 6)), rng.standard_normal((6, 160))
    actual["low rank in noise 80x160"] = rng.standard_normal((80, 160)) + 0.5 * left @ right
    left, right = (np.linalg.qr(rng.standard_normal((n, 50)))[0] for n in (50, 90))
    actual["power law 50x90"] = left * np.arange(1, 51) ** -0.8 @ right.T
    return {name: matrix.astype(np.float32) for name, matrix in actual.items()}


def main() -> None:
    """Ask and write the file."""
    import torch
    import weightwatcher

    said = {}
    for name, matrix in matrices().items():
        layer = torch.nn.Linear(*matrix.shape[::-1], bias=False)
        layer.weight.data = torch.from_numpy(matrix)
        details = weightwatcher.WeightWatcher(model=torch.nn.Sequential(layer)).analyze(min_evals=2)
        row = details.iloc[0]
        said[name] = {key: float(row[key]) for key in ("alpha", "sigma", "xmin", "D", "stable_rank", "entropy")}
    versions = {package: version(package) for package in ("weightwatcher", "torch", "numpy")}
    VALUES.write_text(json.dumps({"versions": versions, "values": said}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
