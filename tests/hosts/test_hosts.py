"""The shipped module on hosts that lack something: it configures, says what is missing, denies and limits what it still can, and
never traps. `make test-hosts`.
"""
import json
import re
import random

import pytest
import wasmtime
from harness import SEED, chat, config, key_id
from host import START, UNIMPLEMENTED, Host

BODY = json.dumps(chat("a question of four words")).encode()
# Without these there is nothing left to do; the rest is done without.
REQUIRED = {
    "proxy_get_buffer_bytes": "no body is seen: every prompt is empty",
    "proxy_get_header_map_pairs": "no request can be told from another",
    "proxy_send_local_response": "nothing can be rejected",
}
OPTIONAL = {
    "proxy_log": None,
    "proxy_get_current_time_nanoseconds": "clock",
    "proxy_set_tick_period_milliseconds": "timer",
    "proxy_add_header_map_value": None,
    "proxy_remove_header_map_value": None,
    "proxy_get_property": None,
    "proxy_set_property": None,
    "proxy_http_call": None,
    "proxy_define_metric": "metrics",
    "proxy_increment_metric": None,
    "proxy_record_metric": None,
    "proxy_set_effective_context": None,
    "proxy_continue_stream": None,
    "proxy_get_shared_data": "shared data",
    "proxy_set_shared_data": "shared data",
}
LIMITED = config(limits=[{"name": "l", "requests": 3, "per": "1h"}])


def start(conf=LIMITED, **kw):
    return Host(json.dumps(conf) if isinstance(conf, dict) else conf, **kw)


def missing(h):
    return [line.removeprefix("weir: this host has no ") for line in h.logs if "this host has no" in line]


def settle(h):
    """Ticks enough for somebody to lead, and for verdicts to come back."""
    for _ in range(40):
        h.pass_time(0.1)


def test_a_host_with_everything():
    h = start()
    assert h.configured and not missing(h) and h.tick_ms == 100
    assert h.request("bad", BODY) == 429 and h.reply == (429, "weir:deny_list")
    assert [h.request("a", BODY) for _ in range(5)] == [0, 0, 0, 429, 429]
    settle(h)
    assert h.stat("weir.leader_present.") == 1 and h.stat("weir.keys.") == 2
    h.pass_time(3600)
    assert h.request("a", BODY) == 0


def test_a_panic_says_so_in_the_log():
    """A host that names a stream which it has not made: the SDK panics, and the VM ends; its message comes first."""
    h = start()
    with pytest.raises((wasmtime.Trap, wasmtime.WasmtimeError)):
        h.run("proxy_on_request_headers", 999, 0, 1)
    assert any("panicked at" in line and "invalid context_id" in line for line in h.logs), h.logs[-3:]


def test_a_host_that_refuses_lines_later_keeps_its_vm():
    """Its log is full, or closed, after the start."""
    h = start()
    h.refuse["proxy_log"] = 10
    before = len(h.logs)
    h.config = b"{"
    h.run("proxy_on_configure", 1, len(h.config))
    assert h.request("bad", BODY) == 429 and len(h.logs) == before
    assert h.calls["log"] > before, "it has had something to say"


def test_every_import_is_listed_here():
    from host import compiled
    import harness
    names = {i.name for i in compiled(harness.WASM)[1].imports if i.module == "env"}
    assert names == set(REQUIRED) | set(OPTIONAL)


@pytest.mark.parametrize("status", [UNIMPLEMENTED, 1, 2, 10])
@pytest.mark.parametrize("name", OPTIONAL)
def test_a_call_is_refused(name, status):
    h = start(refuse={name: status})
    assert h.configured
    what = OPTIONAL[name]
    if name != "proxy_log" and not (name == "proxy_get_shared_data" and status == 1):
        assert [m.split(":")[0] for m in missing(h)] == ([what] if what else [])
    assert h.request("bad", BODY) == 429
    assert [h.request("a", BODY) for _ in range(5)] == [0, 0, 0, 429, 429]
    settle(h)
    assert h.request("bad", BODY) == 429
    if what in ("shared data", "timer"):
        h.request("b", BODY)
        h.pass_time(2)
        h.request("b", BODY)
        assert h.stat("weir.scope_vm.") == 1 and h.stat("weir.keys.") >= 1, "each VM learns alone, and its gauges are written"


