import numpy as np
import pytest

from trajlab.explorer.rows import ALL, ROLES, Row, matches, rows_of, short_labels
from trajlab.statistics.roles import grid_of

BLOCKS = [f"model.layers.{i}.{role}" for i in range(40) for role in ("mlp.up", "mlp.down", "norm")]
NAMES = ["embed.weight", *BLOCKS, "head.weight"]


def test_few_parameters_are_all_shown():
    assert [row.label for row in rows_of(NAMES[:4])] == NAMES[:4]


def test_many_parameters_fold_into_their_blocks():
    rows = rows_of(NAMES)
    assert len(rows) == 42
    assert rows[0] == Row("embed.weight", (0,), "embed.weight")
    assert rows[1] == Row("▸ model.layers.0 (3)", (1, 2, 3), "model.layers.0", folded=True)


def test_an_opened_block_shows_its_modules_and_they_open_in_turn():
    opened = [row.name for row in rows_of(NAMES, opened=["model.layers.1"])]
    assert opened[1:5] == ["model.layers.0", "model.layers.1.mlp", "model.layers.1.norm", "model.layers.2"]
    opened = [row.name for row in rows_of(NAMES, opened=["model.layers.1", "model.layers.1.mlp"])]
    assert opened[2:5] == ["model.layers.1.mlp.up", "model.layers.1.mlp.down", "model.layers.1.norm"]


@pytest.mark.parametrize("mode", ["modules", ROLES, ALL])
@pytest.mark.parametrize("opened", [[], ["model"], ["model.layers.7"]])
def test_every_parameter_is_in_one_row(mode, opened):
    members = [member for row in rows_of(NAMES, mode=mode, opened=opened) for member in row.members]
    assert sorted(members) == list(range(len(NAMES)))


def test_a_parameter_may_have_the_name_of_a_module():
    names = ["a", "a.b", "a.c", *(f"x.{i}" for i in range(70))]
    assert [row.name for row in rows_of(names)][:3] == ["a", "a", "x"]


def test_a_search_shows_parameters_and_no_folded_modules():
    rows = rows_of(NAMES, pattern="layers.1?.mlp.up")
    assert rows == []
    rows = rows_of(NAMES, pattern="*layers.1?.mlp.up")
    assert [row.name for row in rows] == [f"model.layers.{i}.mlp.up" for i in range(10, 20)]


def test_roles_put_the_same_parameter_of_all_blocks_together():
    names = [row.name for row in rows_of(NAMES, mode=ROLES)]
    assert names[:3] == ["embed.weight", "model.layers.0.mlp.up", "model.layers.1.mlp.up"]


def test_a_grid_has_roles_and_blocks():
    grid = grid_of([*NAMES, "model.layers.3.extra"])
    assert grid.roles == ["mlp.up", "mlp.down", "norm"]
    assert grid.blocks[:2] == ["model.layers.0", "model.layers.1"]
    assert grid.members.shape == (3, 40)
    assert NAMES[grid.members[2, 5]] == "model.layers.5.norm"


def test_a_grid_has_holes_where_a_block_lacks_a_role():
    grid = grid_of(["b.0.x", "b.0.y", "b.1.x", "b.2.x", "b.2.y"])
    assert np.array_equal(grid.members, [[0, 2, 3], [1, -1, 4]])


def test_there_is_no_grid_without_repeated_blocks():
    assert grid_of(["conv1.weight", "fc.weight", "layer.0.weight"]) is None
    assert grid_of([]) is None
    assert rows_of([]) == []


def test_patterns_are_text_unless_they_have_wildcards():
    assert matches("a.b", "") and matches("a.b", "A.") and not matches("a.b", "c")
    assert matches("layers.[0].w", "*") and matches("xay", "x[ab]y") and not matches("xcy", "x[ab]y")


def test_names_with_one_end_are_told_apart_by_their_labels():
    names = [f"a_rather_long_encoder.stage_{i}.a_block_of_attention.projection.weight" for i in range(3)]
    labels = short_labels([*names, "head.weight", names[0]], 24)
    assert len(set(labels)) == 4 and labels[3] == "head.weight" and labels[0] == labels[4]
    assert max(map(len, labels)) <= 24 and all(str(i) in labels[i] for i in range(3))
