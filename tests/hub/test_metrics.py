"""The dashboard and the alerts: a real Prometheus reads a real Envoy and a real hub during a campaign, and every query has data."""
import json
import os
import re
import subprocess
import time

import yaml
from harness import ROOT, config, free_port, post
from hub import Hub, reached
from prometheus import Prometheus, program
from traffic import Traffic, learned, settle

SCALE = 1500
DASHBOARD = os.path.join(ROOT, "envoy", "grafana", "weir.json")
RULES = os.path.join(ROOT, "envoy", "prometheus", "rules.yaml")
OPERATIONS = os.path.join(ROOT, "envoy", "README.md")
NAME = re.compile(r"\b((?:weir|envoy)_[a-z_]+|up)\b(\{[^}]*\})?")


def fleet():
    trial = {"profiles": {"trial": {"mode": "shadow"}}, "routes": [{"match": {"path": "/trial"}, "profile": "trial"}]}
    return learned(SCALE, hub={"cluster": "weir_hub", "every": "100ms"}, **trial)


def alerts():
    with open(RULES) as h:
        return [r for g in yaml.safe_load(h)["groups"] for r in g["rules"]]


def panels():
    """(title, expression) of all queries, as Grafana sends them."""
    with open(DASHBOARD) as h:
        text = h.read()
    for variable, value in (("$__rate_interval", "1m"), ("$policy", ".+")):
        text = text.replace(variable, value)
    doc = json.loads(text)
    assert doc["templating"]["list"][1]["query"] == "label_values(weir_leader_present, policy)"
    return [(p["title"], t["expr"]) for p in doc["panels"] for t in p.get("targets", [])]


def selectors(expr):
    """The series that an expression looks at, whatever it makes of them."""
    return {name + labels for name, labels in NAME.findall(re.sub(r"(?:by|on|without) ?\([^)]*\)", "", expr))}


def test_every_query_of_the_dashboard_and_every_alert_has_data(start, upstream):
    people = free_port()
    hub = Hub(fleet(), args=["--admin", f"127.0.0.1:{people}"])
    prometheus = None
    try:
        envoy = start(fleet(), workers=2, edit=reached(hub.port))
        # A host that does not let requests wait at their headers, where the configuration wants it.
        held = start(config(inspect={"hold_headers": True}, limits=[]), allow_hold=False)
        prometheus = Prometheus({"envoy": [(f"127.0.0.1:{e.admin}", "/stats/prometheus") for e in (envoy, held)],
                                 "weir-hub": [(f"127.0.0.1:{hub.port}", "/metrics")]}, [RULES])
        post(held.port)
        t = Traffic(envoy.port, accounts=80, honest=20, hours=60, scale=SCALE)
        t.until(lambda: len(t.refused()) >= 70)
        t.path = lambda key: "/trial/v1/chat/completions"
        shadow = [t.probe(envoy.port, k) for k in t.refused()[:8]]
        assert set(shadow) == {200}
        for _ in range(3):
            post(envoy.port, body=b"{\"messages\": [", headers=[("authorization", "Bearer broken")])
        settle(envoy)
        queries = panels()
        asked = {f"{title}: {expr}": expr for title, expr in queries}
        for a in alerts():
            asked |= {f"{a['alert']}: {s}": s for s in selectors(a["expr"])}
        end, empty = time.time() + 30, list(asked)
        while empty and time.time() < end:
            empty = [name for name in empty if not prometheus.query(asked[name])]
            time.sleep(0.5 if empty else 0)
        n_of_alerts = len(asked) - len(queries)
        print(f"queries with data: {len(asked) - len(empty)} of {len(asked)} ({len(queries)} of the dashboard, {n_of_alerts} selectors of {len(alerts())} alerts)")
        assert empty == []
        # Every alert as it stands can be evaluated, and those that should fire do.
        rules = [r for g in prometheus.api("rules")["groups"] for r in g["rules"]]
        assert len(rules) == len(alerts()) and {r["health"] for r in rules} == {"ok"}, rules
        firing = {a["labels"]["alertname"] for a in prometheus.api("alerts")["alerts"] if a["state"] == "firing"}
        print("firing:", sorted(firing))
        assert {"WeirCampaign", "WeirHoldWatchdog"} <= firing
        # No number is shown that is none.
        values = [float(s["value"][1]) for expr in (e for _, e in queries) for s in prometheus.query(expr)]
        assert len(values) > len(queries)
    finally:
        if prometheus:
            prometheus.stop()
        hub.stop()


def test_the_rules_are_sound_and_fire_when_they_should():
    for args in (["check", "rules", RULES], ["test", "rules", os.path.join(ROOT, "tests", "hub", "rules_test.yaml")]):
        done = subprocess.run([program("promtool"), *args], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        print(done.stdout.strip().replace("\n", " "))


def test_the_page_names_every_alert_and_what_to_do():
    with open(OPERATIONS) as h:
        page = h.read()
    named = set(re.findall(r"^\| `(Weir[A-Za-z]+)`", page, re.M))
    assert named == {a["alert"] for a in alerts()}
    for a in alerts():
        says = a["annotations"]
        row = f"| `{a['alert']}` | {a['labels']['severity']} | {says['summary']} | {says['description']} |"
        assert row in page, f"envoy/README.md lacks the row:\n{row}"


def test_every_metric_of_a_hub_is_shown():
    """What a hub counts stands in the dashboard or in an alert."""
    with open(DASHBOARD) as h:
        text = h.read()
    with open(RULES) as h:
        text += h.read()
    h = Hub(fleet())
    try:
        names = set(re.findall(r"^# TYPE (weir_hub_\w+)", h.get("/metrics"), re.M))
    finally:
        h.stop()
    assert len(names) > 25 and [n for n in sorted(names) if n not in text] == []