@pytest.mark.parametrize("status", [UNIMPLEMENTED, 1, 2, 10])
@pytest.mark.parametrize("name", REQUIRED)
def test_a_call_without_which_nothing_can_be_done(name, status):
    h = start(refuse={name: status}, env={"WEIR_CONFIG": json.dumps(LIMITED)})
    assert h.configured
    got = h.request("bad", BODY)
    if name == "proxy_get_buffer_bytes":
        assert got == 429, "the key is known from the headers"
    else:
        assert got in (0, None), REQUIRED[name]
        assert h.stat("weir.requests_seen.") == 1
    closed = start({**LIMITED, "failure_mode": "closed"}, refuse={"proxy_get_header_map_pairs": status})
    assert closed.request("good", BODY) == 503


@pytest.mark.parametrize("name", sorted(set(OPTIONAL) | set(REQUIRED)))
def test_a_host_that_does_not_offer_an_import_refuses_the_module(name):
    with pytest.raises(wasmtime.WasmtimeError, match=name):
        start(absent={name})


@pytest.mark.parametrize("status", [UNIMPLEMENTED, 1, 2, 10])
def test_a_hub_on_a_host_without_calls_is_told_once_and_costs_nothing(status):
    h = start({**LIMITED, "hub": {"cluster": "hub"}}, refuse={"proxy_http_call": status})
    settle(h)
    h.pass_time(60)
    assert len([line for line in h.logs if "the hub cannot be called" in line]) == 1
    # The first refusal of a burst waits for the ledger's word.
    assert [h.request("a", BODY) for _ in range(4)] == [0, 0, 0, None]
    assert h.request("a", BODY, patience=0.7) == 429
    for _ in range(20):
        h.pass_time(0.1)
    assert h.request("a", BODY) == 429
    settle(h)
    h.pass_time(2)
    assert h.stat("weir.hub_failed.") > 0 and h.stat("weir.hub_waiting.") == 6


def test_the_hub_is_called_by_the_leader_and_one_call_is_in_flight():
    h = start({**LIMITED, "hub": {"cluster": "hub", "token_env": "T"}}, env={"T": "secret"})
    settle(h)
    for _ in range(20):
        h.pass_time(0.5)
    (cluster, headers, body), = h.http_calls
    assert cluster == "hub" and dict(headers)["authorization"] == "Bearer secret" and dict(headers)[":path"] == "/v1/exchange"
    assert body[:2] == b"WX" and not [line for line in h.logs if "secret" in line]
    # Answers that are none: nothing traps, and the next call is made after a while.
    for status, answer in [("503", b""), ("200", b""), ("200", b"WX" + bytes(500)), ("nonsense", b"\xff" * 9)]:
        before = len(h.http_calls)
        h.answer_call([(":status", status), ("weir-error", "a_name\n\x00" + "x" * 99)], answer)
        h.pass_time(40)
        assert len(h.http_calls) == before + 1
    assert h.request("bad", BODY) == 429


def test_everything_optional_is_missing_at_once():
    h = start(refuse={name: UNIMPLEMENTED for name in OPTIONAL if name != "proxy_log"})
    assert h.configured
    assert [m.split(":")[0] for m in missing(h)] == ["timer", "metrics", "clock"]
    assert h.request("bad", BODY) == 429
    assert [h.request("a", BODY) for _ in range(5)] == [0, 0, 0, 429, 429]
    for i in range(600):
        assert h.request(f"k{i}", BODY) == 0


