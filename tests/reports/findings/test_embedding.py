import numpy as np
import xarray as xr

from trajlab.reports.findings.embedding import embedding, headline_data


def result(accuracy, rank=((2.0, 2.0),) * 2, layers=("input", "fc")):
    accuracy = np.asarray(accuracy, float)
    over = ("step", "layer")
    arrays = {
        "knn_accuracy": (over, accuracy),
        "effective_rank": (over, np.asarray(rank, float)),
        "nonfinite": (over, 0 * accuracy),
    }
    arrays |= {"constant": (over, 0 * accuracy), "knn_chance": ((), 0.25), "features": ("layer", [4] * len(layers))}
    return xr.Dataset(arrays, {"step": [0, 10], "layer": list(layers)}, {"neighbors": 5})


def said(*arguments, **options):
    return [finding.text for finding in embedding(result(*arguments, **options))]


def test_embedding__compares_with_the_inputs_and_the_majority_class():
    texts = said([[0.5, 0.4], [0.5, 0.8]])
    assert texts[0] == "At step 10 the 5-NN accuracy is highest in `fc`: 80 % (inputs: 50 %; majority class: 25 %)."
    assert texts[1] == "From step 0 to 10 the kNN accuracy of `fc` rises from 40 % to 80 %."


def test_embedding__several_layers_may_be_equally_good_and_change_little():
    texts = said([[0.8, 0.8], [0.8, 0.79]], layers=("a", "b"))
    assert "highest in `a`: 80 %" in texts[0] and "changes in no layer by 3.0 % of the samples" in texts[1]
    assert "the same in every layer: 80 %" in said([[0.5, 0.5], [0.8, 0.8]], layers=("a", "b"))[0]


def test_embedding__ranks_change_by_a_factor():
    texts = said([[0.5] * 2] * 2, rank=[[2, 2], [2, 1]])
    assert texts[-1] == "From step 0 to 10 the effective rank of the 4 features of `fc` shrinks from 2 to 1."


def test_headline_data__is_the_best_layer_without_the_inputs():
    assert headline_data(result([[0.9, 0.4], [0.9, 0.8]])).knn_best.values.tolist() == [0.4, 0.8]
    bare = result([[0.9, 0.4]] * 2).drop_vars("knn_accuracy")
    assert "knn_best" not in headline_data(bare) and [finding.text for finding in embedding(bare)] == []
