"""What a request meets on a real Envoy: status, headers, body, what the upstream saw, what was counted."""
import gzip
import json
import random
import socket
import time

import pytest
from harness import BAD, GOOD, bare, chat, config, key_id, post, raw, read_reply, request


def wait_for(check, seconds=5):
    end = time.time() + seconds
    while time.time() < end:
        if check():
            return True
        time.sleep(0.05)
    return False


def test_allowed_and_denied(start, upstream):
    e = start()
    ok = post(e.port, headers=GOOD)
    assert (ok.status, ok.json()) == (200, {"ok": True})
    no = post(e.port, headers=BAD + [("x-request-id", "abc-1")])
    assert no.status == 429
    err = no.json()["error"]
    assert set(err) == {"message", "type", "param", "code"}
    assert (err["type"], err["code"], err["param"]) == ("requests", "rate_limit_exceeded", None)
    assert err["message"].startswith("Request limit reached. Case ")
    assert no.headers["x-should-retry"] == "false"
    assert no.headers["x-envoy-ratelimited"] == "true"
    assert "retry-after" not in no.headers and "ratelimit" not in no.headers
    assert len(upstream.requests) == 1
    assert e.stat("weir.requests", "action=block", "reason=deny_list", "mode=enforce") == 1
    assert e.stat("weir.requests_seen") == 2
    assert wait_for(lambda: "weir:deny_list" in e.access())
    assert "FILTER_STATE" not in e.access() and "deny_list" in e.access().split("weir:deny_list")[1]


def test_shadow_counts_and_changes_nothing(start, upstream):
    e = start(config(mode="shadow"))
    for _ in range(3):
        assert post(e.port, headers=BAD).status == 200
    assert len(upstream.requests) == 3
    assert e.stat("weir.requests", "action=block", "reason=deny_list", "mode=shadow") == 3
    assert wait_for(lambda: "shadow block; reason=deny_list; case=" in e.access()), "the access log tells what would have been done"


def test_percent_zero_acts_on_nobody(start):
    e = start(config(enforce_percent=0))
    assert post(e.port, headers=BAD).status == 200


def test_limit_throttles_with_retry_after_and_refills(start, upstream):
    e = start(config(limits=[{"name": "burst", "requests": 3, "per": "3s"}]))
    got = [post(e.port, headers=GOOD) for _ in range(5)]
    assert [r.status for r in got] == [200, 200, 200, 429, 429]
    wait = int(got[3].headers["retry-after"])
    assert 1 <= wait <= 60
    assert got[3].headers["ratelimit-policy"] == '"burst";q=3;w=3'
    assert got[3].headers["ratelimit"] == f'"burst";r=0;t={wait}'
    assert "x-should-retry" not in got[3].headers
    assert post(e.port, headers=[("x-api-key", "another")]).status == 200
    time.sleep(wait + 0.1)
    assert post(e.port, headers=GOOD).status == 200
    assert len(upstream.requests) == 5


@pytest.mark.parametrize("path,check", [
    ("/v1/chat/completions", lambda v: v["error"]["code"] == "rate_limit_exceeded"),
    ("/v1/responses", lambda v: v["error"]["code"] == "rate_limit_exceeded"),
    ("/v1/messages", lambda v: v["type"] == "error" and v["error"]["type"] == "rate_limit_error"),
    ("/v1beta/models/g:generateContent", lambda v: v["error"]["status"] == "RESOURCE_EXHAUSTED" and v["error"]["code"] == 429),
    ("/model/m/converse", lambda v: v["message"].startswith("Request limit reached.")),
    ("/v2/chat", lambda v: "message" in v),
    ("/api/chat", lambda v: "error" in v),
])
def test_replies_are_in_the_callers_dialect(start, path, check):
    e = start()
    r = post(e.port, path=path, headers=BAD)
    assert r.status == 429 and check(r.json()), r.body
    if path.startswith("/model/"):
        assert r.headers["x-amzn-errortype"] == "ThrottlingException"
    if path == "/v1/messages":
        assert r.headers["request-id"] == r.json()["request_id"]


