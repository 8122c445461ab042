"""Manifests for control planes: checked against their schemas, and run as the filter they end up as, on a real Envoy (or, for hosts that
are none, on our own)."""
import copy
import json
import os

import harness
import jsonschema
import manifests
import pytest
from harness import chat, post, raw
from host import UNIMPLEMENTED, Host
from manifests import check, discovered, gateway, gateway_policy, load
from test_bypass import head, length
from test_compressed import PACKERS
from test_routes import low, statuses, version

ROUTES = os.path.join(harness.ROOT, "envoy", "routes")
LAYOUTS = pytest.mark.parametrize("chains", [False, True], ids=["filters", "filter_chains"])


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """The proxy's: the manifests name the seed in it."""
    monkeypatch.setenv("WEIR_SEED", harness.SEED)


def few(config):
    return json.loads(low(json.dumps(config)))


def run(start, proxy, template="selectors", **kw):
    if getattr(proxy, "filters", None) and proxy.filters[0]["name"].startswith(manifests.CHAIN) and version() < (1, 39):
        pytest.skip("the filter_chain filter came with Envoy 1.39")
    return start({}, template=os.path.join(ROUTES, template + ".yaml"), edit=proxy, **kw)


def routed(e, upstream):
    """Chat enforced, embeddings left alone, the rest watched."""
    assert statuses(e, "/v1/chat/completions") == [200, 200, 200, 429, 429]
    assert statuses(e, "/v1/embeddings") == [200] * 5
    assert statuses(e, "/v2/chat") == [200] * 5
    assert e.stat("weir.requests.policy=prod", "action=throttle", "mode=shadow") >= 2
    e.wait_stat(lambda v: v == 1, "weir.keys.policy=prod")
    assert "seed: absent" not in e.log(), "the seed came from the environment"


def held(e):
    """Rejected requests, of which the upstream does not even hear."""
    before = e.stat("cluster.inference.upstream_rq_total")
    assert statuses(e, "/v1/chat/completions", 2) == [429, 429]
    assert e.stat("cluster.inference.upstream_rq_total") == before


def unpacks(e):
    """Compressed bodies arrive as text: none is unreadable."""
    before = e.stat("weir.unreadable")
    body = json.dumps(chat("a question of four words")).encode()
    for coding, pack in PACKERS.items():
        post(e.port, path="/v2/chat/completions", body=pack(body), headers=[("content-encoding", coding)])
    assert e.stat("weir.unreadable") == before


