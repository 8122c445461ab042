"""What is told of decisions, on a real Envoy: headers that name the limit, lines that do not flood, counters that do not merge."""
import re
import time

from harness import Connection, config, post

KEY = [("x-api-key", "one")]


def test_ratelimit_headers_name_the_limit_that_refused(start):
    limits = [{"name": "burst", "requests": 5, "per": "1s"}, {"name": "daily \"x\"", "requests": 2, "per": "1h"}]
    e = start(config(limits=limits), workers=1)
    got = [post(e.port, headers=KEY) for _ in range(3)]
    assert [r.status for r in got] == [200, 200, 429]
    assert got[2].headers["ratelimit-policy"] == '"daily__x_";q=2;w=3600'
    assert re.fullmatch(r'"daily__x_";r=0;t=\d+', got[2].headers["ratelimit"])


def lines(e):
    return e.log().count('"weir":"decision"')


def test_a_flood_of_requests_is_no_flood_of_lines(start):
    """A constant bearer beside a made-up key is another set of credentials each time."""
    e = start(config(limits=[], log={"decisions": "changes"}), workers=1)
    c, began, n = Connection(e.port), time.time(), 400
    for i in range(n):
        assert c.post(headers=[("authorization", "Bearer constant"), ("x-api-key", f"made{i}")]) == 200
    c.close()
    seconds = time.time() - began
    e.wait_stat(lambda v: v > 0, "weir.log_suppressed")
    time.sleep(0.3)
    assert 60 <= lines(e) <= 61 + seconds, (lines(e), seconds)
    assert lines(e) + e.stat("weir.log_suppressed") == n
    before = lines(e)
    assert post(e.port, headers=[("x-api-key", "bad")]).status == 429
    time.sleep(0.3)
    assert lines(e) == before + 1, "another key's line is still written"


def test_profiles_with_alike_names_do_not_share_a_counter(start):
    names = ["a b", "a=b", "a_b", "a.b", "Aa", "BB", "AaBB", "BBAa"]
    routes = [{"match": {"path": f"/{i}"}, "profile": name} for i, name in enumerate(names)]
    e = start(config(deny=[], limits=[], profiles={name: {"mode": "shadow"} for name in names}, routes=routes))
    for i in range(len(names)):
        for _ in range(i + 1):
            assert post(e.port, path=f"/{i}/v1/chat/completions", headers=KEY).status == 200
    stats = {k: v for k, v in e.stats("weir.requests.policy=test.profile=").items()}
    assert sorted(stats.values()) == list(range(1, len(names) + 1)), stats
    prometheus = e.get("/stats/prometheus")
    assert len(set(re.findall(r'weir_requests\{[^}]*profile="([^"]*)"', prometheus))) == len(names), prometheus[-3000:]
    for plain in ("a_b", "Aa", "BB"):
        assert f'profile="{plain}"' in prometheus