def test_problem_json_only_when_asked_for(start):
    e = start()
    r = post(e.port, headers=BAD + [("accept", "application/problem+json")])
    assert r.headers["content-type"] == "application/problem+json"
    assert r.json()["status"] == 429


def test_grpc_is_resource_exhausted(start):
    e = start()
    r = post(e.port, headers=BAD + [("content-type", "application/grpc")])
    assert (r.status, r.headers.get("grpc-status")) == (200, "8")
    assert r.headers["content-type"] == "application/grpc"
    r = post(e.port, path="/strict/v1/chat/completions", headers=GOOD + [("content-type", "application/grpc")], body=b"\0\0\0\0\1x")
    assert (r.status, r.headers.get("grpc-status")) == (200, "3"), "a body that cannot be read is not a quota"


def test_a_forged_verdict_header_is_stripped(start, upstream):
    e = start()
    post(e.port, headers=GOOD + [("x-weir-verdict", "allow"), ("X-Weir-Verdict", "again")])
    post(e.port, path="/not/inference", headers=GOOD + [("x-weir-verdict", "allow")])
    post(e.port, headers=GOOD + [("X_Weir-Verdict", "allow"), ("x_weir_verdict", "allow")])
    post(e.port, path="/v1/models", headers=GOOD + [("x-weir-verdict", "allow")], method="GET")
    off = start(config(mode="off"))
    post(off.port, headers=GOOD + [("x-weir-verdict", "allow")])
    assert len(upstream.requests) == 5
    for head, _ in upstream.requests:
        assert "x-weir-verdict" not in head.lower().replace("_", "-")


def test_a_tag_reaches_the_upstream_when_headers_are_held(start, upstream):
    two = [("x-api-key", "one"), ("x-api-key", "two")]
    e = start(config(inspect={"hold_headers": True}))
    assert post(e.port, headers=two).status == 200
    assert "x-weir-verdict: watch; reason=ambiguous" in upstream.requests[0][0]
    late = start(config())
    assert post(late.port, headers=two).status == 200
    assert "x-weir-verdict" not in upstream.requests[1][0]
    assert late.stat("weir.tag_late") == 1


def test_two_credentials_are_one_key_in_any_order(start):
    a, b = ("x-api-key", "one"), ("x-api-key", "two")
    e = start(config(limits=[{"name": "l", "requests": 2, "per": "1h"}]))
    assert [post(e.port, headers=h).status for h in ([a, b], [b, a], [a, b])] == [200, 200, 429]
    assert post(e.port, headers=[a]).status == 429, "each of the two has paid"
    assert post(e.port, headers=[("x-api-key", "three")]).status == 200
    assert e.stat("weir.requests", "reason=ambiguous") >= 1


def test_a_second_credential_brings_no_fresh_quota_and_no_pardon(start, upstream):
    e = start(config(limits=[{"name": "l", "requests": 2, "per": "1h"}]))
    for other in ("x", "y"):
        assert post(e.port, headers=BAD + [("x-api-key", other)]).status == 429
        assert post(e.port, headers=[("authorization", f"Bearer {other}")] + BAD).status == 429
    assert upstream.requests == []
    assert [post(e.port, headers=GOOD + [("x-api-key", f"made-up-{i}")]).status for i in range(4)] == [200, 200, 429, 429]
    crowd = [("x-api-key", f"k{i}") for i in range(12)]
    assert post(e.port, path="/strict/v1/chat/completions", headers=crowd).status == 200, "however many, the body is read"
    assert post(e.port, path="/strict/v1/chat/completions", headers=crowd + BAD).status == 429
    assert e.stat("weir.unreadable") == 0


