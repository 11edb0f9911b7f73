import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import trajlab
from trajlab.schema import NOT_NODES, RESULT_VERSION, STORE_VERSION, checkpoint_folder, family, node_of, tensor_of


@given(st.text(st.characters(codec="utf-8"), max_size=8))
def test_node_of__any_name_is_a_node_of_its_own(name):
    node = node_of(name)
    assert tensor_of(node) == name
    assert "/" not in node and not NOT_NODES.match(node)


@pytest.mark.parametrize("name", ["step", "steps", "step.weight", "zarr.json", "__init__", ".", "..", "a/b", "", "ß %"])
def test_node_of__names_that_zarr_or_we_reserve_survive_a_store(tmp_path, name):
    run = trajlab.from_arrays({name: [[1.0], [2.0]], "w": [[3.0], [4.0]]})
    trajlab.pack(run, tmp_path / "run.zarr")
    assert list(trajlab.open(tmp_path / "run.zarr").weights) == [name, "w"]
    with xr.open_datatree(tmp_path / "run.zarr", engine="zarr") as tree:
        assert tree[f"weights/{node_of(name)}"]["value"].values.tolist() == [[1.0], [2.0]]


def test_family__of_versions_of_other_things_differ():
    assert family(RESULT_VERSION) == family("trajlab-result-1") != family(STORE_VERSION)
    assert family("CF-1.8") == "CF" and family("") == family(None) == "" == family("trajlab")


def test_checkpoint_folder__sorts_with_what_the_reader_of_folders_takes_for_steps(checkpoints):
    folder = checkpoints({"w": [[1.0], [2.0], [3.0]]}, steps=[9, 10, 1000])
    assert {path.name for path in folder.iterdir()} == {checkpoint_folder(step) for step in (9, 10, 1000)}
    assert trajlab.open(folder).weights["w"].step.values.tolist() == [9, 10, 1000]
