"""A small trajectory for experiments, documentation and tests."""

import numpy as np

from trajlab.runs.from_arrays import from_arrays
from trajlab.runs.trajectory import Trajectory

SHAPES = {
    "conv.weight": (4, 1, 3, 3),
    "conv.bias": (4,),
    "fc.weight": (3, 16),
    "fc.bias": (3,),
    "frozen.weight": (2, 3),
}


def example(steps: int = 20, *, seed: int = 0) -> Trajectory:
    """Build a small trajectory with known properties.

    Each weight descends a noisy parabola, with three exceptions: no gradient reaches the corners of the kernels of
    ``conv``, the last unit of ``fc`` is dead from the start, and ``frozen`` has no gradient at all.

    Parameters
    ----------
    steps
        Number of updates and gradients; there is one snapshot more.
    seed
        Seed of the initial weights and of the noise.

    Examples
    --------
    >>> run = example()
    >>> run
    <Trajectory: 5 weights, 4 gradients, 0 buffers; 21 snapshots, steps 0 to 20>
    >>> run.gradients["conv.weight"].dims
    ('step', 'out', 'in', 'y', 'x')
    """
    random = np.random.default_rng(seed)
    weights = {name: [random.standard_normal(shape).astype(np.float32)] for name, shape in SHAPES.items()}
    reached = {name: np.ones(shape, np.float32) for name, shape in SHAPES.items()}
    reached["conv.weight"][:, :, [0, 0, 2, 2], [0, 2, 0, 2]] = 0
    reached["fc.weight"][-1] = reached["fc.bias"][-1] = 0
    reached["frozen.weight"][:] = 0
    gradients: dict[str, list[np.ndarray]] = {name: [] for name in SHAPES if name != "frozen.weight"}
    loss = []
    for _ in range(steps):
        loss.append(0.5 * sum(float((rows[-1] ** 2).sum()) for rows in weights.values()))
        for name, rows in weights.items():
            noise = random.standard_normal(SHAPES[name]).astype(np.float32)
            gradient = reached[name] * (rows[-1] + np.float32(0.3) * noise)
            rows.append(rows[-1] - np.float32(0.1) * gradient)
            if name in gradients:
                gradients[name].append(gradient)
    return from_arrays(
        {name: np.stack(rows) for name, rows in weights.items()},
        {name: np.array(rows, np.float32).reshape(steps, *SHAPES[name]) for name, rows in gradients.items()},
        metrics={"loss": loss, "epoch": np.arange(steps) // 5},
    )
