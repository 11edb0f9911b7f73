import dask
import ml_dtypes
import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file
from scipy.linalg import subspace_angles

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.stages.spectrum import spectrum


@pytest.fixture
def run(rng):
    """A convolution, a linear layer that grows a direction, and what is no matrix."""
    noise, direction = rng.standard_normal((50, 80)), np.outer(rng.standard_normal(50), rng.standard_normal(80))
    grown = noise + np.linspace(0.0, 0.4, 6)[:, None, None] * direction
    return trajlab.from_arrays(
        {
            "conv.weight": rng.standard_normal((6, 8, 3, 5, 5)).astype(np.float32),
            "conv.bias": rng.standard_normal((6, 8)),
            "fc.weight": grown.astype(np.float32),
            "scale": np.ones(6),
        },
        steps=[0, 1, 2, 4, 8, 9],
    )


def test_spectrum__agrees_with_numpy(run):
    result = trajlab.run("spectrum", run).compute()
    assert result.attrs["not_matrices"] == "conv.bias, scale"
    assert result["rows"].values.tolist() == [8, 50] and result["columns"].values.tolist() == [75, 80]
    for name in ("conv.weight", "fc.weight"):
        values = run.weights[name].values.astype(np.float64)
        s = np.linalg.svd(values.reshape(6, values.shape[1], -1), compute_uv=False)
        actual = result.sel(parameter=name)
        np.testing.assert_allclose(actual.singular_values[:, : s.shape[1]], s, rtol=1e-9)
        assert actual.singular_values[:, s.shape[1] :].isnull().all()
        np.testing.assert_allclose(actual.spectral_norm, s[:, 0], rtol=1e-9)
        np.testing.assert_allclose(actual.frobenius_norm, np.linalg.norm(values.reshape(6, -1), axis=1), rtol=1e-12)
        np.testing.assert_allclose(actual.stable_rank, (s**2).sum(1) / s[:, 0] ** 2, rtol=1e-9)
        p = s / s.sum(1, keepdims=True)
        np.testing.assert_allclose(actual.effective_rank, np.exp(-(p * np.log(p)).sum(1)), rtol=1e-9)


def test_spectrum__tells_what_is_learned_from_what_the_values_alone_show(run):
    learned = trajlab.run("spectrum", run).compute().sel(parameter="fc.weight")
    assert learned.mp_spikes.values[[0, -1]].tolist() == [0, 1]
    assert (learned.mp_spikes_null == 0).all()
    assert learned.stable_rank[-1] < 0.5 * learned.stable_rank_null[-1]
    np.testing.assert_allclose(learned.stable_rank[0], learned.stable_rank_null[0], rtol=0.15)


def test_spectrum__shuffled_entries_are_the_same_entries(rng):
    """Of a matrix of one row, any order has the same singular value."""
    result = spectrum(trajlab.from_arrays({"w": rng.standard_normal((4, 1, 30))}).weights["w"]).compute()
    np.testing.assert_allclose(result.spectral_norm_null, result.spectral_norm, rtol=1e-12)


def test_spectrum__every_so_many_steps_and_the_last(run):
    whole, some = (trajlab.run("spectrum", run, every=n, shuffle=False).compute() for n in (1, 4))
    assert some.step.values.tolist() == [0, 8, 9]
    np.testing.assert_array_equal(some.alpha, whole.alpha.sel(step=[0, 8, 9]))
    assert [name for name in some if name.endswith("_null")] == ["row_overlap_null", "column_overlap_null"]


def test_spectrum__nan_and_inf_are_counted_and_leave_the_matrix_unknown(rng):
    values = rng.standard_normal((4, 5, 7)).astype(np.float32)
    values[1, 2, 3], values[2, 0, :2] = np.nan, np.inf
    result = spectrum(trajlab.from_arrays({"w": values}).weights["w"]).compute()
    assert result.nonfinite.values.tolist() == [0, 1, 2, 0]
    for name in ("spectral_norm", "alpha", "mp_spikes", "effective_rank_null"):
        assert result[name].isnull().values.tolist() == [False, True, True, False]
    assert result.singular_values.isnull().any("component").values.tolist() == [False, True, True, False]


