"""Several real Envoys and a real hub: what no proxy sees alone is convicted on all of them, and outlives every process."""
import time

import pytest
from harness import Envoy, Upstream, post
from hub import Hub, reached
from traffic import Traffic, learned, settle

PROXIES = 4


def fleet(**over):
    return learned(hub={"cluster": "weir_hub", "every": "100ms"}, **over)


@pytest.fixture
def hub():
    h = Hub(fleet())
    yield h
    h.stop()


@pytest.fixture
def proxies(start, hub):
    return [start(fleet(), workers=2, edit=reached(hub.port)) for _ in range(PROXIES)]


def convicted(e, traffic):
    """Accounts that a proxy denies, of those that it may never have met."""
    return [k for k in traffic.accounts if traffic.probe(e.port, k) == 429]


def told(e):
    """Everything that the proxy has learned is in the hub."""
    e.wait_stat(lambda v: v == 0, "weir.hub_waiting.", seconds=20)


def test_a_campaign_that_no_proxy_sees_alone_is_convicted_on_all_of_them(proxies, hub):
    t = Traffic([e.port for e in proxies], accounts=120, honest=40, hours=24)
    t.join()
    for e in proxies:
        settle(e)
        told(e)
    alone = [e.stat("weir.convicted.") for e in proxies]
    print("convicted by each proxy alone:", alone)
    assert max(alone) <= 3, alone
    time.sleep(1)
    assert not [k for k in t.honest if set(t.seen.get(k, [200])) != {200}], "somebody honest was rejected"
    for e in proxies:
        denied = convicted(e, t)
        print("denied here:", len(denied), "of", len(t.accounts))
        assert len(denied) >= 110
        assert {t.probe(e.port, k) for k in t.honest} == {200}


def test_what_the_hub_has_learned_outlives_every_proxy_and_the_hub(proxies, hub, start):
    t = Traffic([e.port for e in proxies], accounts=120, honest=40, hours=24)
    t.join()
    for e in proxies:
        settle(e)
        told(e)
    before = hub.status()
    hub.kill()
    for e in proxies:
        e.stop()
    hub.start()
    after = hub.status()
    assert after["convicted"] == before["convicted"] >= 110, (before, after)
    fresh = start(fleet(), workers=2, edit=reached(hub.port))
    # Its first request wakes a worker; the verdicts are there within an exchange.
    fresh.wait_stat(lambda v: v > 0, "weir.hub_age_ms.")
    post(fresh.port, headers=[("x-api-key", "first")])
    time.sleep(1)
    assert len(convicted(fresh, t)) >= 110
    assert {t.probe(fresh.port, k) for k in t.honest} == {200}


def test_a_hub_that_is_away_delays_nothing_and_is_told_everything_later(start, hub):
    e = start(fleet(), workers=2, edit=reached(hub.port))
    e.wait_log("the hub answers")
    hub.kill()
    for i in range(300):
        assert post(e.port, headers=[("authorization", f"Bearer k{i}")]).status == 200
    e.wait_stat(lambda v: v > 0, "weir.hub_failed.")
    e.wait_log("the hub does not take observations: status 503")
    settle(e)
    hub.start()
    told(e)
    assert e.stat("weir.hub_dropped.") == 0 and e.stat("weir.hub_sent.") == 300
    assert hub.status()["keys"] == 300


def test_another_token_and_another_seed_are_told_by_name(start, hub, upstream):
    wrong = start(fleet(), workers=1, edit=reached(hub.port, token="not it"))
    wrong.wait_log("the hub does not take observations: status 401 token")
    assert "not it" not in wrong.log()
    other = start(fleet(seed="ab" * 32), workers=1, edit=reached(hub.port))
    other.wait_log("the hub does not take observations: status 409 seed")
    nowhere = start(fleet(), workers=1)
    nowhere.wait_log("the hub cannot be called")
    for e in (wrong, other, nowhere):
        assert post(e.port, headers=[("x-api-key", "k")]).status == 200
