import itertools

import numpy as np
import pytest

from trajlab.runs.readers.parameter_order import determined, determined_by_shape, names_of_keys


def assignments(groups, names, shapes):
    """Yield all assignments by brute force: each parameter to a group or none, groups in order."""
    for chosen in itertools.product([None, *range(len(groups))], repeat=len(names)):
        parts = [
            [name for name, group in zip(names, chosen, strict=True) if group == number]
            for number in range(len(groups))
        ]
        if [len(part) for part in parts] == [len(group) for group in groups] and all(
            shape in (None, shapes[name])
            for part, group in zip(parts, groups, strict=True)
            for name, shape in zip(part, group, strict=True)
        ):
            yield parts


def test_determined__is_what_all_assignments_agree_on(rng):
    seen = {"determined": 0, "ambiguous": 0}
    for _ in range(60):
        names = [f"p{i}" for i in range(6)]
        shapes = {name: (int(rng.integers(1, 4)),) for name in names}
        chosen = rng.integers(0, 3, 6)  # 2 is optimized by nobody
        groups = [[shapes[name] for name, group in zip(names, chosen, strict=True) if group == g] for g in (0, 1)]
        if groups[0]:
            groups[0][0] = None if rng.random() < 0.3 else groups[0][0]
        actual = determined(groups, names, shapes)
        every = list(assignments(groups, names, shapes))
        for number, group in enumerate(groups):
            for at in range(len(group)):
                possible = {parts[number][at] for parts in every}
                expected = possible.pop() if len(possible) == 1 else None
                assert actual[number][at] == expected
                seen["ambiguous" if expected is None else "determined"] += 1
    assert min(seen.values()) > 20


def test_determined__finds_the_two_groups_of_a_trainer():
    names = ["wte.weight", "wpe.weight"]
    for i in range(12):
        names += [f"h.{i}.{part}" for part in ("ln_1.weight", "ln_1.bias", "attn.weight", "attn.bias", "mlp.weight")]
    sizes = {"ln_1.weight": (8,), "ln_1.bias": (8,), "attn.weight": (8, 24), "attn.bias": (24,), "mlp.weight": (8, 24)}
    shapes = {name: sizes.get(name.split(".", 2)[-1], (99, 8)) for name in names}
    decayed = [name for name in names if len(shapes[name]) == 2]
    rest = [name for name in names if len(shapes[name]) == 1]
    actual = determined([[shapes[n] for n in decayed], [shapes[n] for n in rest]], names, shapes)
    assert actual == [decayed, rest]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([[(2,), (2,)]], [["a", "b"]]),
        ([[(2,)]], [[None]]),  # either is frozen
        ([[(2,)], [(2,)]], [[None], [None]]),
        ([[(2,), (2,), (2,)]], [[None, None, None]]),  # more than there are
        ([[(3,), (2,)]], [[None, None]]),  # of another network
        ([], []),
        ([[], [None, None]], [[], ["a", "b"]]),
    ],
)
def test_determined__never_guesses(groups, expected):
    assert determined(groups, ["a", "b"], {"a": (2,), "b": (2,)}) == expected


def test_determined__gives_up_where_arrangements_are_too_many():
    names = [f"p{i}" for i in range(80)]
    groups = [[(1,)] * 10 for _ in range(8)]
    assert determined(groups, names, dict.fromkeys(names, (1,))) == [[None] * 10] * 8


def test_determined_by_shape__orders_blocks_by_their_numbers():
    names = [f"h.{i}.up.weight" for i in range(12)] + ["ln_f.weight"]
    shapes = dict.fromkeys(names[:12], (8, 2)) | {"ln_f.weight": (2,)}
    mixed = np.random.default_rng(0).permutation(names).tolist()
    assert determined_by_shape([[(8, 2)] * 12, [(2,)]], mixed, shapes) == [names[:12], names[12:]]


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["h.0.q.weight", "h.0.k.weight"], [[(2,), (2,)]]),  # two roles
        (["h.0.q.weight", "h.1.q.weight"], [[(2,)], [(2,)]]),  # two groups
        (["h.0.q.weight", "h.1.q.weight"], [[(2,)]]),  # one is frozen
        (["h.0.e.0.q", "h.1.e.1.q"], [[(2,), (2,)]]),  # two numbers
        (["h.0.q.weight", "h.1.q.weight"], [[(2,), None]]),  # of unknown shape
    ],
)
def test_determined_by_shape__never_guesses(names, groups):
    actual = determined_by_shape(groups, names, dict.fromkeys(names, (2,)))
    assert {name for group in actual for name in group} == {None}


def test_names_of_keys__are_names_with_and_without_a_prefix():
    names = ["net.0.weight", "net.0.bias", "head.bias"]
    assert names_of_keys(["net.0.weight", "model.net.0.bias"], names) == {
        "net.0.weight": "net.0.weight", "model.net.0.bias": "net.0.bias"
    }  # fmt: skip
    assert names_of_keys(["bias", 3], names) == {}
