from tests.command_line import call


def test_report__of_runs_and_checkpoints_is_one_command(example, tmp_path, checkpoints):
    folder = checkpoints({name: array.values for name, array in example.weights.items()}, folder=tmp_path / "found")
    done = call("report", "found", "--stages", "drift,change_points", "--results", "kept", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.split() == ["found.html"]
    page = (tmp_path / "found.html").read_text()
    assert '<section id="drift">' in page and '<section id="change_points">' in page and "<h1>found</h1>" in page
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["change_points.zarr", "drift.zarr"]
    assert call("report", "kept", "again.html", cwd=tmp_path).returncode == 0
    assert '<section id="drift">' in (tmp_path / "again.html").read_text()
    assert "exists already" in call("report", folder, "found.html", cwd=tmp_path).stderr
    again = call("report", "found", "new.html", "--stages", "drift", "--results", "kept", cwd=tmp_path)
    assert "kept/drift.zarr: it exists already" in again.stderr and not (tmp_path / "new.html").exists()
    assert "it holds results, not runs" in call("report", "kept", "x.html", "--stages", "drift", cwd=tmp_path).stderr
