import numpy as np
import pytest

import trajlab
from trajlab.errors import BadSetting
from trajlab.runs.patterns import compile_pattern


@pytest.mark.parametrize("text", ["(", "x{99999999999999999999}", "(" * 5000 + ")" * 5000, "[z-a]", "(?P<a>x)(?P<a>y)"])
def test_compile_pattern__what_is_no_regular_expression_is_one_short_line(text):
    with pytest.raises(BadSetting, match="cannot use the series") as error:
        compile_pattern(text, "series")
    assert len(str(error.value)) < 500 and "\n" not in str(error.value)


@pytest.mark.parametrize("option", ["step_pattern", "series", "parameters"])
def test_open__patterns_that_python_cannot_compile(checkpoints, option):
    folder = checkpoints({"w": np.ones((2, 3), np.float32)})
    with pytest.raises(BadSetting, match="regular expression"):
        trajlab.open(folder, **{option: "(x{99999999999999999999})"})
