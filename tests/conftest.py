import os
import sys

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
import harness  # noqa: E402


@pytest.fixture
def upstream():
    up = harness.Upstream()
    yield up
    up.stop()


@pytest.fixture
def start(upstream):
    """start(config, …) -> Envoy; stopped at the end of the test, and no VM may have been reloaded by then."""
    running = []

    def go(config=None, **kw):
        e = harness.Envoy(config if config is not None else harness.config(), upstream.port, **kw)
        running.append(e)
        return e

    yield go
    try:
        for e in running:
            if e.started:
                assert e.stat("vm_reload_success") == 0, "a request trapped the VM"
    finally:
        for e in running:
            e.stop()