def test_spectrum__numbers_do_not_depend_on_how_many_matrices_share_a_block_or_on_threads(run, monkeypatch):
    """BLAS rounds as it likes, so that nothing is bit-equal."""
    with dask.config.set(scheduler="sync"):
        expected = trajlab.run("spectrum", run).compute()
    monkeypatch.setattr("trajlab.sizes.SVD_BLOCK_BYTES", 1)
    with dask.config.set(scheduler="threads", num_workers=4):
        result = trajlab.run("spectrum", run).compute()
    xr.testing.assert_allclose(result, expected, rtol=1e-12)
    assert result.attrs == expected.attrs


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("shape", [(40, 30), (300, 200), (16, 2, 5, 5)])
def test_spectrum__rounding_of_a_matrix_of_rank_3_is_no_spike(rng, dtype, shape):
    flat = (shape[0], int(np.prod(shape[1:])))
    product = rng.standard_normal((4, flat[0], 3)) @ rng.standard_normal((4, 3, flat[1]))
    rounded = product.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    weight = trajlab.from_arrays({"w": rounded.astype("f8" if dtype == "float64" else "f4").reshape(4, *shape)}).weights
    array = weight["w"].assign_attrs(stored_dtype=dtype)
    result = spectrum(array, shuffle=False).compute()
    assert (result.mp_spikes == 3).all()
    assert (result.xmin.values >= 0.999 * result.singular_values.values[:, 2] ** 2).all()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_spectrum__noise_keeps_its_singular_values_whatever_it_was_stored_in(rng, dtype):
    noise = rng.standard_normal((1, 300, 200)).astype(np.float32)
    rounded = noise.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype).astype(np.float32)
    exact, stored = (
        spectrum(trajlab.from_arrays({"w": w}).weights["w"].assign_attrs(stored_dtype=of), shuffle=False).compute()
        for w, of in ((noise, "float32"), (rounded, dtype))
    )
    assert stored.mp_spikes == exact.mp_spikes == 0
    np.testing.assert_allclose(stored.mp_upper, exact.mp_upper, rtol=2e-3)
    np.testing.assert_allclose(stored.alpha, exact.alpha, rtol=0.1)


def test_spectrum__of_large_matrices_says_what_it_knows(run):
    whole = trajlab.run("spectrum", run).compute().sel(parameter="fc.weight")
    some = trajlab.run("spectrum", run, exact_size=20, leading=5).compute()
    assert some.attrs["approximated"] == "fc.weight" and some.sizes["component"] == 8
    assert some.attrs["operations"] > 0
    some = some.sel(parameter="fc.weight")
    error = some.singular_values_error
    assert (error <= 1e-3 * some.spectral_norm).all() and (error > 0).all()
    known = some.singular_values[:, :5]
    assert known[:, 0].notnull().all()
    assert (abs(known - whole.singular_values[:, :5]) <= error + 1e-9).where(known.notnull(), True).all()
    assert some.singular_values[:, 5:].isnull().all()
    for name in ("spectral_norm", "frobenius_norm", "stable_rank", "mp_spikes", "mp_upper"):
        np.testing.assert_allclose(some[name], whole[name], rtol=1e-5)
    assert (abs(some.effective_rank - whole.effective_rank) < 4 * some.effective_rank_error + 1e-6).all()
    for name in ("alpha", "alpha_sigma", "xmin", "ks", "alpha_null"):
        assert some[name].isnull().all()


@pytest.mark.parametrize("of", ["updates", "drift"])
def test_spectrum__of_changes_is_that_of_the_differences(run, of, no_compute):
    with no_compute():
        lazy = trajlab.run("spectrum", trajlab.from_arrays(lazily(run), steps=[0, 1, 2, 4, 8, 9]), of=of)
    result = lazy.compute().sel(parameter="fc.weight")
    values = run.weights["fc.weight"].values.astype(np.float64)
    changes = np.diff(values, axis=0) if of == "updates" else values[1:] - values[0]
    assert result.step.values.tolist() == [1, 2, 4, 8, 9]
    np.testing.assert_allclose(result.spectral_norm, np.linalg.norm(changes, 2, axis=(1, 2)), rtol=1e-5)
    assert (result.mp_spikes == 1).all() and (abs(result.stable_rank - 1) < 1e-6).all()  # one direction grows
    # The rounding of the weights, a millionth of the change, is no direction of its own.
    assert (result.effective_rank < 1.01).all()


