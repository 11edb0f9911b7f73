import numpy as np
import pytest
import xarray as xr

from trajlab.runs.disk.checksums import checked_encoding


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")
def test_checked_encoding__plain_xarray_refuses_a_flipped_bit(tmp_path):
    dataset = xr.Dataset({"a": ("x", np.arange(9.0)), "n": 3}, {"x": np.arange(9), "label": ("x", list("abcdefghi"))})
    dataset.to_zarr(tmp_path, zarr_format=3, encoding=checked_encoding(dataset))
    xr.testing.assert_equal(xr.open_zarr(tmp_path).load(), dataset)
    for name in ("a", "n", "x", "label"):
        chunk = next(path for path in (tmp_path / name / "c", *(tmp_path / name / "c").rglob("*")) if path.is_file())
        content = chunk.read_bytes()
        chunk.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
        with pytest.raises(ValueError, match="checksum"):
            xr.open_zarr(tmp_path).load()
        chunk.write_bytes(content)
