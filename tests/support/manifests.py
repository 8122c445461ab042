"""What control planes make of the manifests in envoy/: the filter as it stands in Envoy's configuration (facts of HOSTS §2; no control
plane runs here), and a check of the manifests' own fields.
"""
import json
import os

import harness
import yaml

HERE = os.path.join(harness.ROOT, "envoy")
# Fields of the specifications that we use, by kind. A field that is not here is a slip of ours.
FIELDS = {
    "WasmPlugin/extensions.istio.io/v1alpha1": {
        "selector", "url", "imagePullPolicy", "phase", "pluginName", "priority", "failStrategy", "vmConfig", "pluginConfig"},
    "WasmPlugin/extensions.higress.io/v1alpha1": {"url", "phase", "priority", "failStrategy", "defaultConfig", "matchRules"},
    "EnvoyFilter/networking.istio.io/v1alpha3": {"workloadSelector", "configPatches"},
    "EnvoyExtensionPolicy/gateway.envoyproxy.io/v1alpha1": {"targetRefs", "wasm"},
    "ClientTrafficPolicy/gateway.envoyproxy.io/v1alpha1": {"targetRefs", "connection"},
    "EnvoyPatchPolicy/gateway.envoyproxy.io/v1alpha1": {"targetRef", "type", "jsonPatches"},
}
WORDS = {"phase": {"AUTHN", "AUTHZ", "STATS", "UNSPECIFIED_PHASE"}, "failStrategy": {"FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"}}
EG_WASM = {"name", "rootID", "failOpen", "code", "env", "config"}


def load(name):
    """Documents of a manifest, their fields checked."""
    with open(os.path.join(HERE, name)) as h:
        docs = list(yaml.safe_load_all(h))
    for doc in docs:
        kind = f"{doc['kind']}/{doc['apiVersion']}"
        assert set(doc) == {"apiVersion", "kind", "metadata", "spec"} and doc["metadata"]["name"]
        assert set(doc["spec"]) <= FIELDS[kind], (kind, set(doc["spec"]) - FIELDS[kind])
        for key, words in WORDS.items():
            assert doc["spec"].get(key, next(iter(words))) in words
        assert all(set(w) <= EG_WASM for w in doc["spec"].get("wasm", []))
    return docs


def wasm(name, config, vm_id, policy, environment=(), hold=False):
    out = {"name": name, "root_id": "weir", "failure_policy": policy, "configuration": {
        "@type": "type.googleapis.com/google.protobuf.StringValue", "value": json.dumps(config)},
        "vm_config": {"vm_id": vm_id, "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": os.path.abspath(harness.WASM)}},
                      "environment_variables": {"key_values": {k: harness.SEED for k in environment}}}}
    if hold:
        out["allow_on_headers_stop_iteration"] = True
    return {"name": name, "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": out}}


def istio_plugin(doc, edit=lambda c: c):
    """No vm_id, no way to hold headers."""
    spec = doc["spec"]
    names = [e["name"] for e in spec["vmConfig"]["env"]]
    return wasm(f"{doc['metadata']['namespace']}.{doc['metadata']['name']}", edit(spec["pluginConfig"]), "", spec["failStrategy"], names)


def istio_filter(doc, edit=lambda text: text):
    [patch] = doc["spec"]["configPatches"]
    value = json.loads(edit(json.dumps(patch["patch"]["value"])))
    vm = value["typed_config"]["config"]["vm_config"]
    vm["code"]["local"]["filename"] = os.path.abspath(harness.WASM)
    vm["environment_variables"] = {"key_values": {k: harness.SEED for k in vm["environment_variables"]["host_env_keys"]}}
    return value


def gateway_policy(doc, edit=lambda c: c, name=None, patch=None):
    """A VM and a space of shared data for each policy; the filter is disabled and each route of the target enables it."""
    [w] = doc["spec"]["wasm"]
    meta = doc["metadata"]
    vm_id = f"envoyextensionpolicy/{meta['namespace']}/{name or meta['name']}/wasm/0"
    out = wasm(f"envoy.filters.http.wasm/{vm_id}", edit(w["config"]), vm_id, "FAIL_OPEN" if w["failOpen"] else "FAIL_CLOSED", w["env"]["hostKeys"])
    if patch:
        [p] = patch["spec"]["jsonPatches"]
        assert out["name"] in p["operation"]["jsonPath"], "the patch is for this filter"
        out["typed_config"]["config"][p["operation"]["path"]] = p["operation"]["value"]
    return {**out, "disabled": True}


def higress(doc, edit=lambda c: c):
    spec = doc["spec"]
    kinds = {"ingress": "_match_route_", "domain": "_match_domain_", "service": "_match_service_"}
    config = dict(spec.get("defaultConfig", {}))
    config["_rules_"] = [{**rule["config"], **{kinds[k]: v for k, v in rule.items() if k in kinds}} for rule in spec["matchRules"]]
    return wasm("weir", edit(config), "", spec["failStrategy"], ["WEIR_SEED"], hold=True)


def put(filters, enable=()):
    """An edit of envoy/routes/selectors.yaml: these filters in the place of its own, enabled on its routes."""
    def edit(text):
        if "          - name: weir\n" not in text:
            return text  # a file that lies beside it
        a = text.index("          - name: weir\n")
        b = text.index("          - name: envoy.filters.http.router")
        text = text[:a] + "".join(f"          - {json.dumps(f)}\n" for f in filters) + text[b:]
        for route, name in enable:
            on = {name: {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}}
            text = text.replace(f"              - name: {route}\n", f"              - name: {route}\n                typed_per_filter_config: {json.dumps(on)}\n")
        return text
    return edit