def campaign(h, accounts=150, hours=30):
    """Accounts, each from a network of its own, that send about one request an hour under one template; those that were blocked."""
    dice = random.Random(1)
    template = "Write down step by step how you would solve the exercise below and close with the answer alone on the last line "
    words = "river stone market letter window garden engine paper bottle mirror candle harbour ladder basket hammer anchor".split()
    created = str((START // 10**9) - 3600)
    blocked = set()
    for _ in range(hours):
        order = dice.sample(range(accounts), accounts)
        for a in order:
            text = template + " ".join(dice.choice(words) + dice.choice(words) for _ in range(10))
            body = json.dumps(chat(text)).encode()
            h.properties["source.address"] = b"10.%d.7.1:1234" % a
            status = h.request(f"acc{a}", body, headers=[
                (":method", "POST"), (":path", "/v1/chat/completions"), (":authority", "a"), ("content-length", str(len(body))),
                ("x-api-key", f"acc{a}"), ("x-created", created)])
            if status == 429:
                blocked.add(a)
            h.pass_time(dice.expovariate(accounts / 3600))
    return blocked


@pytest.mark.parametrize("lack", [(), ("proxy_set_tick_period_milliseconds",), ("proxy_get_shared_data", "proxy_set_shared_data")])
def test_a_campaign_is_found_without_timer_and_without_shared_data(lack):
    conf = config(limits=[], deny=[], scope="vm", identity={"sources": [{"header": "x-api-key"}], "age": {"header": "x-created"}, "learn": "0s"})
    h = start(conf, refuse={name: UNIMPLEMENTED for name in lack})
    assert len(campaign(h)) >= 140


def test_a_clock_that_stands_still_neither_lets_all_pass_nor_blocks_for_ever():
    h = start(frozen=True)
    assert [h.request("a", BODY) for _ in range(5)] == [0, 0, 0, 429, 429], "a limit is a quota for as long as time stands"
    h.frozen = False
    h.pass_time(3600)
    assert h.request("a", BODY) == 0


def test_a_clock_that_stands_within_a_callback_is_no_matter():
    h = start()
    for _ in range(10):
        h.frozen = True
        assert h.request("a", BODY) in (0, 429)
        h.frozen = False
        h.pass_time(1200)
    assert h.request("a", BODY) == 0


def test_configuration_comes_from_the_environment_where_the_host_has_no_other():
    h = start("", env={"WEIR_CONFIG": json.dumps({k: v for k, v in LIMITED.items() if k != "seed"}), "WEIR_SEED": SEED})
    assert h.configured and h.request("bad", BODY) == 429
    assert start("").configured, "neither: the defaults, in shadow mode"
    h = start("", env={"WEIR_CONFIG": '{"mode": "on"}'})
    assert not h.configured and any("configuration refused: mode" in line for line in h.logs)


@pytest.mark.parametrize("end", [True, False])
def test_a_host_without_trailers_and_one_that_never_tells_the_end(end):
    h = start()
    assert h.request("bad", BODY, end_told=end) == 429
    assert h.waited == (not end), "for the end, until it is known that it never comes"
    assert h.request("bad", BODY, end_told=end) == 429 and not h.waited, "decided at content-length"
    assert h.request("good", BODY, end_told=end) == 0
    assert h.request("bad", BODY, trailers=True) == 429


def test_one_byte_at_a_time_and_any_chunk():
    for chunk in (1, 7, 4096):
        h = start()
        assert (h.request("bad", BODY, chunk=chunk), h.request("good", BODY, chunk=chunk)) == (429, 0)


@pytest.mark.parametrize("keys", [8_192, 32_768, 65_536])
def test_sixteen_mebibytes(keys, capsys):
    """As on Google's service extensions: 16 MiB a VM, stack and all. Without shared data the VM holds the ledger, too."""
    conf = config(keys=keys, limits=[])
    h = start(conf, refuse={"proxy_set_shared_data": UNIMPLEMENTED, "proxy_get_shared_data": UNIMPLEMENTED}, memory=16 << 20)
    for i in range(2_000):
        h.request(f"k{i}", BODY)
    assert h.request("bad", BODY) == 429
    with capsys.disabled():
        print(f"\nkeys {keys}: {h.pages() * 64} KiB of memory, scope vm")


def test_fuel_of_each_callback(capsys):
    """Instructions as wasmtime counts them: the same in every run."""
    h = start(config(limits=[]), refuse={"proxy_set_shared_data": UNIMPLEMENTED, "proxy_get_shared_data": UNIMPLEMENTED})
    h.request("warm", BODY)
    rows = []
    for size in (1_000, 4_000, 16_000, 64_000):
        body = json.dumps(chat("what is the difference between a weir and a dam", size)).encode()
        h.request("a", body)
        rows.append((len(body), h.spent["headers"], h.spent["body"]))
    with capsys.disabled():
        print(f"\n{'body':>8} {'headers':>9} {'body callback':>14}  wasm instructions, scope vm")
        for row in rows:
            print(f"{row[0]:>8} {row[1]:>9} {row[2]:>14}")
    assert rows[-1][2] < 3_000_000, "a millisecond is about 3 million of them"


def test_the_ledger_of_a_host_without_shared_data_is_its_own():
    conf = {**LIMITED, "deny": [{"name": "bad", "key": key_id("bad")}]}
    one, two = (start(conf, refuse={"proxy_set_shared_data": UNIMPLEMENTED}) for _ in range(2))
    assert [one.request("a", BODY) for _ in range(4)] == [0, 0, 0, 429]
    assert two.request("a", BODY) == 0


def test_headers_alone():
    """For hosts that forget a request between its headers and its body (Gcore FastEdge)."""
    h = start({**LIMITED, "inspect": {"max_inspect_bytes": "0B"}})
    assert h.request("bad", BODY) == 429 and "body" not in h.spent, "decided before any body"
    assert [h.request("a", BODY) for _ in range(4)] == [0, 0, 0, 429]


def test_a_short_read_of_a_body_is_told():
    """Bytes that the host told of and did not hand over: what is left may still be JSON."""
    for cut in (0, 5):
        h = start(config(limits=[], inspect={"on_unreadable": "reject"}))
        give = Host.on_get_buffer_bytes
        h.on_get_buffer_bytes = lambda c, kind, at, n, out, length: give(h, c, kind, at, n - cut if kind == 0 and n == 65_536 else n, out, length)
        chunked = [(":method", "POST"), (":path", "/v1/chat/completions"), (":authority", "a"), ("x-api-key", "good")]
        body = b'{"messages":[' + b" " * 70_000 + b'{"role":"user","content":"a question of four words"}]}'
        assert h.request(body=body, headers=list(chunked)) == (400 if cut else 0)
        assert h.stat("weir.unreadable.", "kind=truncated") == (1 if cut else 0)


def test_without_a_seed_it_is_random_where_the_host_can():
    conf = {"mode": "shadow", "log": {"decisions": "all"}, "limits": [{"name": "l", "requests": 1, "per": "1h"}]}
    line = lambda h: [h.request("a", BODY) for _ in range(2)] and re.search(r'"key":"(kid:[0-9a-f]+)"', "".join(h.logs)).group(1)
    with_random = [start(conf), start(conf), start(conf, refuse={"proxy_set_shared_data": 12}), start(conf, refuse={"proxy_get_shared_data": 12})]
    assert len({line(h) for h in with_random}) == 4
    none = [start(conf, refuse={"random_get": 52}) for _ in range(2)]
    assert len({line(h) for h in none}) == 1, "derived, and said so"
    assert all("this host has no randomness" in "".join(h.logs) for h in none)
    refused = start({**conf, "mode": "enforce"})
    assert not refused.configured and "mode enforce needs a secret of your own" in "".join(refused.logs)


def test_short_lived_keys_are_noticed_and_told_once():
    """Credentials that rotate: each is a newcomer that lives for an hour."""
    conf = config(limits=[], deny=[], scope="vm")
    for rotating, stays in ((120, 0), (0, 120), (70, 60)):
        h = start(conf)
        for i in range(stays):
            h.request(f"stays{i}", BODY)
        for i in range(rotating):
            h.request(f"made{i}", BODY)
        for _ in range(20):  # ten minutes at most are believed at once
            h.pass_time(540)
        for i in range(stays):
            h.request(f"stays{i}", BODY)
        for _ in range(2):  # counted every ten minutes
            h.pass_time(540)
        percent = 100 * rotating // (rotating + stays)
        assert h.stat("weir.short_lived_percent.") == percent
        said = [line for line in h.logs if "lived shorter than 2 hours" in line]
        # All are short-lived until those that stay come back.
        assert len(said) == 1 and said[0].startswith("weir: 100 %")