def test_odd_header_bytes_are_a_key_like_any_other(start):
    e = start(config(limits=[{"name": "l", "requests": 1, "per": "1h"}]))
    odd = [("x-api-key", b"\xc3\xfe\xff")]
    assert [post(e.port, headers=odd).status for _ in range(2)] == [200, 429]


def test_identity_in_the_query_string(start):
    e = start(config(identity={"sources": [{"query": "key"}]}, deny=[{"name": "q", "key": key_id("bad")}]))
    assert post(e.port, path="/v1/chat/completions?key=bad").status == 429
    assert post(e.port, path="/v1/chat/completions?k%65y=b%61d").status == 429
    assert post(e.port, path="/v1/chat/completions?key=good").status == 200


def test_paths_that_only_look_different_are_judged_alike(start):
    e = start()
    for path in ["//v1//chat/completions", "/v1/chat/completions/", "/V1/CHAT/COMPLETIONS", "/v1/chat%2Fcompletions", "/v1/c%68at/completions"]:
        assert post(e.port, path=path, headers=BAD).status == 429, path


def test_get_and_foreign_paths_pass(start, upstream):
    e = start()
    assert post(e.port, path="/v1/models", headers=GOOD, method="GET").status == 200
    assert post(e.port, path="/healthz").status == 200
    assert e.stat("weir.requests", "reason=not_inference") == 2


def test_websocket_handshake_is_not_held(start, upstream):
    e = start(config(inspect={"hold_headers": True}))
    r = raw(e.port, b"GET /v1/realtime HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\nx-api-key: good\r\n\r\n")
    assert r.status == 101
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("hold", [True, False])
def test_an_upgrade_header_hides_no_prompt(start, upstream, hold):
    e = start(config(inspect={"hold_headers": hold}))
    body = json.dumps(chat("a question of four words")).encode()
    for kind in (b"websocket", b"h2c", b"odd"):
        up = b"connection: upgrade\r\nupgrade: " + kind + b"\r\n"
        assert raw(e.port, HEAD % b"bad" + up + b"content-length: %d\r\n\r\n" % len(body) + body).status in (403, 429)
        assert raw(e.port, HEAD % b"bad" + up + b"\r\n").status in (403, 429), "nothing to wait for"
    time.sleep(0.2)
    assert upstream.requests == []
    assert e.stat("weir.requests", "reason=not_inference") == 0


# ---- bodies

def chunked(body, size):
    out = b""
    for i in range(0, len(body), size):
        piece = body[i:i + size]
        out += b"%x\r\n%s\r\n" % (len(piece), piece)
    return out + b"0\r\n\r\n"


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nx-api-key: %s\r\n"


@pytest.mark.parametrize("hold", [True, False])
@pytest.mark.parametrize("size", [0, 300_000])
def test_chunked_bodies(start, upstream, hold, size):
    e = start(config(inspect={"hold_headers": hold}))
    body = json.dumps(chat("q", size)).encode()
    for key, status in ((b"good", 200), (b"bad", 429)):
        r = raw(e.port, HEAD % key + b"transfer-encoding: chunked\r\n\r\n" + chunked(body, 5000))
        assert r.status == status
    assert [b for _, b in upstream.requests] == [body], "the body arrives unchanged, the rejected one not at all"


def test_one_byte_at_a_time(start, upstream):
    e = start()
    body = json.dumps(chat("hi")).encode()
    for key, status in ((b"good", 200), (b"bad", 429)):
        head = HEAD % key + b"content-length: %d\r\n\r\n" % len(body)
        assert raw(e.port, head, [body[i:i + 1] for i in range(len(body))]).status == status
    assert len(upstream.requests) == 1


def test_decided_at_content_length_so_the_upstream_never_gets_the_whole(start, upstream):
    e = start(config(inspect={"hold_headers": False}))
    for size in (0, 8_000, 300_000, 3_000_000):
        r = post(e.port, body=chat("q", size), headers=BAD)
        assert r.status == 429, size
    time.sleep(0.2)
    assert upstream.requests == [], "no rejected body arrived whole"


