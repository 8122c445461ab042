"""Several real Envoys and a real hub: what no proxy sees alone is convicted on all of them, and outlives every process."""
import time

import pytest
from harness import post
from hub import Hub, reached
from traffic import Traffic, learned, settle

PROXIES = 4
# An exchange takes a tenth of a second, of this clock two and a half minutes.
SCALE = 1500


def fleet(**over):
    return learned(SCALE, hub={"cluster": "weir_hub", "every": "100ms"}, **over)


@pytest.fixture
def hub():
    h = Hub(fleet())
    yield h
    h.stop()


# Accounts that are asked for afterwards. A few: a burst of all of them in one minute of this clock is no queue any more.
SAMPLE = 12


def denied(e, traffic):
    """Accounts that a proxy refuses, of a sample of all proxies'."""
    return [k for k in traffic.accounts[::len(traffic.accounts) // SAMPLE] if traffic.probe(e.port, k) == 429]


def told(e):
    """Everything that the proxy has learned is in the hub."""
    settle(e)
    e.wait_stat(lambda v: v == 0, "weir.hub_waiting.", seconds=20)
    assert e.stat("weir.hub_dropped.") == 0


def test_a_campaign_that_no_proxy_sees_alone_is_convicted_on_all_and_outlives_them(start, hub):
    proxies = [start(fleet(), workers=2, edit=reached(hub.port)) for _ in range(PROXIES)]
    t = Traffic([e.port for e in proxies], accounts=120, honest=40, hours=24, scale=SCALE)
    t.join()
    for e in proxies:
        told(e)
    alone = [e.stat("weir.convicted.") for e in proxies]
    print("convicted by each proxy alone:", alone)
    assert max(alone) <= 3, alone
    time.sleep(1)
    assert not [k for k in t.honest if set(t.seen.get(k, [200])) != {200}], "somebody honest was rejected"
    for e in proxies:
        found = denied(e, t)
        print("denied here:", len(found), "of", SAMPLE)
        assert len(found) >= SAMPLE - 1
        assert {t.probe(e.port, k) for k in t.honest[:5]} == {200}
    before = hub.status()
    assert before["convicted"] >= 110
    # Everything dies.
    hub.kill()
    for e in proxies:
        e.process.kill()
        e.process.wait()
        e.started = False
    hub.start()
    after = hub.status()
    assert after["convicted"] >= 110 and after["keys"] == before["keys"], (before, after)
    fresh = start(fleet(), workers=2, edit=reached(hub.port))
    fresh.wait_log("the hub answers")
    post(fresh.port, headers=[("authorization", "Bearer first")])
    time.sleep(0.5)
    found = denied(fresh, t)
    print("denied by a proxy that has seen nothing:", len(found), "of", SAMPLE)
    assert len(found) >= SAMPLE - 1
    assert {t.probe(fresh.port, k) for k in t.honest[:5]} == {200}


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
    assert e.stat("weir.hub_sent.") == 300
    end = time.time() + 5
    while hub.status()["keys"] != 300:
        assert time.time() < end, hub.status()
        time.sleep(0.1)


def test_what_the_hub_refuses_is_told_by_name(start, hub):
    wrong = start(fleet(), workers=1, edit=reached(hub.port, token="not it"))
    wrong.wait_log("the hub does not take observations: status 401 token")
    assert "not it" not in wrong.log()
    other = start(fleet(seed="ab" * 32), workers=1, edit=reached(hub.port))
    other.wait_log("the hub does not take observations: status 409 seed")
    nowhere = start(fleet(), workers=1)
    nowhere.wait_log("the hub cannot be called")
    for e in (wrong, other, nowhere):
        assert post(e.port, headers=[("authorization", "Bearer k")]).status == 200
