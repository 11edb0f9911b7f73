import fsspec
import pytest
from zarr.core.sync import sync

from tests.runs.disk.faulty_proxy import ENVIRONMENT, FaultyProxy
from trajlab.runs.disk import stores


@pytest.fixture(scope="module")
def proxy(request):
    """Start an S3 server behind a proxy, and let trajlab reach it there with short time-outs.

    A module of tests that do not stall sets `READ_SECONDS`.
    """
    moto = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    proxy = FaultyProxy(f"http://{host}:{port}")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*proxy.server_address))
        patch.delenv("AWS_PROFILE", raising=False)
        patch.setattr(stores, "READ_SECONDS", getattr(request.module, "READ_SECONDS", 0.3))
        patch.setattr(stores, "BACKOFF_SECONDS", 0.01)
        stores.configure_stores.cache_clear()
        before = {name: fsspec.config.conf.pop(name, None) for name in ("s3", "s3a")}
        s3fs.S3FileSystem.clear_instance_cache()
        yield proxy
        proxy.released.set()
        for store in s3fs.S3FileSystem._cache.values():
            sync(store._s3.close()) if store.asynchronous else fsspec.asyn.sync(store.loop, store._s3.close)
        s3fs.S3FileSystem.clear_instance_cache()
        fsspec.config.conf.update({name: settings for name, settings in before.items() if settings})
    stores.configure_stores.cache_clear()
    proxy.shutdown()
    proxy.server_close()
    server.stop()
