"""What control planes make of the manifests in envoy/: the filter as it stands in Envoy's configuration (no control plane runs here),
and a check of every manifest against tests/manifests/schemas.json.
"""
import copy
import json
import os

import harness
import jsonpath
import jsonschema
import yaml

HERE = os.path.join(harness.ROOT, "envoy")
with open(os.path.join(harness.ROOT, "tests", "manifests", "schemas.json")) as _h:
    SCHEMAS = json.load(_h)
TYPE = "type.googleapis.com/"
ON = {"@type": TYPE + "envoy.config.route.v3.FilterConfig", "config": {}}
OFF = {"@type": TYPE + "envoy.config.route.v3.FilterConfig", "disabled": True}
POLICIES = {"FAIL_CLOSE": "FAIL_CLOSED", "FAIL_OPEN": "FAIL_OPEN", "FAIL_RELOAD": "FAIL_RELOAD"}
# Envoy Gateway's filters that hold nothing until a virtual host or a route fills them.
CHAIN = "envoy.filters.http.filter_chain.eep."


def check(doc, kind=None):
    """Raises where a manifest is not as its schema has it."""
    kind = kind or f"{doc['kind']}/{doc['apiVersion']}"
    jsonschema.Draft202012Validator({**SCHEMAS, "$ref": "#/" + kind.replace("/", "~1")}).validate(doc)


def load(name, kind=None):
    """Documents of a manifest, checked."""
    with open(os.path.join(HERE, name)) as h:
        docs = list(yaml.safe_load_all(h))
    for doc in docs:
        check(doc, kind)
    return docs


