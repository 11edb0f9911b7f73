import numpy as np
import pytest

from trajlab.errors import BadSetting
from trajlab.runs.readers.formats import Entry, Header
from trajlab.runs.readers.tensor_names import Names, has_network, without_wrappers


def header(*names, networks=("",)):
    return Header(
        {name: Entry((1,), np.dtype("f4"), 0) for name in names}, {}, lambda path, name: np.empty(0), networks=networks
    )


def names_of(*headers, **options):
    names = Names([[one] for one in headers], **options)
    return [names.of(one, name) for one in headers for name in one.entries]


def test_names__the_key_of_the_only_network_is_left_out():
    assert names_of(header("model.fc.w", networks=("model",)), header("ema.fc.w", networks=("ema",))) == [
        "fc.w",
        "fc.w",
    ]


def test_names__several_networks_keep_their_keys_but_for_what_all_share():
    both = header("agent.actor.w", "agent.critic.w", networks=("agent.actor", "agent.critic"))
    assert names_of(both) == ["actor.w", "critic.w"] and Names([[both]]).networks == ["actor", "critic"]
    assert names_of(both, key="critic") == [None, "w"]
    with pytest.raises(BadSetting, match="'policy'.*agent.actor, agent.critic"):
        names_of(both, key="policy")


def test_names__wrappers_are_left_out_unless_two_tensors_share_a_name():
    assert names_of(header("module.fc.w", "a._orig_mod.b")) == ["fc.w", "a.b"]
    assert names_of(header("module.fc.w", "fc.w")) == ["module.fc.w", "fc.w"]
    assert names_of(header("module.fc.w"), literal=["module.fc.w"]) == ["module.fc.w"]


def test_names__a_tensor_beside_the_networks_belongs_to_none():
    beside = header("model.w", "scale", networks=("model",))
    assert names_of(beside) == ["w", "scale"] and names_of(beside, key="model") == ["w", None]
    assert has_network([beside], "model") and not has_network([beside], "mod")


@pytest.mark.parametrize(
    ("name", "bare"), [("submodule.w", "submodule.w"), ("module.module.w", "w"), ("a.module", "a.module")]
)
def test_without_wrappers__whole_components_only(name, bare):
    assert without_wrappers(name) == bare
