"""An observer as a fold over arrays, without a network."""

import numpy as np

from trajlab.replays.observers.observer import Batch, Layer, Observer


def layer(name="fc", shape=(3,), dims=("unit",), dtype=np.float32, input_shape=(), **attrs):
    """Describe a layer."""
    return Layer(name, shape, dims, np.dtype(dtype), attrs, input_shape)


def folded(observer: Observer, layers, values, *, gradients=None, parameters=None, batch=2):
    """Return what an observer finds in outputs of layers, (sample, …) each, in batches; and check its description."""
    samples = len(values[0])
    state = observer.start(layers, samples)
    for first in range(0, samples, batch):
        some = slice(first, first + batch)
        for number, output in enumerate(values):
            gradient = None if gradients is None else gradients[number][some]
            observer.add(state, number, Batch(output[some], first, gradient, parameters or {}))
    results = observer.finish(state)
    described = observer.outputs(layers, samples)
    assert {name: np.shape(array) for name, array in results.items()} == {
        name: output.shape for name, output in described.items()
    }
    return results, described
