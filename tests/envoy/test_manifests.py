"""Manifests for control planes: their fields, and the filter they end up as on a real Envoy (or, for hosts that are none, on our own)."""
import copy
import json
import os

import harness
import manifests
import pytest
from harness import chat, post
from host import UNIMPLEMENTED, Host
from manifests import load, put
from test_routes import statuses

BASE = os.path.join(harness.ROOT, "envoy", "routes", "selectors.yaml")
ALL = ["chat-1", "embeddings", "internal"]


def low(config):
    text = json.dumps(config) if not isinstance(config, str) else config
    text = text.replace('"requests": 5000', '"requests": 3').replace('\\"requests\\": 5000', '\\"requests\\": 3')
    return json.loads(text) if not isinstance(config, str) else text


def run(start, filters, enable=(), **kw):
    return start({}, template=BASE, edit=put(filters, enable), **kw)


def routed(e, upstream):
    """Chat enforced, embeddings left alone, the rest watched."""
    assert statuses(e, "/v1/chat/completions") == [200, 200, 200, 429, 429]
    assert statuses(e, "/v1/embeddings") == [200] * 5
    assert statuses(e, "/v2/chat") == [200] * 5
    assert e.stat("weir.requests.policy=prod", "action=throttle", "mode=shadow") >= 2
    e.wait_stat(lambda v: v == 1, "weir.keys.policy=prod")
    assert "absent: hashes are derived" not in e.log(), "the seed came from the environment"


def test_istio_wasmplugin(start, upstream):
    [doc] = load("istio/wasmplugin.yaml")
    routed(run(start, [manifests.istio_plugin(doc, low)]), upstream)


def test_istio_wasmplugin_cannot_hold_headers_and_the_watchdog_lets_go(start, upstream):
    [doc] = load("istio/wasmplugin.yaml")
    e = run(start, [manifests.istio_plugin(doc, lambda c: {**low(c), "inspect": {"hold_headers": True}})])
    assert [post(e.port, path="/v2/chat").status for _ in range(4)] == [200] * 4, "none hangs"
    assert e.stat("weir.hold_watchdog") == 3
    e.wait_log("inspect.hold_headers is off")


def test_istio_envoyfilter_stands_in_its_place(start, upstream):
    [doc] = load("istio/envoyfilter.yaml")
    e = run(start, [manifests.istio_filter(doc, low)])
    routed(e, upstream)
    before = e.stat("cluster.inference.upstream_rq_total")
    assert statuses(e, "/v1/chat/completions", 2) == [429, 429]
    assert e.stat("cluster.inference.upstream_rq_total") == before, "held: the upstream never heard of it"


def test_envoy_gateway_policy(start, upstream):
    policy, buffer = load("envoy-gateway/policy.yaml")
    assert buffer["spec"]["connection"]["bufferLimit"] == "1Mi"
    f = manifests.gateway_policy(policy, low)
    routed(run(start, [f], [(r, f["name"]) for r in ALL]), upstream)


def test_envoy_gateway_a_policy_for_each_route_is_a_ledger_for_each(start):
    policy, _ = load("envoy-gateway/policy.yaml")
    both = [manifests.gateway_policy(policy, lambda c: {**low(c), "mode": "enforce"}, name=n) for n in ("weir-chat", "weir-rest")]
    e = run(start, both, [("chat-1", both[0]["name"]), ("internal", both[1]["name"])])
    assert statuses(e, "/v1/chat/completions", 4) == [200, 200, 200, 429]
    assert statuses(e, "/v2/chat", 4) == [200, 200, 200, 429], "the other policy knows nothing of it"


def test_envoy_gateway_patch_policy(start, upstream):
    policy, _ = load("envoy-gateway/policy.yaml")
    [patch] = load("envoy-gateway/patch.yaml")
    f = manifests.gateway_policy(policy, lambda c: {**low(c), "inspect": {"hold_headers": True}}, patch=patch)
    e = run(start, [f], [(r, f["name"]) for r in ALL])
    assert statuses(e, "/v1/chat/completions") == [200, 200, 200, 429, 429]
    assert e.stat("cluster.inference.upstream_rq_total") == 3