def wasm(config, **plugin):
    """A filter's typed_config. The module lies beside the proxy, as the control plane's agent puts it."""
    vm = {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": os.path.abspath(harness.WASM)}}, **plugin.pop("vm_config", {})}
    text = {"@type": TYPE + "google.protobuf.StringValue", "value": json.dumps(config)}
    return {"@type": TYPE + "envoy.extensions.filters.http.wasm.v3.Wasm", "config": {"configuration": text, "vm_config": vm, **plugin}}


def istio_plugin(doc, edit=lambda c: c, hold=None):
    """No vm_id, and no way to hold headers. `hold`: what another build of the proxy has as its default."""
    spec = doc["spec"]
    env = spec.get("vmConfig", {}).get("env", [])
    vm = {"environment_variables": {"key_values": {e["name"]: e.get("value", "") for e in env if e.get("valueFrom") != "HOST"},
                                    "host_env_keys": [e["name"] for e in env if e.get("valueFrom") == "HOST"]}}
    name = f"{doc['metadata']['namespace']}.{doc['metadata']['name']}"
    more = {"allow_on_headers_stop_iteration": True} if hold else {}
    return {"name": name, "typed_config": wasm(edit(spec.get("pluginConfig", {})), name=name, root_id=spec.get("pluginName", ""), vm_config=vm,
                                               failure_policy=POLICIES[spec.get("failStrategy", "FAIL_CLOSE")], **more)}


def istio_filters(doc, edit=lambda text: text):
    """What an EnvoyFilter puts in front of the router, in its order (INSERT_FIRST: the last comes first)."""
    out = []
    for patch in doc["spec"]["configPatches"]:
        value, operation = json.loads(edit(json.dumps(patch["patch"]["value"]))), patch["patch"]["operation"]
        if value["name"] == "weir":
            value["typed_config"]["config"]["vm_config"]["code"]["local"]["filename"] = os.path.abspath(harness.WASM)
        out.insert(0 if operation == "INSERT_FIRST" else len(out), value)
    return out


def higress(doc, edit=lambda c: c):
    """Higress makes an Istio WasmPlugin of its own; None where that is left out. Its proxy lets headers be held."""
    doc = copy.deepcopy(doc)
    spec = doc["spec"]
    bare = spec.pop("defaultConfigDisable", False)
    config, rules = {} if bare else spec.pop("defaultConfig", {}), []
    kinds = {"ingress": "_match_route_", "service": "_match_service_", "domain": "_match_domain_"}
    for rule in spec.pop("matchRules", []):
        if rule.get("configDisable"):
            continue
        match = {kinds[k]: v for k, v in rule.items() if k in kinds and v}
        assert match, "Higress refuses a plugin with a rule that matches nothing"
        rules.append({**rule.get("config", {}), **match})
    if rules:
        config = {**config, "_rules_": rules}
    elif bare:
        return None
    spec.setdefault("pluginConfig", config)
    return istio_plugin(doc, edit, hold=True)


def gateway_policy(doc, edit=lambda c: c, name=None):
    """A VM and a space of shared data for each policy: (name of the filter, its typed_config)."""
    [w] = doc["spec"]["wasm"]
    vm_id = f"envoyextensionpolicy/{doc['metadata']['namespace']}/{name or doc['metadata']['name']}/wasm/0"
    vm = {"vm_id": vm_id, "environment_variables": {"host_env_keys": w.get("env", {}).get("hostKeys", [])}}
    return "envoy.filters.http.wasm/" + vm_id, wasm(edit(w["config"]), name=w.get("name", vm_id), root_id=w.get("rootID", ""), vm_config=vm,
                                                    fail_open=w.get("failOpen", False))


def gateway_buffer(doc):
    """`connection.bufferLimit` in bytes."""
    text = doc["spec"]["connection"]["bufferLimit"]
    return int(text.removesuffix("Mi")) << 20 if text.endswith("Mi") else int(text.removesuffix("Ki")) << 10


def seconds(text):
    """A duration of Kubernetes as one of Envoy."""
    return f"{int(text.removesuffix('ms')) / 1000}s" if text.endswith("ms") else text


def istio_cluster(entry, rule):
    """What Istio makes of a ServiceEntry by DNS and its DestinationRule; the endpoints are filled in by whoever runs it."""
    [port], [host] = entry["spec"]["ports"], entry["spec"]["hosts"]
    assert rule["spec"]["host"] == host and entry["spec"]["resolution"] == "DNS" and entry["spec"]["endpoints"]
    policy = rule["spec"]["trafficPolicy"]
    pool, outliers = policy["connectionPool"], policy["outlierDetection"]
    name = f"outbound|{port['number']}||{host}"
    return {
        "name": name, "type": "STRICT_DNS", "connect_timeout": seconds(pool["tcp"]["connectTimeout"]),
        "load_assignment": {"cluster_name": name},
        "typed_extension_protocol_options": http1(pool["http"]["idleTimeout"]),
        "common_lb_config": {"healthy_panic_threshold": {"value": outliers["minHealthPercent"]}},
        "outlier_detection": {
            "consecutive_gateway_failure": outliers["consecutiveGatewayErrors"], "enforcing_consecutive_gateway_failure": 100,
            "enforcing_consecutive_5xx": 0, "interval": seconds(outliers["interval"]), "base_ejection_time": seconds(outliers["baseEjectionTime"]),
            "max_ejection_percent": outliers["maxEjectionPercent"]},
    }


def higress_cluster(registry):
    """What Higress makes of a registry of the kind `dns`."""
    assert registry["type"] == "dns" and registry["protocol"] == "http"
    name = f"outbound|{registry['port']}||{registry['name']}.dns"
    return {"name": name, "type": "STRICT_DNS", "connect_timeout": "10s", "load_assignment": {"cluster_name": name}}


def http1(idle):
    options = TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": options, "explicit_http_config": {"http_protocol_options": {}}, "common_http_protocol_options": {"idle_timeout": seconds(idle)}}}


class Proxy:
    """An edit of envoy/routes/selectors.yaml: the filters that a control plane would put before the router, and its patches."""

    def __init__(self, *filters):
        self.filters, self.host, self.routes = list(filters), {}, {}
        self.listener, self.patches, self.discovered, self.first = {}, [], None, []

    def __call__(self, text):
        doc = yaml.safe_load(text)
        if "static_resources" not in doc:  # a file that lies beside it
            return json.dumps({"resources": [{**doc["resources"][0], **self.discovered}]}) if self.discovered else text
        [listener] = doc["static_resources"]["listeners"]
        hcm = listener["filter_chains"][0]["filters"][0]["typed_config"]
        if self.discovered:
            # Of the example's decompressors none is left: a manifest brings its own.
            hcm["http_filters"][:-2] = self.first
            hcm["http_filters"][-2]["name"] = self.discovered["name"]
        else:
            hcm["http_filters"][:-1] = self.filters
        listener.update(self.listener)
        routes = hcm["route_config"]
        [host] = routes["virtual_hosts"]
        for at, config in [(host, self.host)] + [(r, self.routes.get(r["name"])) for r in host["routes"]]:
            if config:
                at["typed_per_filter_config"] = config
        listener["name"] = routes["name"] = "default/eg/http"
        for patch in self.patches:
            apply(patch, {"envoy.config.listener.v3.Listener": listener, "envoy.config.route.v3.RouteConfiguration": routes})
        return json.dumps(doc)


def discovered(f, first=()):
    """Istio hands its plugins over by extension discovery: an edit of envoy/routes/ecds.yaml. `first`: filters in front."""
    p = Proxy()
    p.discovered, p.first = f, list(first)
    return p


def gateway(policies, buffer=32 << 10, chains=False, patches=()):
    """Envoy Gateway with policies for the whole Gateway (key None) and for routes. A policy on a route takes the Gateway's place there.
    `chains`: the layout of later releases, in which a virtual host and its routes bring filter chains of their own."""
    p = Proxy()
    p.listener, p.patches = {"per_connection_buffer_limit_bytes": buffer}, list(patches)
    for route, (name, config) in policies.items():
        scope = "listener" if route is None else "route"
        if chains:
            inner = "envoy.filters.http.wasm/" + ("listener/0" if route is None else "0")
            on = {CHAIN + scope: {"@type": TYPE + "envoy.extensions.filters.http.filter_chain.v3.FilterChainConfigPerRoute",
                                  "filter_chain": {"filters": [{"name": inner, "typed_config": config}]}}}
            off = {CHAIN + "listener": OFF}
        else:
            p.filters.append({"name": name, "disabled": True, "typed_config": config})
            on, off = {name: ON}, {policies[None][0]: OFF} if None in policies else {}
        if route is None:
            p.host = on
        else:
            p.routes[route] = {**(off if None in policies else {}), **on}
    if chains:
        p.filters = [{"name": CHAIN + s, "disabled": True, "typed_config": {"@type": TYPE + "envoy.extensions.filters.http.filter_chain.v3.FilterChainConfig"}}
                     for s in ("listener", "route")]
    return p


def apply(patch, resources):
    """An EnvoyPatchPolicy, as Envoy Gateway applies it: the path is appended to all that the expression finds."""
    for p in patch["spec"]["jsonPatches"]:
        resource, op = resources[p["type"].removeprefix(TYPE)], p["operation"]
        assert resource["name"] == p["name"] and op["op"] == "add"
        found = list(jsonpath.finditer("$" + op["jsonPath"], resource))
        assert found, "the expression finds nothing"
        for m in found:
            name, _, at = op["path"].removeprefix("/").partition("/")
            if at:
                m.obj[name].insert(int(at), op["value"])
            else:
                m.obj[name] = op["value"]
