import pytest
from matplotlib import pyplot

import trajlab
from trajlab.errors import BadSetting
from trajlab.figures import figure
from trajlab.figures.distribution import panels


def test_quantiles__are_bands_about_the_median(study):
    ax = figure(trajlab.run("distribution", study).compute(), parameter="fc.weight", run="adam-0")

    assert [band.get_label() for band in ax.collections] == ["1 to 99 %", "5 to 95 %", "25 to 75 %"]
    assert [line.get_label() for line in ax.lines] == ["median"]


def test_quantiles__do_not_overlap_and_so_look_like_their_legend(study):
    ax = figure(trajlab.run("distribution", study).compute(), parameter="fc.weight", run="adam-0")

    assert [len(band.get_paths()) for band in ax.collections] == [2, 2, 1]


def test_histogram__is_bright_where_values_are_dense(study):
    ax = figure(trajlab.run("distribution", study).compute(), variable="histogram")

    assert ax.collections[0].get_cmap().name == "viridis"


def test_histogram_changed__draws_both_groups_of_a_parameter_at_the_last_step(study):
    result = trajlab.run("distribution", study, changed=True).compute()
    ax = figure(result, variable="histogram_changed", parameter="conv.weight")
    assert "conv.weight" in ax.get_title() and "step 20" in ax.get_title() and "adam-0" in ax.get_title()
    last = result.sel(parameter="conv.weight", run="adam-0").isel(step=-1)
    entries = [float(last[f"histogram_{name}"].sum()) for name in ("changed", "unchanged")]
    assert ax.texts[0].get_text() == f"{100 * entries[0] / sum(entries):.0f} % changed" and min(entries) > 0
    early = figure(result, variable="histogram_unchanged", parameter="conv.weight", step=0)
    assert early.texts[0].get_text() == "0 % changed"


def test_panels__show_changed_entries_only_if_these_were_counted(study):
    keys = [[panel.key for panel in panels(trajlab.run("distribution", study, **settings).compute())]
            for settings in ({}, {"changed": True})]  # fmt: skip
    assert "changed" not in keys[0] and keys[1] == [*keys[0], "changed"]
    result = trajlab.run("distribution", study, changed=True).compute()
    figure = pyplot.figure()
    panels(result)[-1].draw(figure)
    assert [ax.get_title() for ax in figure.axes] == ["conv.weight", "fc.weight"]  # of others all or none changed
    assert f"Left out: {result.sizes['parameter'] - 3} parameters" in panels(result)[-1].caption  # and fc.bias


def test_histogram_changed__of_a_result_without_it_is_an_error_that_names_the_option(study):
    with pytest.raises(BadSetting, match="compute distribution with --changed"):
        figure(trajlab.run("distribution", study).compute(), variable="histogram_changed")
