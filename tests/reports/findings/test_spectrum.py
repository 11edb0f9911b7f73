import numpy as np

import trajlab
from trajlab.reports.findings import findings


def test_findings__tell_learned_directions_from_noise(rng):
    noise, direction = rng.standard_normal((60, 90)), np.outer(rng.standard_normal(60), rng.standard_normal(90))
    learned = noise + np.linspace(0, 1, 4)[:, None, None] * direction
    still = np.broadcast_to(rng.standard_normal((60, 90)), (4, 60, 90))
    result = trajlab.run("spectrum", trajlab.from_arrays({"learned": learned, "still": still})).compute()

    texts = [finding.text for finding in findings(result)]

    assert "`learned` ends with 1 singular value beyond noise, the most of all; 0 at the start, 0 once its" in texts[0]
    assert texts[1] == "1 of 2 matrices shows nothing beyond noise at the end: `still`."
    only_noise = [sentence.text for sentence in findings(result.sel(parameter=["still"]))]
    assert only_noise[0] == "No matrix ends with a singular value beyond noise: by their spectra they could be random."


def test_findings__take_a_singular_value_beyond_noise_for_chance_among_many_matrices(rng):
    noise = {f"noise{i}": np.broadcast_to(rng.standard_normal((30, 40)), (3, 30, 40)) for i in range(12)}
    result = trajlab.run("spectrum", trajlab.from_arrays(noise), shuffle=False).compute()
    spikes = np.zeros((3, 12))

    def first(*beyond):
        spikes[:] = 0
        spikes[:, : len(beyond)] = beyond
        changed = result.assign(mp_spikes=result["mp_spikes"].copy(data=spikes))
        return findings(changed)[0].text

    chance = (
        "1 of 12 matrices ends with one singular value beyond noise, no more than chance gives: noise has one in 1 of"
    )
    assert first(1).startswith(chance)
    assert "most of all" in first(2)
    assert "most of all" in first(1, 1, 1)
