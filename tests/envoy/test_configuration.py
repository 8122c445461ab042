"""Configuration on a real Envoy: refused with a precise line, chosen by route, kept apart by policy."""
import re
import struct

from harness import BAD, GOOD, WASM, config, key_id, post, second_filter


def test_a_bad_configuration_stops_the_start_and_says_why(start):
    e = start(config(mode="enforced", limits=[{"name": "x", "requests": 0, "per": "60"}]), expect_failure=True)
    assert not e.started
    log = e.log()
    assert 'configuration refused: mode: is "enforced", must be one of "off", "shadow", "enforce"' in log
    assert "configuration refused: limits[0].requests: is 0, must be a whole number" in log
    assert "configuration refused: limits[0].per" in log


def test_warnings_are_logged(start):
    e = start({"mode": "shadow", "demo": {"time_scale": 10}})
    e.wait_log("the clock runs fast")
    e.wait_log("seed: absent: the module takes a random one for as long as its process lives")


def test_nothing_is_enforced_without_a_seed(start):
    for conf in ({"mode": "enforce"}, {"profiles": {"s": {"mode": "enforce"}}}, {"routes": [{"match": {"path": "/v1/chat"}, "mode": "enforce"}]}):
        e = start(conf, expect_failure=True)
        assert not e.started
        assert "configuration refused: seed: is missing: mode enforce needs a secret of your own" in e.log()


def kids(e, n=3):
    """The keys of three clients, as decision lines of every worker name them."""
    for _ in range(8):
        for i in range(n):
            post(e.port, headers=[("x-api-key", f"k{i}")] * 2 + [("api-key", f"made{i}")])
    e.wait_log('"key":"kid:')
    return set(re.findall(r'"key":"(kid:[0-9a-f]{16})"', e.log()))


def test_without_a_seed_all_workers_share_a_random_one_that_no_other_process_has(start):
    conf = {"mode": "shadow", "log": {"decisions": "all"}}
    e = start(conf, workers=4, lds=True)
    first = kids(e)
    assert len(first) == 3, first
    e.push({**conf, "limits": []})
    assert kids(e) == first, "a push keeps it"
    other = kids(start(conf, workers=1))
    assert len(other) == 3 and not other & first


def test_routes_choose_profiles(start, upstream):
    routes = [{"match": {"path": "/v1/embeddings"}, "mode": "off"}, {"match": {"route": "ch*", "domain": "api.*"}, "profile": "watchers"}]
    e = start(config(routes=routes, profiles={"watchers": {"mode": "shadow"}, "strict": {}}))
    assert post(e.port, path="/v1/embeddings", headers=BAD).status == 200
    assert post(e.port, headers=BAD).status == 200
    assert post(e.port, path="/strict/v1/chat/completions", headers=BAD).status == 429, "named by the route's metadata"
    assert e.stat("weir.requests", "profile=watchers", "action=block", "mode=shadow") == 1
    assert e.stat("weir.requests", "profile=strict", "action=block", "mode=enforce") == 1


def test_higress_rules(start, upstream):
    rules = [{"_match_route_": ["chat"], "mode": "shadow"}, {"_match_domain_": ["*.example.com"], "mode": "off"}]
    e = start(config(_rules_=rules))
    assert post(e.port, headers=BAD).status == 200
    assert e.stat("weir.requests", "action=block", "mode=shadow") == 1


def test_the_seed_may_come_from_the_environment(start):
    from harness import SEED
    c = config()
    del c["seed"]
    env = f"environment_variables: {{key_values: {{WEIR_SEED: '{SEED}'}}}}"
    e = start(c, edit=lambda y: y.replace("vm_id: weir\n", f"vm_id: weir\n                  {env}\n"))
    assert post(e.port, headers=BAD).status == 429
    assert "derived from the policy" not in e.log()


def test_two_instances_in_one_vm_keep_their_own_mode_and_state(start, upstream):
    e = start(config(), edit=second_filter(config(policy="other", mode="shadow", deny=[{"name": "g", "key": key_id("good")}])))
    assert post(e.port, headers=BAD).status == 429
    assert post(e.port, headers=GOOD).status == 200
    assert e.stat("weir.requests", "policy=test", "action=block", "mode=enforce") == 1
    assert e.stat("weir.requests", "policy=other", "action=block", "mode=shadow") == 1
    assert e.stat("wasm.envoy.wasm.runtime.v8.active") <= 4


def test_one_policy_under_two_seeds_keeps_both_memories(start):
    limits = [{"name": "l", "requests": 3, "per": "1h"}]
    e = start(config(limits=limits), edit=second_filter(config(limits=limits, mode="shadow", seed="ab" * 32, deny=[])))
    assert [post(e.port, headers=GOOD).status for _ in range(5)] == [200, 200, 200, 429, 429]


def test_nothing_secret_is_logged(start):
    secret, text = "sk-planted-secret-4711", "planted prompt text 0815"
    e = start(config(log={"decisions": "all"}, limits=[{"name": "l", "requests": 1, "per": "1h"}]))
    for _ in range(3):
        post(e.port, headers=[("authorization", f"Bearer {secret}")], body={"messages": [{"role": "user", "content": text}]})
    e.wait_log('"action":"throttle"')
    log = e.log()
    assert '"weir":"decision"' in log
    everything = log + e.get("/stats") + e.get("/config_dump")
    assert secret not in everything and text not in everything


def sections(path):
    with open(path, "rb") as h:
        data = h.read()
    at, out = 8, {}

    def leb(at):
        value = shift = 0
        while True:
            b = data[at]
            value |= (b & 127) << shift
            at, shift = at + 1, shift + 7
            if b < 128:
                return value, at

    def name(at):
        n, at = leb(at)
        return data[at:at + n].decode(), at + n

    while at < len(data):
        kind = data[at]
        size, start = leb(at + 1)
        out[kind] = start
        at = start + size
    imports, at = [], out[2]
    n, at = leb(at)
    for _ in range(n):
        module, at = name(at)
        field, at = name(at)
        assert data[at] == 0, "only functions are imported"
        _, at = leb(at + 1)
        imports.append(f"{module}.{field}")
    exports, at = [], out[7]
    n, at = leb(at)
    for _ in range(n):
        field, at = name(at)
        _, at = leb(at + 1)
        exports.append(field)
    return len(data), imports, exports


def test_the_module_imports_and_exports_only_what_it_needs():
    size, imports, exports = sections(WASM)
    assert struct.calcsize("I") == 4 and size <= 532_480, size
    wasi = {"clock_time_get", "environ_get", "environ_sizes_get", "fd_write", "proc_exit", "random_get"}
    for i in imports:
        module, field = i.split(".")
        assert module == "env" and field.startswith("proxy_") or field in wasi, i
    assert "env.proxy_set_buffer_bytes" not in imports, "a body is never changed"
    assert len([i for i in imports if i.startswith("env.")]) <= 18
    of_streams = [e for e in exports if "response" in e or "downstream" in e or "upstream" in e]
    assert of_streams == ["proxy_on_http_call_response"], "that of the leader's call to the hub"
    assert {"proxy_on_request_headers", "proxy_on_request_body", "proxy_on_request_trailers", "proxy_on_tick"} <= set(exports)
    assert GOOD
