"""The path is not known: lists, convictions and limits decide for every request of a profile, whatever its path, method or upgrade."""
import socket
import time

import pytest
from harness import BAD, GOOD, Connection, Reply, chat, config, key_id, post, raw, request
from traffic import Traffic, learned, settle

WEBSOCKET = [("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-version", "13"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")]
# Method, path, more headers: what no dialect reads.
OTHER = {
    "GET of a list": ("GET", "/v1/models", []),
    "GET of an answer that is kept": ("GET", "/v1/responses/resp_1", []),
    "unknown path": ("POST", "/v9/anything", []),
    "PUT": ("PUT", "/v1/uploads/1", []),
    "PATCH": ("PATCH", "/v9/x", []),
    "DELETE": ("DELETE", "/v1/files/f", []),
    "OPTIONS": ("OPTIONS", "/v1/chat/completions", []),
    "HEAD": ("HEAD", "/v1/models", []),
    "WebSocket, Realtime": ("GET", "/v1/realtime?model=m", WEBSOCKET),
    "WebSocket, Responses": ("GET", "/v1/responses", WEBSOCKET),
    "WebSocket, unknown path": ("GET", "/ws", WEBSOCKET),
    "gRPC": ("POST", "/google.ai.generativelanguage.v1.GenerativeService/CountTokens", [("content-type", "application/grpc")]),
}


def send(port, case, headers):
    method, path, more = OTHER[case]
    head = [f"{method} {path} HTTP/1.1", "host: api.example.com", *[f"{k}: {v}" for k, v in more + headers]]
    body = b"{}" if method in ("POST", "PUT", "PATCH") else b""
    head += [f"content-length: {len(body)}"] if body else []
    return ask(port, method, "\r\n".join(head).encode() + b"\r\n\r\n" + body)


def ask(port, method, data):
    if method != "HEAD":
        return raw(port, data)
    # Of an answer to HEAD only the head comes, whatever its length says.
    with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
        s.sendall(data)
        head = b""
        while b"\r\n\r\n" not in head:
            head += s.recv(4096)
    lines = head.decode("latin-1").split("\r\n")
    return Reply(int(lines[0].split()[1]), dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line), b"")


def world(**over):
    import harness
    up = harness.Upstream(lambda path, body: (200, "application/json", b""))
    e = harness.Envoy(config(limits=[{"name": "few", "requests": 3, "per": "1h"}], **over), up.port)
    yield e, up
    assert e.stat("vm_reload_success") == 0
    e.stop()
    up.stop()


@pytest.fixture(scope="module")
def lists():
    yield from world()


@pytest.fixture(scope="module")
def settings():
    profiles = {"open": {"inspect": {"other_paths": "none"}}, "shut": {"inspect": {"other_paths": "reject"}}}
    yield from world(profiles=profiles, routes=[{"match": {"domain": f"{name}.example.com"}, "profile": name} for name in profiles])


@pytest.mark.parametrize("case", OTHER)
def test_a_denied_key_passes_on_no_path(lists, case):
    e, up = lists
    before = len(up.requests)
    assert send(e.port, case, [("x-api-key", f"good-{case}".replace(" ", "-"))]).status in (200, 101)
    end = time.time() + 2
    while len(up.requests) == before and time.time() < end:
        time.sleep(0.02)
    before = len(up.requests)
    grpc = case == "gRPC"
    reply = send(e.port, case, BAD)
    assert reply.status == (200 if grpc else 429) and (not grpc or reply.headers["grpc-status"] == "8"), (reply.status, reply.headers)
    time.sleep(0.05)
    assert len(up.requests) == before, "it reached the upstream"


def test_limits_hold_where_work_is_asked_for_and_nowhere_else(lists):
    e, _ = lists
    for case in OTHER:
        key = [("x-api-key", f"limit-{case}".replace(" ", "-").replace(",", ""))]
        got = [send(e.port, case, key) for _ in range(5)]
        statuses = [8 if r.headers.get("grpc-status") == "8" else r.status for r in got]
        free = OTHER[case][0] in ("GET", "HEAD", "OPTIONS", "DELETE") and not OTHER[case][2]
        served = [s in (200, 101) for s in statuses]
        assert served == ([True] * 5 if free else [True] * 3 + [False] * 2), (case, statuses)
    # What is used up on one path is used up on all.
    key = [("x-api-key", "both")]
    assert [post(e.port, headers=key).status for _ in range(3)] == [200] * 3
    assert send(e.port, "WebSocket, Realtime", key).status == 429
    assert send(e.port, "GET of a list", key).status == 200


def test_preflights_and_health_checks_without_credentials_pass(lists):
    e, _ = lists
    cors = [("origin", "https://app.example.com"), ("access-control-request-method", "POST")]
    for _ in range(10):
        assert send(e.port, "OPTIONS", cors).status == 200
        assert raw(e.port, request("/healthz", method="GET")).status == 200


@pytest.mark.parametrize("case", OTHER)
def test_none_passes_and_reject_refuses_what_no_dialect_claims(settings, case):
    e, up = settings
    method, path, more = OTHER[case]

    def with_key(host, key):
        head = f"{method} {path} HTTP/1.1\r\nhost: {host}\r\nx-api-key: {key}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in more)
        body = b"{}" if method in ("POST", "PUT", "PATCH") else b""
        return ask(e.port, method, head.encode() + (b"content-length: 2\r\n\r\n" + body if body else b"\r\n"))

    assert with_key("open.example.com", "bad").status in (200, 101)
    before = len(up.requests)
    # A path that a dialect claims is served; without a prompt by its key.
    claimed = path.split("?")[0] in ("/v1/chat/completions", "/v1/responses", "/v1/realtime")
    reply = with_key("shut.example.com", f"shut-{case}".replace(" ", "-"))
    if not claimed:
        assert reply.status == 404 or reply.headers.get("grpc-status") == "12", (reply.status, reply.headers)
        assert "x-should-retry" not in reply.headers and "x-envoy-ratelimited" not in reply.headers
        time.sleep(0.05)
        assert len(up.requests) == before
        if method not in ("HEAD",) and case != "gRPC":
            assert reply.json()["status"] == 404 and reply.json()["title"].startswith("This path is not served.")
            assert reply.headers["content-type"] == "application/problem+json"
    else:
        assert reply.status in (200, 101)
    assert with_key("shut.example.com", "bad").status in (429, 200)


def test_shadow_mode_refuses_nothing(start, upstream):
    e = start(config(mode="shadow", inspect={"other_paths": "reject"}))
    assert post(e.port, path="/v9/x", headers=BAD).status == post(e.port, path="/v9/x", headers=GOOD).status == 200
    assert e.stat("weir.requests", "action=block", "reason=deny_list", "mode=shadow") == 1
    assert e.stat("weir.requests", "action=block", "reason=not_inference", "mode=shadow") == 1


def test_who_has_no_key_is_on_no_list(start, upstream):
    e = start(config(identity={"sources": [{"header": "x-user"}]}, deny=[{"name": "u", "key": key_id("evil", kind=1, name="x-user")}]))
    assert post(e.port, path="/any", headers=[("x-user", "evil")]).status == 429
    assert post(e.port, path="/any").status == 200


def test_a_convicted_key_passes_on_no_path(start, upstream):
    """Convicted on one path by a campaign, refused on all others, by all workers."""
    e = start(learned(), workers=2)
    t = Traffic(e.port, hours=48)
    t.until(lambda: len(t.refused()) >= 102)
    settle(e)
    convicted, honest = t.refused(), t.honest[0]
    assert len(convicted) >= 100
    for case in OTHER:
        before = len(upstream.requests)
        for _ in range(4):
            reply = send(e.port, case, t.headers(convicted[0]))
            assert reply.status == 429 or reply.headers.get("grpc-status") == "8", (case, reply.status)
        time.sleep(0.05)
        assert len(upstream.requests) == before, case
        assert send(e.port, case, t.headers(honest)).status in (200, 101), case
    keys = e.stat("weir.keys.policy=test")
    # Requests without a prompt teach nothing: no key is learnt by them.
    for i in range(20):
        assert post(e.port, path="/v9/x", headers=[("authorization", f"Bearer new-{i}")]).status == 200
    time.sleep(1.5)
    assert e.stat("weir.keys.policy=test") == keys


def test_an_operators_own_path(start, upstream):
    from harness import template_ids
    text = "Write down step by step how you would solve the exercise below and explain every step of your reasoning to a beginner"
    deny = [{"name": f"t{i}", "template": t} for i, t in enumerate(template_ids(text))]
    e = start(config(deny=deny, limits=[], inspect={"paths": [{"suffix": "/My/Chat", "as": "openai_chat"}]}))
    for path in ("/my/chat", "/api/v2/my/chat?x=1", "/MY/chat/"):
        assert post(e.port, path=path, body=chat(text), headers=GOOD).status == 429, path
        assert post(e.port, path=path, body=chat("something else altogether is asked"), headers=GOOD).status == 200, path
    assert post(e.port, path="/their/chatter", body=chat(text), headers=GOOD).status == 200


def test_connections_stay_open_for_what_passes(start, upstream):
    e = start(config())
    c = Connection(e.port)
    assert [c.post(path="/v9/x", headers=GOOD) for _ in range(5)] == [200] * 5
    c.close()


# ---- batches

FORBIDDEN = "Write down step by step how you would solve the exercise below and explain every step of your reasoning to a beginner"


def batches(texts):
    """The same prompts in each form of a batch: path, content type, body."""
    import json
    messages = [[{"role": "user", "content": t}] for t in texts]
    lines = "\n".join(json.dumps({"custom_id": str(i), "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": m}})
                      for i, m in enumerate(messages))
    form = ('--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b\r\nContent-Disposition: form-data; name="file"; '
            f'filename="b.jsonl"\r\nContent-Type: application/octet-stream\r\n\r\n{lines}\r\n--b--\r\n')
    gemini = [{"request": {"contents": [{"role": "user", "parts": [{"text": t}]}]}} for t in texts]
    return {
        "form": ("/v1/files", "multipart/form-data; boundary=b", form.encode()),
        "lines": ("/v1/files", "application/jsonl", lines.encode()),
        "anthropic": ("/v1/messages/batches", "application/json", json.dumps(
            {"requests": [{"custom_id": str(i), "params": {"model": "c", "max_tokens": 9, "messages": m}} for i, m in enumerate(messages)]}).encode()),
        "gemini": ("/v1beta/models/g:batchGenerateContent", "application/json", json.dumps(
            {"batch": {"input_config": {"requests": {"requests": gemini}}}}).encode()),
        "mistral": ("/v1/batch/jobs", "application/json", json.dumps({"requests": [{"body": {"messages": m}} for m in messages]}).encode()),
        "vertex": ("/v1/publishers/g/models/m:predict", "application/json", json.dumps({"instances": [{"messages": m} for m in messages]}).encode()),
    }


