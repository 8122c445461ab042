"""People decide on a real hub, and real Envoys obey: a case that is released lets its keys through everywhere, a key that is denied passes nowhere."""
import json
import time
import urllib.error
import urllib.request

import pytest
from harness import free_port, post
from hub import Hub, reached
from traffic import Traffic, learned, on_all_workers, settle

SCALE = 1500
READ, ACT = "reads only", "acts, too"
SAMPLE = 10


def fleet(**over):
    return learned(SCALE, hub={"cluster": "weir_hub", "every": "100ms"}, **over)


class People:
    """Who speaks to the hub's other listener."""

    def __init__(self, port):
        self.port = port

    def ask(self, path, body=None, token=ACT):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, {"authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, timeout=5) as r:
                return r.status, json.loads(r.read())
        except urllib.error.HTTPError as e:
            return e.code, json.loads(e.read())

    def act(self, verb, expires=3600, **what):
        body = {"reason": "a test", **what, **({} if verb == "undo" else {"expires": expires})}
        status, said = self.ask(f"/v1/{verb}", body)
        assert status == 200, said
        return said


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setenv("WEIR_HUB_READ_TOKEN", READ)
    monkeypatch.setenv("WEIR_HUB_ACT_TOKEN", ACT)
    port = free_port()
    h = Hub(fleet(), args=["--admin", f"127.0.0.1:{port}"])
    h.people = People(port)
    yield h
    h.stop()


def until(what, seconds=20):
    """Waits until it is so; how long that took."""
    begun = time.time()
    while not what():
        assert time.time() < begun + seconds, "it did not come to pass"
        time.sleep(0.02)
    return time.time() - begun


def some(keys):
    return keys[::max(1, len(keys) // SAMPLE)][:SAMPLE]


def statuses(proxies, traffic, keys):
    return {traffic.probe(e.port, k) for e in proxies for k in keys}


def test_a_release_is_in_force_on_every_node_and_a_denial_too(start, hub):
    proxies = [start(fleet(), workers=2, edit=reached(hub.port)) for _ in range(2)]
    # One proxy sees all of it, and its own ledger convicts, too; the other knows it from the hub alone.
    t = Traffic(proxies[0].port, accounts=80, honest=20, hours=60, scale=SCALE)
    people = hub.people
    # A case of so few keys, whose requests are refused, may be let go and found again: it is asked for while they send.
    t.until(lambda: len(t.refused()) >= 70 and people.ask("/v1/cases")[1]["cases"])
    settle(proxies[0])
    assert people.ask("/v1/cases")[1]["cases"]
    until(lambda: proxies[0].stat("weir.convicted.") >= 60)
    post(proxies[1].port, headers=[("authorization", "Bearer first")])
    blocked = some(t.refused())
    assert len(blocked) == SAMPLE
    until(lambda: statuses(proxies, t, blocked) == {429})
    # A list for an edge without callouts.
    lists = people.ask("/v1/lists.json", token=READ)[1]
    assert len(lists["deny"]) >= 60 and lists["allow"] == []
    listed = start(fleet(deny=lists["deny"]), workers=1)
    assert statuses([listed], t, blocked) == {429} and statuses([listed], t, some(t.honest)) == {200}

    # Who may not, changes nothing.
    cases = people.ask("/v1/cases", token=READ)[1]["cases"]
    body = {"case": cases[0]["case"], "reason": "x", "expires": 60}
    assert people.ask("/v1/release", body, token="guessed")[0] == 401
    assert people.ask("/v1/release", body, token=READ)[0] == 403
    assert people.ask("/v1/exceptions")[1]["exceptions"] == []
    one = people.ask(f"/v1/cases/{cases[0]['case']}", token=READ)[1]
    print("case:", {k: v for k, v in one.items() if k != "groups"}, len(one["groups"]), "groups")
    assert one["convicted"] >= 60 and one["groups"][0]["explanations"]["campaign"] == 0

    # What is released passes on both, in all workers.
    for c in cases:
        people.act("release", case=c["case"])
    took = until(lambda: statuses(proxies, t, blocked) == {200})
    print(f"released on two nodes after {took:.2f} s")
    for e in proxies:
        assert {s for k in blocked[:2] for s in on_all_workers(e, t, k, 2)} == {200}
    # And with another prompt, too: the keys themselves are free, in the node's own ledger as well.
    until(lambda: {post(e.port, headers=[("authorization", f"Bearer {k}")]).status for e in proxies for k in blocked} == {200})
    until(lambda: people.ask("/v1/cases")[1]["cases"] == [])
    assert people.ask("/v1/lists.json")[1]["deny"] == []
    # It goes on for a while, and nobody is convicted again.
    for _ in range(5):
        assert statuses(proxies, t, t.accounts[:20]) == {200}
    settle(proxies[0])
    assert people.ask("/v1/cases")[1]["cases"] == []

    # A key that is denied passes nowhere, a key that is allowed is not denied by the hub's other verdicts.
    from_record = next(e for e in lists["deny"] if e["key"])["key"]
    people.act("deny", key=from_record)
    def refused():
        return [k for k in t.accounts if {t.probe(e.port, k) for e in proxies} == {429}]
    until(lambda: len(refused()) == 1)
    # It survives the hub, and while the hub is away it holds.
    hub.kill()
    assert len(refused()) == 1
    hub.start()
    assert people.ask("/v1/exceptions", token=READ)[1]["ids"] > 1
    people.act("undo", key=from_record)
    until(lambda: refused() == [])
    # One that ends by itself.
    people.act("deny", key=from_record, expires=3)
    until(lambda: len(refused()) == 1, seconds=3)
    until(lambda: refused() == [])


@pytest.mark.parametrize("verb", ["release", "allow"])
def test_a_template_is_free_on_every_node_until_that_is_undone(start, hub, verb):
    proxies = [start(fleet(), workers=2, edit=reached(hub.port)) for _ in range(2)]
    people, ports = hub.people, [e.port for e in proxies]

    def campaign(seed):
        t = Traffic(ports, accounts=80, honest=20, hours=60, scale=SCALE, seed=seed)
        t.until(lambda: len(t.refused()) >= 70)
        blocked = some(t.refused())
        assert len(blocked) == SAMPLE
        until(lambda: statuses(proxies, t, blocked) == {429})
        return t, blocked

    t, blocked = campaign(1)
    cases = people.ask("/v1/cases")[1]["cases"]
    groups = [g for c in cases for g in people.ask(f"/v1/cases/{c['case']}")[1]["groups"]]
    template = next(g["id"] for g in groups if g["axis"] == "text")
    assert template.startswith("tid:")
    people.act(verb, template=template)
    until(lambda: statuses(proxies, t, blocked) == {200})
    for e in proxies:
        assert {s for k in blocked[:2] for s in on_all_workers(e, t, k, 2)} == {200}
    stands = people.ask("/v1/exceptions")[1]["exceptions"]
    assert [(x["verb"], x["template"]) for x in stands] == [(verb, template)]
    until(lambda: people.ask("/v1/cases")[1]["cases"] == [])
    # Nothing is learned from it meanwhile, on either of them.
    for _ in range(5):
        assert statuses(proxies, t, t.accounts[:20]) == {200}
    for e in proxies:
        settle(e)
    assert people.ask("/v1/cases")[1]["cases"] == []
    listed = people.ask("/v1/lists.json")[1]
    assert listed["deny"] == [] and [x["template"] for x in listed["allow"]] == ([template] if verb == "allow" else [])

    people.act("undo", template=template)
    assert people.ask("/v1/exceptions")[1]["exceptions"] == []
    # The campaign goes on, and is what it was.
    campaign(2)
    assert people.ask("/v1/cases")[1]["cases"]
