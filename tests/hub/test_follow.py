"""A hub that hears of a campaign by the log of an edge that cannot call it, while the log is rotated."""
import json
import os
import time

from hub import Hub
from traffic import Plan, learned, model_now

# What is read more than ten minutes late counts as now: 1.5 s on this clock, so that a busy machine changes nothing.
SCALE = 400


def line(traffic, key, body):
    headers = {name: value for name, value in traffic.headers(key)}
    return json.dumps({"t": model_now(SCALE), "path": "/v1/chat/completions", "headers": headers, "body": body}) + "\n"


def test_a_campaign_in_a_log_is_convicted_as_it_goes_on(tmp_path):
    log = tmp_path / "edge.log"
    hub = Hub(learned(SCALE), args=["--follow", str(log)])
    try:
        t = Plan(accounts=120, honest=40, hours=24, scale=SCALE)
        begun, written = time.time(), []
        for i, (due, key, body) in enumerate(t.plan):
            time.sleep(max(0, begun + due - time.time()))
            if i % 400 == 399:
                os.rename(log, tmp_path / f"edge.log.{i}")
            if i % 100 == 99 and hub.status()["convicted"] >= 110:
                break
            written.append(key)
            with open(log, "a") as h:
                h.write(line(t, key, body))
        end = time.time() + 10
        while hub.status()["observations"] != len(written):
            assert time.time() < end, hub.status()
            time.sleep(0.2)
        time.sleep(1.2)
        s = hub.status()
        print({k: s[k] for k in ("observations", "convicted", "cases", "keys", "lost")})
        assert s["convicted"] >= 110 and s["lost"] == 0 and s["keys"] == len(set(written))
    finally:
        hub.stop()