def test_held_headers_keep_rejected_requests_away_altogether(start, upstream):
    e = start(config(inspect={"hold_headers": True}))
    for size in (0, 8_000):
        assert post(e.port, body=chat("q", size), headers=BAD).status == 429
    time.sleep(0.2)
    assert (upstream.requests, upstream.partial) == ([], [])
    assert e.stat("cluster.inference.upstream_rq_total") == 0


@pytest.mark.parametrize("size", [8_000, 20_000, 40_000, 200_000, 1_000_000])
def test_never_413_under_a_small_buffer(start, upstream, size):
    e = start(config(inspect={"hold_headers": True, "host_buffer_bytes": "32KiB"}), buffer_limit=32768)
    body = json.dumps(chat("q", size)).encode()
    assert post(e.port, body=body, headers=GOOD).status == 200
    assert upstream.requests[0][1] == body


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("hold", [True, False])
def test_no_combination_of_holding_hangs(start, upstream, allowed, hold):
    e = start(config(inspect={"hold_headers": hold}), allow_hold=allowed)
    for _ in range(3):
        r = post(e.port, headers=GOOD)
        assert r.status == 200
    wrong = hold and not allowed
    assert (e.stat("weir.hold_watchdog") > 0) == wrong
    if wrong:
        e.wait_log("inspect.hold_headers is off")


def test_a_slow_client_does_not_switch_holding_off(start, upstream):
    import socket
    e = start(config(inspect={"hold_headers": True}))
    body = json.dumps(chat("q")).encode()
    slow = lambda: socket.create_connection(("127.0.0.1", e.port))
    with slow() as first:  # before any body has come: let go after a second, and no more
        first.sendall(HEAD % b"good" + b"content-length: %d\r\n\r\n" % len(body))
        assert wait_for(lambda: e.stat("weir.hold_watchdog") == 1)
        assert post(e.port, headers=GOOD).status == 200
        others = [slow() for _ in range(5)]
        for s in others:
            s.sendall(HEAD % b"bad" + b"content-length: %d\r\n\r\n" % len(body))
        time.sleep(1.5)
        assert e.stat("weir.hold_watchdog") == 1
        before = e.stat("cluster.inference.upstream_rq_total")
        for s in others:
            s.sendall(body)
            assert s.recv(12) == b"HTTP/1.1 429"
            s.close()
        assert post(e.port, headers=BAD).status == 429
        assert e.stat("cluster.inference.upstream_rq_total") == before
    assert "inspect.hold_headers is off" not in e.log()


def test_compressed_bodies_are_counted_and_can_be_rejected(start, upstream):
    e = start(edit=bare)
    packed = gzip.compress(json.dumps(chat("q")).encode())
    headers = [("content-encoding", "gzip")]
    assert post(e.port, body=packed, headers=GOOD + headers).status == 200
    assert post(e.port, body=packed, headers=BAD + headers).status == 429
    r = post(e.port, path="/strict/v1/chat/completions", body=packed, headers=GOOD + headers)
    assert r.status == 400 and r.json()["error"]["type"] == "invalid_request_error"
    assert e.stat("weir.unreadable", "kind=compressed") == 3


@pytest.mark.parametrize("kind,body", [
    ("not_json", b"hello"), ("not_json", b'{"messages":NaN}'), ("truncated", b'{"messages":['), ("trailing", b'{"messages":[]} x'),
    ("duplicate_key", b'{"messages":[{"role":"user","content":"a"}],"messages":[]}'), ("depth", b'{"a":' + b"[" * 100),
    ("empty", b"{}"), ("empty", b""), ("shape", b'{"messages":"x"}'),
])
def test_unreadable_bodies_have_a_name(start, upstream, kind, body):
    e = start()
    assert post(e.port, body=body, headers=GOOD).status == 200
    assert e.stat("weir.unreadable", f"kind={kind}") == 1
    assert post(e.port, path="/strict/v1/chat/completions", body=body, headers=GOOD).status == 400
    assert post(e.port, body=body, headers=BAD).status == 429