@pytest.mark.parametrize("limit,status", [(32_768, 413), (1_048_576, 200)])
def test_envoy_gateway_a_hold_beyond_the_buffer_is_413_until_the_buffer_is_raised(start, limit, status):
    policy, _ = load("envoy-gateway/policy.yaml")
    f = manifests.gateway_policy(policy, lambda c: {**low(c), "inspect": {"max_hold_bytes": "128KiB"}})
    lines = f"  - name: inference\n    per_connection_buffer_limit_bytes: {limit}\n"
    edit = put([f], [(r, f["name"]) for r in ALL])
    e = start({}, template=BASE, edit=lambda y: edit(y).replace("  - name: inference\n", lines, 1))
    big = chat("a question of four words", 100_000)
    # In pieces: what comes at once may be looked at before it is counted.
    from test_bypass import chunked, head
    from harness import raw
    body = json.dumps(big).encode()
    got = raw(e.port, head("k", "transfer-encoding: chunked", path="/v2/chat"), [chunked(body[i:i + 20_000], 20_000, end=b"") for i in range(0, len(body), 20_000)] + [b"0\r\n\r\n"])
    assert got.status == status
    assert post(e.port, path="/v2/chat", body=chat("a question of four words", 12_000)).status == 200


def test_higress_wasmplugin(start, upstream):
    [doc] = load("higress/wasmplugin.yaml")
    e = run(start, [manifests.higress(doc, low)])
    routed(e, upstream)
    before = e.stat("cluster.inference.upstream_rq_total")
    assert statuses(e, "/v1/chat/completions", 2) == [429, 429]
    assert e.stat("cluster.inference.upstream_rq_total") == before


def test_higress_a_rule_by_route_and_service_and_no_default(start):
    [doc] = load("higress/wasmplugin.yaml")
    doc = copy.deepcopy(doc)
    doc["spec"]["matchRules"].insert(0, {"ingress": ["internal"], "service": ["another.dns"], "config": {"mode": "enforce"}})
    del doc["spec"]["defaultConfig"]
    e = run(start, [manifests.higress(doc, low)])
    assert statuses(e, "/v2/chat", 5) == [200] * 5
    assert e.stat("weir.requests.policy=default", "mode=shadow") == 5, "our own defaults: watched"


GOOGLE = {name: UNIMPLEMENTED for name in ("proxy_set_tick_period_milliseconds", "proxy_get_shared_data", "proxy_set_shared_data", "proxy_define_metric",
                                           "proxy_increment_metric", "proxy_record_metric")}


def test_google_service_extension():
    with open(os.path.join(manifests.HERE, "google", "config.json")) as h:
        text = low(h.read()).replace("@SEED@", harness.SEED)
    h = Host(text, refuse=GOOGLE, memory=16 << 20)
    assert h.configured and len(text) < 2 << 20
    body = json.dumps(chat("a question of four words")).encode()
    assert [h.request("a", body) for _ in range(5)] == [0, 0, 0, 429, 429]
    assert [h.request("a", body, path="/v1/embeddings") for _ in range(5)] == [0] * 5
    assert [h.request("a", body, path="/v2/chat") for _ in range(5)] == [0] * 5
    import yaml
    with open(os.path.join(manifests.HERE, "google", "extension.yaml")) as f:
        doc = yaml.safe_load(f)
    [chain] = doc["extensionChains"]
    assert chain["extensions"][0]["supportedEvents"] == ["REQUEST_HEADERS", "REQUEST_BODY"]


def test_fastedge():
    with open(os.path.join(manifests.HERE, "fastedge", "app.json")) as h:
        app = json.load(h)
    config = json.loads(low(app["env"]["WEIR_CONFIG"].replace('\\"', '"')))
    config["deny"] = [{"name": "bad", "key": harness.key_id("bad")}]
    h = Host("", refuse=GOOGLE, env={"WEIR_CONFIG": json.dumps(config), "WEIR_SEED": harness.SEED})
    body = json.dumps(chat("a question of four words")).encode()
    assert h.configured and h.request("bad", body) == 429 and "body" not in h.spent
    # Another context, perhaps elsewhere, gets the body: it must not wait for anything.
    h.body = body
    assert h.run("proxy_on_request_body", 999, len(body), 1) == 0
