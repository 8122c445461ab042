"""The same trace through `weir replay` and through a real Envoy: the same keys are convicted, whatever the number of workers."""
import json
import os
import subprocess

import pytest
from harness import ROOT, raw, request
from lifecycle import SCALE, campaign, setup
from traffic import Plan, Traffic, learned, model_now


def replay(trace, config, decisions):
    """Requests and actions of a trace."""
    weir = os.environ.get("WEIR_BIN", os.path.join(ROOT, "target", "weir"))
    out = subprocess.run([weir, "replay", "--json", "--config", config, "--decisions", decisions, trace], capture_output=True, text=True, check=True)
    return json.loads(out.stdout)["requests"], [json.loads(line)["action"] for line in decisions.read_text().splitlines()]


@pytest.mark.parametrize("others", [20, 40, 80])
def test_a_campaign_is_convicted_at_whatever_hour_it_begins(tmp_path, others):
    """All come from one network, which is confirmed now and then, as its accounts are most of its keys. What it knows of the others there
    must not excuse the campaign."""
    trace, config, decisions = tmp_path / "trace.jsonl", tmp_path / "config.json", tmp_path / "decisions.jsonl"
    config.write_text(json.dumps({**learned(), "demo": {}}))
    t = Plan(accounts=120, honest=others, hours=24, scale=1)
    convicted = {}
    for hour in [*range(0, 24, 3), *range(8, 169, 16)]:
        t.start = 1_948_406_400 + 3_600 * hour
        with open(trace, "w") as h:
            for due, key, body in t.plan:
                at = f"{t.start + due:.3f}"
                h.write(json.dumps({"t": at, "path": "/v1/chat/completions", "headers": t.headers(key), "body": body}) + "\n")
        _, actions = replay(trace, config, decisions)
        blocked = {key for (_, key, _), action in zip(t.plan, actions) if action == "block"}
        assert not [k for k in blocked if k[0] == "h"]
        convicted[hour] = len(blocked)
    assert min(convicted.values()) >= 110, convicted


@pytest.mark.parametrize("workers", [1, 2])
def test_replay_and_envoy_convict_the_same_keys(start, tmp_path, workers):
    e = start(setup(), workers=workers)
    # Two campaigns on 60 accounts each and honest people, each with their own texts. They go on until nobody is at the edge of a
    # conviction: the fast clock makes 20 minutes of the 100 ms that Envoy's verdicts take to reach its workers.
    traffic = [campaign(e, i, hours=32) for i in range(2)] + [
        Traffic(e.port, accounts=0, honest=120, hours=16, seed=5, scale=SCALE, template=2)]
    sent = []
    for t in traffic:
        t.join()
        sent += [(when, t, key, body) for when, key, body in t.sent]
    sent.sort(key=lambda s: s[0])
    e.wait_stat(lambda n: n == len(sent), "weir.observations_applied.")
    # Verdicts reach the workers within a tick or two; then everybody asks once more.
    e.wait_stat(lambda n: n >= 118, "weir.convicted.")
    last, denied = {}, set()
    for t in traffic:
        for key in sorted(t.seen):
            body = t.body(key)
            sent.append((model_now(SCALE), t, key, body))
            if raw(e.port, request(body=body, headers=t.headers(key))).status == 429:
                denied.add(key)
            last[key] = len(sent) - 1
    trace, config, decisions = tmp_path / "trace.jsonl", tmp_path / "config.json", tmp_path / "decisions.jsonl"
    with open(trace, "w") as h:
        for when, t, key, body in sent:
            h.write(json.dumps({"t": when, "path": "/v1/chat/completions", "source": "127.0.0.1:1", "headers": t.headers(key), "body": body}) + "\n")
    config.write_text(json.dumps(setup()))
    requests, replayed = replay(trace, config, decisions)
    assert len(replayed) == len(sent) == requests
    blocked = {key for key, at in last.items() if replayed[at] == "block"}
    print(len(sent), "lines,", workers, "workers:", len(denied), "keys denied by Envoy,", len(blocked), "by replay; blocks of replay",
          replayed.count("block"), "of Envoy", sum(s == 429 for t in traffic for seen in t.seen.values() for s in seen) + len(denied))
    assert denied == blocked
    assert len(denied) >= 118 and not [k for k in denied if k[0] == "h"]