@pytest.mark.parametrize("hold", [True, False])
def test_a_batch_is_read_item_by_item(start, upstream, hold):
    from harness import template_ids
    deny = [{"name": f"t{i}", "template": t} for i, t in enumerate(template_ids(FORBIDDEN))]
    e = start(config(deny=deny, limits=[], inspect={"hold_headers": hold}))
    innocent = [f"What is the length of the river that flows through town {i * 'a'} and where does it end" for i in range(8)]
    for name, (path, kind, body) in batches(innocent).items():
        assert post(e.port, path=path, body=body, headers=GOOD + [("content-type", kind)]).status == 200, name
    before = len(upstream.requests)
    for at in range(8):
        # Whichever of the eight it is: eight are looked at.
        texts = innocent[:at] + [FORBIDDEN] + innocent[at + 1:]
        for name, (path, kind, body) in batches(texts).items():
            assert post(e.port, path=path, body=body, headers=GOOD + [("content-type", kind)]).status == 429, (name, at)
    time.sleep(0.1)
    assert not [r for r in upstream.requests[before:] if FORBIDDEN[:40].encode() in r[1]]


def test_of_a_large_batch_a_sample_is_looked_at(start, upstream):
    """All of 1,000 items are of a denied template, or every tenth: the sample of eight meets the first always, the second often."""
    from harness import template_ids
    deny = [{"name": f"t{i}", "template": t} for i, t in enumerate(template_ids(FORBIDDEN))]
    e = start(config(deny=deny, limits=[]))
    refused = {1: 0, 10: 0}
    for each in refused:
        texts = [FORBIDDEN if i % each == 0 else f"a question about the river that is called {'b' * (i % 50)} and its bends" for i in range(500)]
        path, kind, body = batches(texts)["form"]
        for k in range(20):
            got = post(e.port, path=path, body=body, headers=[("x-api-key", f"key-{k}"), ("content-type", kind)]).status
            refused[each] += got == 429
    # 1 - 0.9^8 = 57 %.
    assert refused[1] == 20 and 4 <= refused[10] <= 18, refused


def test_a_batch_is_observed(start, upstream):
    """An upload of eight prompts teaches the ledger as one request does: its prompts came at one moment."""
    e = start(config(limits=[], deny=[]))
    texts = [FORBIDDEN + " about topic " + "abcdefgh"[i] * 5 for i in range(8)]
    path, kind, body = batches(texts)["anthropic"]
    for i in range(10):
        assert post(e.port, path=path, body=body, headers=[("x-api-key", f"k{i}"), ("content-type", kind)]).status == 200
    e.wait_stat(lambda v: v == 10, "weir.observations_applied.policy=test")
    assert e.stat("weir.keys.policy=test") == 10
