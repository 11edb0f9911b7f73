import trajlab
from trajlab.figures import figure


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
