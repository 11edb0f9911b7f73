from trajlab.errors import BadSetting, MissingData, MissingInput
from trajlab.running.skipped_stages import skipped_stages


def test_skipped_stages__are_grouped_by_reason():
    errors = {
        "zero_gradients": MissingInput("zero_gradients needs gradient; record", "there are no gradients"),
        "evaluation": MissingData("cannot replay runs/a: it names\nno model; pass --model"),
        "sign_flips": MissingInput("sign_flips needs gradient; record", "there are no gradients"),
        "odd": BadSetting("nothing at all"),
    }
    assert skipped_stages(errors, 20) == (
        "4 of 20 stages are left out: zero_gradients, sign_flips (there are no gradients); "
        "evaluation (it names no model); odd (nothing at all)"
    )
