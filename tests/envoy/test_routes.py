"""Every example of envoy/routes and envoy/lds on a real Envoy: chat is enforced, embeddings are left alone, the rest is watched, and
all of it is one ledger. Then: a push that is refused changes nothing."""
import os
import re
import subprocess
import time

import harness
import pytest
from harness import config, post

ROUTES = os.path.join(harness.ROOT, "envoy", "routes")
EXAMPLES = ["routes/" + name for name in ("selectors", "metadata", "disabled", "filter-chain", "composite", "higress-rules", "ecds")] + ["lds/envoy"]
KEY = [("authorization", "Bearer one")]


def version():
    text = subprocess.run([harness.ENVOY, "--version"], capture_output=True, text=True).stdout
    return tuple(map(int, re.search(r"/(\d+)\.(\d+)\.(\d+)/", text).groups()))


def low(yaml):
    """So few requests that a test can send more."""
    return yaml.replace('"requests": 5000', '"requests": 3')


def example(start, name, **kw):
    if name == "routes/filter-chain" and version() < (1, 39):
        pytest.skip("the filter_chain filter came with Envoy 1.39")
    e = start({}, template=os.path.join(harness.ROOT, "envoy", name + ".yaml"), edit=low, **kw)
    end = time.time() + 10
    while time.time() < end:  # a listener from a file comes after the start
        try:
            if post(e.port, path="/v1/embeddings", body={"input": "are you there"}).status == 200:
                break
        except OSError:
            time.sleep(0.05)
    return e


def statuses(e, path, n=5):
    return [post(e.port, path=path, headers=KEY).status for _ in range(n)]


def test_every_example_is_here():
    there = {f"routes/{f[:-5]}" for f in os.listdir(ROUTES)} - {"routes/ecds-weir"}
    assert there | {"lds/envoy"} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_mechanism_gives_each_route_its_profile(start, upstream, name):
    e = example(start, name)
    before = len(upstream.requests)
    assert statuses(e, "/v1/chat/completions") == [200, 200, 200, 429, 429]
    assert len(upstream.requests) - before == 3
    assert statuses(e, "/v1/embeddings") == [200] * 5, "left alone"
    assert statuses(e, "/v2/chat") == [200] * 5, "watched"
    throttled = lambda mode: e.stat("weir.requests.policy=prod", "action=throttle", f"mode={mode}")
    assert throttled("enforce") == 2
    assert throttled("shadow") >= 2
    e.wait_stat(lambda v: v == 1, "weir.keys.policy=prod"), "one ledger, one key"
    assert e.stat("weir.leader_present.policy=prod") == 1


@pytest.mark.parametrize("path", [
    "/v1/" + "x" * 300 + "/../chat/completions",
    "/v1/" + "x/" * 400 + "../" * 400 + "chat/completions",
    "/v1//%63hat;" + "p" * 900 + "/./completions",
    "/v1/chat/" + "x/" * 400 + "chat/completions",
])
def test_a_long_path_is_under_the_selector_that_its_server_reads(start, upstream, path):
    limits = [{"name": "few", "requests": 2, "per": "1h"}]
    e = start(config(mode="shadow", limits=limits, routes=[{"match": {"path": "/v1/chat"}, "mode": "enforce"}]))
    before = len(upstream.requests)
    assert statuses(e, path, 4) == [200, 200, 429, 429]
    assert len(upstream.requests) - before == 2


@pytest.mark.parametrize("name", ["routes/disabled", "routes/composite", "routes/filter-chain"])
def test_what_is_disabled_is_not_even_seen(start, name):
    e = example(start, name)
    seen = e.stat("weir.requests_seen")
    statuses(e, "/v1/embeddings")
    assert e.stat("weir.requests_seen") == seen


def changed(e, key, old, new):
    with open(e.values[key]) as h:
        e.write(key, h.read().replace(old, new))


@pytest.mark.parametrize("name,key,counter", [
    ("lds/envoy", "LDS", "listener_manager.lds.update_rejected"),
    ("routes/ecds", "ECDS", "extension_config_discovery.http_filter.weir.update_rejected"),
])
def test_a_refused_push_changes_nothing_and_a_good_one_is_in_force(start, upstream, name, key, counter):
    e = example(start, name)
    assert statuses(e, "/v1/chat/completions", 4) == [200, 200, 200, 429]
    changed(e, key, '"mode": "enforce"', '"mode": "enfroce"')
    e.wait_log("weir: configuration refused: profiles.strict.mode")
    e.wait_stat(lambda v: v == 1, counter)
    assert statuses(e, "/v1/chat/completions", 2) == [429, 429], "the old one is in force, with what it has learned"
    changed(e, key, '"mode": "enfroce"', '"mode": "shadow"')
    end = time.time() + 10
    while post(e.port, headers=KEY).status != 200 and time.time() < end:
        time.sleep(0.1)
    assert post(e.port, headers=KEY).status == 200


def test_counters_follow_the_names_of_profiles_through_a_push(start):
    one = '"profiles": {"strict": {"mode": "enforce"}}'
    e = example(start, "routes/ecds")
    statuses(e, "/v1/chat/completions", 1)
    assert e.stat("weir.requests", "profile=strict") == 1
    changed(e, "ECDS", one, '"profiles": {"another": {"mode": "shadow"}, "strict": {"mode": "enforce"}}')
    end = time.time() + 10
    while not e.stat("weir.requests", "profile=strict", "mode=enforce") > 1 and time.time() < end:
        statuses(e, "/v1/chat/completions", 1)
    assert e.stat("weir.requests", "profile=another") == 0
    assert e.stat("weir.requests", "profile=strict") >= 2
