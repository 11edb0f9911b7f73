import csv
import io

import pytest

pd = pytest.importorskip("pandas")


def test_csv_text__no_name_in_data_is_a_formula():
    from trajlab.explorer.csv_text import csv_text

    names = ["=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(A1)", "\t=1", "fc.weight", "a,b\n=1"]
    index = pd.MultiIndex.from_arrays([names, names], names=["=run", "parameter"])
    table = pd.DataFrame({"@value": [-1.5] * len(names), "text": names}, index=index)
    rows = list(csv.reader(io.StringIO(csv_text(table))))
    assert rows[0] == ["=run", "parameter", "'@value", "text"] or rows[0][0] == "'=run"
    assert [row[0] for row in rows[1:]] == [*(f"'{name}" for name in names[:5]), *names[5:]]
    assert all(row[3] == row[0] and row[2] == "-1.5" for row in rows[1:])