MANIFESTS = {
    "istio/wasmplugin.yaml": None, "istio/envoyfilter.yaml": None, "higress/wasmplugin.yaml": None, "envoy-gateway/policy.yaml": None,
    "envoy-gateway/patch.yaml": None, "envoy-gateway/patch-decompress.yaml": None, "envoy-gateway/patch-filter-chain.yaml": None, "google/extension.yaml": "LbTrafficExtension",
    "fastedge/app.json": "FastEdgeApp",
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_manifest_is_as_its_schema_has_it(name):
    for doc in load(name, MANIFESTS[name]):
        with pytest.raises(jsonschema.ValidationError):
            check({**doc, "anything": 1}, MANIFESTS[name])
        if "spec" in doc:
            with pytest.raises(jsonschema.ValidationError):
                check({**doc, "spec": {**doc["spec"], "failStategy": "FAIL_OPEN"}})


def test_every_manifest_is_tested():
    here = {os.path.relpath(os.path.join(d, f), manifests.HERE) for d, _, fs in os.walk(manifests.HERE) for f in fs}
    examples = {f for f in here if f.startswith(("routes/", "lds/", "identity/", "hub/")) or os.sep not in f}
    # Read by a real Prometheus (tests/hub/test_metrics.py); pictures.
    others = {f for f in here if f.startswith(("grafana/", "prometheus/")) or f.endswith((".webp", ".png"))}
    assert here - examples - others - {"google/config.json"} == set(MANIFESTS)


@pytest.mark.parametrize("name,path,value", [
    ("higress/wasmplugin.yaml", ["spec", "failStrategy"], "FAIL_RELOAD"),
    ("istio/wasmplugin.yaml", ["spec", "phase"], "ROUTE"),
    ("envoy-gateway/policy.yaml", ["spec", "wasm", 0, "code", "type"], "HTTP"),
    ("google/extension.yaml", ["extensionChains", 0, "extensions", 0, "service"], "weir"),
    ("google/extension.yaml", ["extensionChains", 0, "extensions", 0, "timeout"], "1s"),
    ("fastedge/app.json", ["secrets"], {"WEIR_SEED": "text"}),
])
def test_what_a_vendor_refuses_is_refused(name, path, value):
    doc = load(name, MANIFESTS[name])[0]
    at = doc
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        check(doc, MANIFESTS[name])


def test_istio_wasmplugin(start, upstream):
    doc, decompress = load("istio/wasmplugin.yaml")
    e = run(start, discovered(manifests.istio_plugin(doc, few), manifests.istio_filters(decompress)), "ecds")
    routed(e, upstream)
    unpacks(e)


def test_istio_wasmplugin_a_refused_push_changes_nothing(start):
    doc, decompress = load("istio/wasmplugin.yaml")
    e = run(start, discovered(manifests.istio_plugin(doc, few)), "ecds")
    assert statuses(e, "/v1/chat/completions", 4) == [200, 200, 200, 429]
    with open(e.values["ECDS"]) as h:
        e.write("ECDS", h.read().replace('enforce', "enfroce"))
    e.wait_stat(lambda v: v == 1, "extension_config_discovery.http_filter.istio-system.weir.update_rejected")
    assert statuses(e, "/v1/chat/completions", 1) == [429]


def test_istio_wasmplugin_cannot_hold_headers_and_the_watchdog_lets_go(start):
    doc, decompress = load("istio/wasmplugin.yaml")
    e = run(start, discovered(manifests.istio_plugin(doc, lambda c: {**few(c), "inspect": {"hold_headers": True}})), "ecds")
    assert [post(e.port, path="/v2/chat").status for _ in range(4)] == [200] * 4, "none hangs"
    assert e.stat("weir.hold_watchdog") == 3
    e.wait_log("inspect.hold_headers is off")


def test_istio_envoyfilter_stands_in_its_place(start, upstream):
    [doc] = load("istio/envoyfilter.yaml")
    e = run(start, manifests.Proxy(*manifests.istio_filters(doc, lambda t: t.replace('\\"requests\\": 5000', '\\"requests\\": 3'))))
    routed(e, upstream)
    held(e)
    unpacks(e)


@LAYOUTS
def test_envoy_gateway_policy(start, upstream, chains):
    policy, _ = load("envoy-gateway/policy.yaml")
    e = run(start, gateway({None: gateway_policy(policy, few)}, chains=chains, patches=load("envoy-gateway/patch-decompress.yaml")))
    routed(e, upstream)
    unpacks(e)


@LAYOUTS
def test_envoy_gateway_a_policy_for_each_route_is_a_ledger_for_each(start, chains):
    policy, _ = load("envoy-gateway/policy.yaml")
    made = lambda name: gateway_policy(policy, lambda c: {**few(c), "mode": "enforce"}, name=name)
    e = run(start, gateway({"chat-1": made("weir-chat"), "internal": made("weir-rest")}, chains=chains))
    assert statuses(e, "/v1/chat/completions", 4) == [200, 200, 200, 429]
    assert statuses(e, "/v2/chat", 4) == [200, 200, 200, 429], "the other policy knows nothing of it"


@LAYOUTS
def test_envoy_gateway_a_policy_on_a_route_replaces_the_gateways(start, chains):
    policy, _ = load("envoy-gateway/policy.yaml")
    made = lambda mode, name: gateway_policy(policy, lambda c: {**few(c), "mode": mode, "routes": []}, name=name)
    e = run(start, gateway({None: made("enforce", "weir"), "internal": made("off", "other")}, chains=chains))
    assert statuses(e, "/v1/chat/completions", 4) == [200, 200, 200, 429]
    assert statuses(e, "/v2/chat", 4) == [200] * 4


@pytest.mark.parametrize("patch,chains", [("patch", False), ("patch-filter-chain", True)])
def test_envoy_gateway_patch_policy_lets_headers_be_held(start, patch, chains):
    policy, _ = load("envoy-gateway/policy.yaml")
    made = gateway_policy(policy, lambda c: {**few(c), "inspect": {"hold_headers": True}})
    e = run(start, gateway({None: made}, chains=chains, patches=load(f"envoy-gateway/{patch}.yaml")))
    assert statuses(e, "/v1/chat/completions", 3) == [200] * 3
    held(e)
    assert e.stat("weir.hold_watchdog") == 0


@pytest.mark.parametrize("raised,said,status", [(False, False, 200), (True, True, 200), (False, True, 413)],
                         ids=["32KiB", "raised, and said", "said, but not raised"])
def test_envoy_gateway_nothing_is_held_beyond_the_buffer_that_is_said(start, raised, said, status):
    policy, traffic = load("envoy-gateway/policy.yaml")
    more = {"buffer": manifests.gateway_buffer(traffic)} if raised else {}
    inspect = {"max_hold_bytes": "128KiB", **({"host_buffer_bytes": "1MiB"} if said else {})}
    e = run(start, gateway({None: gateway_policy(policy, lambda c: {**few(c), "inspect": inspect})}, **more))
    body = json.dumps(chat("a question of four words", 100_000)).encode()
    pieces = [body[i:i + 20_000] for i in range(0, len(body), 20_000)]
    assert raw(e.port, head("k", length(body), path="/v2/chat"), pieces).status == status
    assert post(e.port, path="/v2/chat", body=chat("a question of four words", 12_000)).status == 200


def higress_with(edit=lambda spec: None):
    [doc] = load("higress/wasmplugin.yaml")
    edit(doc["spec"])
    check(doc)
    return manifests.higress(doc, few)


def test_higress_wasmplugin(start, upstream):
    e = run(start, discovered(higress_with()), "ecds")
    routed(e, upstream)
    held(e)


def test_higress_a_rule_by_route_and_service(start):
    both = {"ingress": ["internal"], "service": ["another.dns"], "config": {"mode": "enforce"}}
    e = run(start, discovered(higress_with(lambda spec: spec["matchRules"].insert(0, both))), "ecds")
    assert statuses(e, "/v2/chat") == [200] * 5, "the route is the rule's, the service is not"
    both["service"].append("inference")
    e = run(start, discovered(higress_with(lambda spec: spec["matchRules"].insert(0, both))), "ecds")
    assert statuses(e, "/v2/chat") == [200, 200, 200, 429, 429]


def test_higress_a_rule_that_is_disabled_leaves_its_route_to_the_top_level(start):
    e = run(start, discovered(higress_with(lambda spec: spec["matchRules"][0].update(configDisable=True))), "ecds")
    assert statuses(e, "/v1/embeddings") == [200] * 5
    assert e.stat("weir.requests.policy=prod", "mode=shadow", "action=throttle") == 2, "watched, not left alone"


def test_higress_without_its_top_level_the_defaults_apply(start):
    e = run(start, discovered(higress_with(lambda spec: spec.update(defaultConfigDisable=True))), "ecds")
    assert statuses(e, "/v2/chat") == [200] * 5
    assert e.stat("weir.requests.policy=default", "mode=shadow") == 5, "Weir's own: watched"
    assert higress_with(lambda spec: spec.update(defaultConfigDisable=True, matchRules=[])) is None, "with no rule left, Higress drops it"


GOOGLE = {name: UNIMPLEMENTED for name in ("proxy_set_tick_period_milliseconds", "proxy_get_shared_data", "proxy_set_shared_data", "proxy_define_metric",
                                           "proxy_increment_metric", "proxy_record_metric")}


def test_google_service_extension():
    [doc] = load("google/extension.yaml", "LbTrafficExtension")
    [extension] = doc["extensionChains"][0]["extensions"]
    assert extension["supportedEvents"] == ["REQUEST_HEADERS", "REQUEST_BODY"], "what the module takes part in"
    with open(os.path.join(manifests.HERE, "google", "config.json")) as h:
        text = low(h.read()).replace("@SEED@", harness.SEED)
    h = Host(text, refuse=GOOGLE, memory=16 << 20)
    assert h.configured and len(text) < 2 << 20
    body = json.dumps(chat("a question of four words")).encode()
    assert [h.request("a", body) for _ in range(5)] == [0, 0, 0, 429, 429]
    assert [h.request("a", body, path="/v1/embeddings") for _ in range(5)] == [0] * 5
    assert [h.request("a", body, path="/v2/chat") for _ in range(5)] == [0] * 5


def test_fastedge():
    [app] = load("fastedge/app.json", "FastEdgeApp")
    env = {**app["env"], "WEIR_SEED": app["env"]["WEIR_SEED"].replace("@SEED@", harness.SEED)}
    config = copy.deepcopy(json.loads(env["WEIR_CONFIG"]))
    config["deny"] = [{"name": "bad", "key": harness.key_id("bad")}]
    h = Host("", refuse=GOOGLE, env={**env, "WEIR_CONFIG": json.dumps(config)})
    assert not any("seed: absent" in line for line in h.logs), "the seed came from the environment"
    body = json.dumps(chat("a question of four words")).encode()
    assert h.configured and h.request("bad", body) == 429 and "body" not in h.spent
    # Another context, perhaps elsewhere, gets the body: it must not wait for anything.
    h.body = body
    h.run("proxy_on_context_create", 999, 1)
    assert h.run("proxy_on_request_body", 999, len(body), 1) == 0
