import numpy as np

from trajlab.replays.observers.observer import Batch, Layer
from trajlab.replays.observers.routing import COLUMNS, Routing


def test_routing__layers_of_several_sizes_and_scores_that_are_not_finite():
    two, three = (Layer(f"r{n}", (2, n), ("position", "unit"), np.dtype("f4"), {"chosen": 1}) for n in (2, 3))
    observer = Routing()
    state = observer.start([two, three], 2)
    observer.add(state, 0, Batch(np.array([[[1.0, 0.0], [np.nan, 0.0]]]), 0))
    observer.add(state, 1, Batch(np.log([[[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]]]), 0))
    found = observer.finish(state)
    assert found["table"][0, [COLUMNS.index("tokens"), COLUMNS.index("nonfinite")]].tolist() == [1, 1]
    assert found["load"][0, :2].tolist() == [1, 0] and np.isnan(found["load"][0, 2])
    assert found["load"][1].tolist() == [1, 0, 1]
    np.testing.assert_allclose(found["probability"][1], [0.7, 0.45, 0.85])
    p, q = np.array([0.5, 0.25, 0.25]), np.array([0.2, 0.2, 0.6])
    np.testing.assert_allclose(found["table"][1, 1], -(p * np.log(p)).sum() - (q * np.log(q)).sum())
    assert {name: output.shape for name, output in observer.outputs([two, three], 2).items()} == {
        name: values.shape for name, values in found.items()
    }