def test_expect_continue(start, upstream):
    e = start()
    body = json.dumps(chat("q")).encode()
    for key, status in ((b"good", 200), (b"bad", 429)):
        head = HEAD % key + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(body)
        assert raw(e.port, head, [body]).status == status
    assert len(upstream.requests) == 1


def test_a_reset_in_mid_body_is_counted(start, upstream):
    import socket
    e = start()
    with socket.create_connection(("127.0.0.1", e.port)) as s:
        s.sendall(HEAD % b"good" + b"content-length: 5000\r\n\r\n{\"messages\":")
        time.sleep(0.2)
    assert wait_for(lambda: e.stat("weir.aborted") == 1)
    assert post(e.port, headers=GOOD).status == 200


def test_random_bodies_and_headers_never_trap(start, upstream):
    e = start(config(limits=[]))
    rng = random.Random(7)
    paths = ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1beta/models/x:generateContent", "/model/x/invoke", "/api/generate"]
    alphabet = b'{}[]",:\\u0123abc \x00\xff\xc3messagescontentroleuser'
    for _ in range(200):
        body = bytes(rng.choice(alphabet) for _ in range(rng.randrange(0, 400)))
        value = bytes(rng.choice(b"\x80\xffabc ;=,\"") for _ in range(rng.randrange(1, 30)))
        headers = [("x-api-key", value), ("authorization", b"Bearer " + value), ("x-forwarded-for", value)]
        assert post(e.port, path=rng.choice(paths), body=body, headers=headers).status in (200, 400, 429)
    assert post(e.port, headers=GOOD).status == 200


def test_a_header_flood_is_explicit(start):
    e = start()
    flood = [(f"x-h{i}", "v" * 100) for i in range(95)]
    assert post(e.port, headers=GOOD + flood).status in (200, 431)
    assert post(e.port, headers=BAD + flood[:60]).status == 429


@pytest.mark.parametrize("hold", [True, False])
def test_behind_a_decompressor_the_body_ends_in_trailers(start, upstream, hold):
    e = start(config(inspect={"hold_headers": hold}))
    body = json.dumps(chat("a question of four words")).encode()
    for key, status in (("good", 200), ("bad", 429)):
        r = post(e.port, body=gzip.compress(body), headers=[("x-api-key", key), ("content-encoding", "gzip")])
        assert r.status == status
    assert [b for _, b in upstream.requests] == [body]
    assert e.stat("weir.unreadable") == 0 and e.stat("weir.aborted") == 0


def test_counters_are_prometheus_labels(start):
    e = start()
    post(e.port, headers=BAD)
    assert 'weir_requests{' in e.get("/stats/prometheus")
    line = next(l for l in e.get("/stats/prometheus").splitlines() if l.startswith("weir_requests{"))
    for label in ('policy="test"', 'profile="default"', 'action="block"', 'reason="deny_list"', 'mode="enforce"'):
        assert label in line, line


def test_a_rejected_client_keeps_its_connection(start, upstream):
    """A proxy that answers before the request has ended closes the connection: then each rejection would cost a handshake."""
    e = start(config(deny=[{"name": "x", "key": key_id("bad")}], inspect={"host_buffer_bytes": "1MiB"}), workers=1)
    for body in (chat("hello there"), chat("hello there " + "pad " * 20_000)):
        with socket.create_connection(("127.0.0.1", e.port), timeout=5) as s:
            for key, status in [("good", 200), ("bad", 429), ("bad", 429), ("good", 200)]:
                before = len(upstream.requests)
                s.sendall(request(body=body, headers=[("x-api-key", key)]))
                reply = read_reply(s)
                assert (reply.status, "connection" in reply.headers) == (status, False)
                assert len(upstream.requests) - before == (status == 200)
