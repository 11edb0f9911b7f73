import re

import trajlab
from trajlab.reports.findings import findings


def test_findings__say_what_never_had_a_gradient(example):
    texts = " ".join(finding.text for finding in findings(trajlab.run("zero_gradients", example).compute()))

    assert re.search(r"\d+ recorded entries \(\d+ %\) never had a gradient", texts)