def lazily(run):
    return {name: array.copy(data=array.values).chunk(step=2).data for name, array in run.weights.items()}


def test_spectrum__overlap_of_subspaces_is_that_of_scipys_angles(rng):
    values = rng.standard_normal((4, 30, 40)) + 0.3 * rng.standard_normal((30, 2)) @ rng.standard_normal((2, 40))
    result = spectrum(trajlab.from_arrays({"w": values}).weights, subspace=3).compute().sel(parameter="w")
    left, _, right = np.linalg.svd(values)
    bases = {"row": left[:, :, :3], "column": right[:, :3].transpose(0, 2, 1)}
    for side, basis in bases.items():
        for name, pairs in ((side + "_overlap", range(3)), (side + "_overlap_start", [0, 0, 0])):
            expected = [np.mean(np.cos(subspace_angles(basis[t + 1], basis[s])) ** 2) for t, s in enumerate(pairs)]
            np.testing.assert_allclose(result[name][1:], expected, rtol=1e-6)
    assert result.row_overlap.isnull().values.tolist() == [True, False, False, False]
    assert result.row_overlap_start[0] == pytest.approx(1)
    assert (result.row_overlap_null, result.column_overlap_null) == (3 / 30, 3 / 40)


def test_spectrum__overlap_does_not_depend_on_blocks_and_is_unknown_beyond_the_rank(run, rng, monkeypatch):
    rank_one = np.outer(rng.standard_normal(9), rng.standard_normal(8))
    weights = {"fc.weight": run.weights["fc.weight"].values, "low": (1 + np.arange(6.0))[:, None, None] * rank_one}
    names = ["row_overlap", "column_overlap", "row_overlap_start", "column_overlap_start"]
    lazy = trajlab.run("spectrum", trajlab.from_arrays(weights), subspace=2)[names]
    expected = lazy.compute()
    assert expected.sel(parameter="low").to_array().isnull().all()
    assert (expected.sel(parameter="fc.weight").to_array()[:, 1:] > 0).all()
    monkeypatch.setattr("trajlab.scan.kernels.spectra.Spectra.block_bytes", 1)
    split = trajlab.run("spectrum", trajlab.from_arrays(weights), subspace=2)[names].compute()
    xr.testing.assert_allclose(split, expected, rtol=1e-9)


def test_spectrum__asks_for_a_matrix(run):
    with pytest.raises(MissingData, match="conv.bias, scale"):
        spectrum({name: run.weights[name] for name in ("conv.bias", "scale")})
    for setting, value in (("every", 0), ("exact_size", 0), ("leading", 0), ("subspace", -1), ("of", "steps")):
        with pytest.raises(BadSetting, match=f"{setting}='?{value}"):
            spectrum(run.weights["fc.weight"], **{setting: value})


def test_spectrum__of_bfloat16_on_disk_is_that_of_the_values(rng, tmp_path):
    """Rows that were widened for one step are shuffled in place."""
    stored = rng.standard_normal((2, 160, 130)).astype(ml_dtypes.bfloat16)
    for step, values in enumerate(stored):
        (tmp_path / f"checkpoint-{step}").mkdir()
        tensor = torch.from_numpy(values.astype(np.float32)).bfloat16()
        save_file({"w": tensor}, tmp_path / f"checkpoint-{step}" / "model.safetensors")
    on_disk = trajlab.run("spectrum", trajlab.open(tmp_path)).compute()
    memory = trajlab.from_arrays({"w": stored.astype(np.float32)}).weights["w"].assign_attrs(stored_dtype="bfloat16")
    expected = spectrum({"w": memory}).compute()
    for name in ("spectral_norm", "spectral_norm_null", "effective_rank_null", "row_overlap", "alpha"):
        np.testing.assert_allclose(on_disk[name], expected[name], rtol=1e-9)
