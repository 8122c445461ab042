"""Manifests of the hub: their commands are run, by a real hub and a real Envoy, with the addresses of this machine."""
import json
import os
import re
import subprocess

import harness
import hub
import jsonschema
import manifests
import pytest
import yaml
from harness import post
from manifests import check, load

HUB = os.path.join(manifests.HERE, "hub")
FILES = {"compose.yaml": "Compose", "compose-valkey.yaml": "Compose", "kubernetes.yaml": None, "kubernetes-valkey.yaml": None, "istio.yaml": None, "higress.yaml": None}
# Options of a hub on a store that several hubs share.
SHARED = {"--store"}


def text(name):
    with open(os.path.join(HUB, name)) as h:
        return h.read()


def filter_json():
    return json.loads(text("filter.json"))


@pytest.mark.parametrize("name", FILES)
def test_every_manifest_is_as_its_schema_has_it(name):
    for doc in load("hub/" + name, FILES[name]):
        with pytest.raises(jsonschema.ValidationError):
            check({**doc, "anything": 1}, FILES[name])


def test_every_file_is_tested():
    assert set(os.listdir(HUB)) == set(FILES) | {"envoy.yaml", "filter.json", "Dockerfile"}


@pytest.mark.parametrize("name,kind,edit", [
    ("kubernetes.yaml", "StatefulSet", lambda d: d["spec"]["template"]["spec"]["containers"][0]["env"][0].update(valueFrom={"secretKeyRef": {"name": "x"}})),
    ("kubernetes.yaml", "StatefulSet", lambda d: d["spec"]["template"]["spec"]["containers"][0].update(readynessProbe={})),
    ("kubernetes-valkey.yaml", "PodDisruptionBudget", lambda d: d["spec"].update(minAvailible=1)),
    ("kubernetes-valkey.yaml", "NetworkPolicy", lambda d: d["spec"]["ingress"][0].update(form=[])),
    ("istio.yaml", "ServiceEntry", lambda d: d["spec"].update(resolution="dns")),
    ("higress.yaml", "McpBridge", lambda d: d["spec"]["registries"][0].update(type="kubernetes")),
])
def test_what_is_no_field_is_refused(name, kind, edit):
    [doc] = [d for d in load("hub/" + name) if d["kind"] == kind]
    edit(doc)
    with pytest.raises(jsonschema.ValidationError):
        check(doc)


def commands():
    """(where, command line without the binary) of every hub in the manifests."""
    out = []
    for name in ("compose.yaml", "compose-valkey.yaml"):
        [doc] = load("hub/" + name, "Compose")
        out.append((name, doc["services"]["hub"]["command"]))
    for name in ("kubernetes.yaml", "kubernetes-valkey.yaml"):
        out += [(name, c["args"]) for _, c in containers(name)]
    out.append(("Dockerfile", json.loads(re.search(r"^CMD (.*)$", text("Dockerfile"), re.M).group(1))))
    return out


def containers(name):
    return [(d, c) for d in load("hub/" + name) if "template" in d.get("spec", {}) for c in d["spec"]["template"]["spec"]["containers"]]


def test_options_of_the_manifests_exist():
    said = subprocess.run([hub.WEIR, "hub", "--help"], capture_output=True, text=True, check=True).stdout
    known = set(re.findall(r"--[a-z][a-z-]+", said))
    missing = {(where, a) for where, args in commands() for a in args[1:] if a.startswith("--") and a not in known}
    if "--store" not in known:
        # A build of before the shared store.
        assert {a for _, a in missing} <= SHARED
        missing = set()
    assert not missing
    assert all(args[0] == "hub" for _, args in commands())


def test_proxies_and_hub_have_one_configuration():
    """The same file in every form, but for the name that each control plane gives to the cluster."""
    want = filter_json()
    [cm] = [d for d in load("hub/kubernetes.yaml") if d["kind"] == "ConfigMap"]
    [cm2] = [d for d in load("hub/kubernetes-valkey.yaml") if d["kind"] == "ConfigMap"]
    assert json.loads(cm["data"]["filter.json"]) == json.loads(cm2["data"]["filter.json"]) == want
    assert json.loads(weir_filter(yaml.safe_load(text("envoy.yaml")))["configuration"]["value"]) == want
    plugins = [(d["spec"].get("pluginConfig") or d["spec"].get("defaultConfig")) for f in ("istio.yaml", "higress.yaml")
               for d in load("hub/" + f) if d["kind"] == "WasmPlugin"]
    assert [p["policy"] for p in plugins] == [want["policy"]] * 2


def weir_filter(doc):
    [listener] = doc["static_resources"]["listeners"]
    [f] = [f for f in listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"] if f["name"] == "weir"]
    return f["typed_config"]["config"]


def test_secrets_are_references():
    for name in ("kubernetes.yaml", "kubernetes-valkey.yaml"):
        for _, c in containers(name):
            for e in c["env"]:
                assert "value" not in e and e["valueFrom"]["secretKeyRef"]["name"].startswith("weir-hub"), e
    for name in ("compose.yaml", "compose-valkey.yaml"):
        [doc] = load("hub/" + name, "Compose")
        for service in doc["services"].values():
            for key, value in service.get("environment", {}).items():
                assert re.fullmatch(rf"\$\{{{key}:\?[^}}]+\}}", value), (key, value)


def test_kubernetes_objects_belong_together():
    for name, count in (("kubernetes.yaml", 1), ("kubernetes-valkey.yaml", 2)):
        docs = {d["kind"]: d for d in load("hub/" + name)}
        [(work, c)] = containers(name)
        labels = work["spec"]["template"]["metadata"]["labels"]
        assert work["spec"]["replicas"] == count
        assert work["spec"]["selector"]["matchLabels"] == docs["Service"]["spec"]["selector"] == labels
        assert docs["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
        if "PodDisruptionBudget" in docs:
            assert docs["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
        [port] = c["ports"]
        assert c["args"][-1].endswith(f":{port['containerPort']}") and docs["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
        mounts = {m["name"] for m in c["volumeMounts"]}
        claims = {v["metadata"]["name"] for v in work["spec"].get("volumeClaimTemplates", [])}
        assert mounts == claims | {v["name"] for v in work["spec"]["template"]["spec"]["volumes"]}
        probes = [c[p]["httpGet"]["path"] for p in ("startupProbe", "readinessProbe", "livenessProbe")]
        # Of two hubs one stands by: it must count as ready, or no rollout ends.
        assert probes == ["/healthz", "/readyz" if count == 1 else "/healthz", "/healthz"]


class Active(hub.Hub):
    """A hub as the manifests start it, on a file of theirs."""

    def __init__(self, config, args):
        self.line = args
        super().__init__(config)

    def start(self):
        # Paths and addresses are this machine's.
        here = {"--config": self.config, "--state": self.state, "--listen": f"127.0.0.1:{self.port}"}
        given = dict(zip(self.line[1::2], self.line[2::2]))
        assert set(given) == set(here)
        self.args = []
        super().start()


@pytest.mark.parametrize("where", ["compose.yaml", "kubernetes.yaml", "Dockerfile"])
def test_commands_of_the_manifests_start_a_hub_and_its_probes_answer(where, monkeypatch):
    monkeypatch.setenv("WEIR_SEED", harness.SEED)
    [args] = [a for w, a in commands() if w == where]
    h = Active(filter_json(), args)
    try:
        assert (h.get("/healthz"), h.get("/readyz")) == ("ok\n", "ready\n")
        assert h.status()["policy"] == "prod"
    finally:
        h.stop()


def proxied(ports, upstream_port, cluster=None, plugin=None):
    """envoy/hub/envoy.yaml for this machine: the edit of a template. `ports`: those of the hubs; `cluster`: in the place of its own."""
    def edit(given):
        doc = yaml.safe_load(given)
        doc["admin"]["address"]["socket_address"]["port_value"] = edit.admin
        [listener] = doc["static_resources"]["listeners"]
        assert listener["address"]["socket_address"] == {"address": "0.0.0.0", "port_value": 10000}
        listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": edit.port}
        hcm = listener["filter_chains"][0]["filters"][0]["typed_config"]
        hcm["access_log"][0]["typed_config"]["path"] = edit.log
        if plugin:
            at = next(i for i, f in enumerate(hcm["http_filters"]) if f["name"] == "weir")
            hcm["http_filters"][at] = {**plugin, "name": "weir"}
        else:
            weir_filter(doc)["vm_config"]["code"]["local"]["filename"] = os.path.abspath(harness.WASM)
        model, own = doc["static_resources"]["clusters"]
        endpoints = lambda ps: [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": p}}}} for p in ps]}]
        model["load_assignment"]["endpoints"] = endpoints([upstream_port])
        if cluster:
            doc["static_resources"]["clusters"][1] = own = cluster
        own["load_assignment"]["endpoints"] = endpoints(ports)
        return json.dumps(doc)
    return edit


class Edited(harness.Envoy):
    """An Envoy on a whole configuration."""

    def render(self, config, wasm=harness.WASM, template=None):
        self.edit.admin, self.edit.port, self.edit.log = self.admin, self.port, self.access_log
        return self.edit(text("envoy.yaml"))


@pytest.fixture
def run(upstream, monkeypatch):
    monkeypatch.setenv("WEIR_SEED", harness.SEED)
    started = []

    def go(ports, **kw):
        e = Edited({}, upstream.port, edit=proxied(ports, upstream.port, **kw))
        started.append(e)
        return e
    yield go
    for e in started:
        e.stop()


@pytest.fixture
def active(monkeypatch):
    monkeypatch.setenv("WEIR_SEED", harness.SEED)
    h = hub.Hub(filter_json())
    yield h
    h.stop()


@pytest.fixture
def standbys():
    """Two that are no use: they answer every path as a stand-by does, with 503, and count what they were asked."""
    asked = []

    def answer(path, body):
        asked.append(path)
        return 503, "text/plain", b"standby\n"
    ups = [harness.Upstream(answer) for _ in range(2)]
    yield [u.port for u in ups], asked
    for u in ups:
        u.stop()


def told(e, h, n=5):
    for i in range(n):
        assert post(e.port, headers=[("authorization", f"Bearer k{i}")]).status == 200
    e.wait_stat(lambda v: v == n, "weir.hub_sent.", seconds=30)
    assert h.status()["observations"] == n
    assert hub.TOKEN not in e.get("/config_dump"), "the token stands in no dump of the configuration"


def test_envoy_finds_the_active_hub_among_standbys(run, active, standbys):
    ports, asked = standbys
    e = run([ports[0], active.port, ports[1]])
    told(e, active)
    assert e.stat("cluster.weir_hub.membership_healthy") == 1
    assert set(asked) == {"/readyz"}, "no stand-by is called, not even in a panic"
    assert e.stat("cluster.weir_hub.upstream_cx_http1_total") > 0 and e.stat("cluster.weir_hub.upstream_cx_http2_total") == 0
    active.kill()
    e.wait_stat(lambda v: v == 0, "cluster.weir_hub.membership_healthy", seconds=30)
    assert post(e.port, headers=[("authorization", "Bearer k0")]).status == 200
    active.start()
    e.wait_stat(lambda v: v == 1, "cluster.weir_hub.membership_healthy", seconds=30)
    e.wait_stat(lambda v: v == 6, "weir.hub_sent.", seconds=60)


def test_istio_service_entry(run, active, standbys):
    entry, rule, plugin = load("hub/istio.yaml")
    cluster = manifests.istio_cluster(entry, rule)
    assert plugin["spec"]["pluginConfig"]["hub"]["cluster"] == cluster["name"]
    e = run([active.port], cluster=cluster, plugin=manifests.istio_plugin(plugin))
    told(e, active)
    # A stand-by is left out at its first answer.
    e = run([standbys[0][0], active.port], cluster=cluster, plugin=manifests.istio_plugin(plugin))
    for i in range(5):
        assert post(e.port, headers=[("authorization", f"Bearer other{i}")]).status == 200
    e.wait_stat(lambda v: v == 5, "weir.hub_sent.", seconds=30)


def test_higress_mcp_bridge(run, active):
    bridge, plugin = load("hub/higress.yaml")
    [registry] = bridge["spec"]["registries"]
    cluster = manifests.higress_cluster(registry)
    assert bridge["metadata"]["name"] == "default", "Higress reads no other"
    assert plugin["spec"]["defaultConfig"]["hub"]["cluster"] == cluster["name"]
    told(run([active.port], cluster=cluster, plugin=manifests.higress(plugin)), active)
