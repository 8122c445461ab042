"""The linear memory of the shipped module after each request, read as a core dump would show it: nothing that a client has sent is left in
tables, in memory that was given back, or on the stack."""
import json
import random

import pytest
from harness import chat, config, key_id
from host import UNIMPLEMENTED, Host
from planted import EVERYWHERE, Plants, found, frame, left, others

SHARED = {"proxy_get_shared_data": UNIMPLEMENTED, "proxy_set_shared_data": UNIMPLEMENTED}


class Memory:
    """A host, and what is left in its module's memory."""

    def __init__(self, p, **kw):
        conf = config(deny=[{"name": "key", "key": key_id(p["denied"])}], limits=[{"name": "l", "requests": 12, "per": "1h"}], **EVERYWHERE)
        self.p, self.host, self.number = p, Host(json.dumps(conf), **kw), 0
        assert self.host.configured

    def text(self):
        h = self.host
        return bytes(h.memory.read(h.store, 0, h.memory.data_len(h.store)))

    def left(self):
        return left(self.p, self.text())

    def ask(self, path, headers, body, look=True, **kw):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        pairs = [(":method", "POST"), (":path", path), (":authority", "api.example.com"), ("content-type", "application/json"), ("content-length", str(len(data)))]
        status = self.host.request(body=data, headers=pairs + list(headers), **kw)
        self.number += 1
        left = self.left() if look else None
        assert not left, (self.number, path[:60], sorted(left)[:8])
        return status


@pytest.mark.parametrize("scope,chunk", [("node", 65_536), ("node", 99), ("vm", 65_536)])
def test_nothing_of_a_request_is_left_in_memory(scope, chunk):
    p = Plants()
    m = Memory(p, refuse=SHARED if scope == "vm" else ())
    # At each request while the tables are small; what is left later is left at the end.
    statuses = [m.ask(path, headers, body, look=not again, chunk=chunk) for again in (False, True) for path, headers, body in others(p)]
    # More than the limit allows: replies and lines are made.
    statuses += [m.ask("/v1/chat/completions", [("authorization", f"Bearer {p['throttled']}")], chat(p["throttled text"] + " has five more words"), look=False, chunk=chunk)
                 for _ in range(16)]
    assert {0, 429} <= set(statuses) and len(p) >= 45, (set(statuses), len(p))
    for _ in range(30):
        m.host.pass_time(0.1)
    assert not m.left()
    # Nor is it in what the module keeps at its host.
    kept = b"".join(k + v for k, (v, _) in m.host.shared.items()) + "\n".join([*m.host.logs, *m.host.names, str(m.host.filter_state)]).encode()
    assert not found(p, kept)
    print(f"\nscope {scope}, pieces of {chunk}: {len(p)} planted strings, {m.number} requests, {len(m.text()) >> 10} KiB of memory: none left")


def long_bodies(p):
    """What is held, and what is let go before it is whole; with escapes, as UTF-16, as a form, as frames of a WebSocket."""
    rng = random.Random(3)
    some = lambda n, place: " ".join(f"{p[place]} {rng.choice(['of', 'and', 'to'])} w{rng.randrange(10_000)}" for _ in range(n))
    key = [("x-api-key", p["header"])]
    for n in (40, 400, 3_000, 60_000):
        yield "/v1/chat/completions", key, chat(some(n, f"long {n}"))
    system = [{"role": "system", "content": some(200, "instructions")}]
    yield "/v1/chat/completions", key, {"messages": system + [{"role": r, "content": some(50, r)} for r in ["user", "assistant"] * 40]}
    escaped = "".join(f"\\u{ord(c):04x}" for c in p["escaped"])
    yield "/v1/chat/completions", key, f'{{"messages": [{{"role": "user", "content": "some words {escaped} and others here"}}]}}'.encode()
    yield "/v1/chat/completions", key, json.dumps(chat(some(60, "of two bytes"))).encode("utf-16")
    yield "/v1/files", key + [("content-type", "multipart/form-data; boundary=x")], (
        f'--x\r\ncontent-disposition: form-data; name="file"; filename="{p["file"]}"\r\n\r\n{json.dumps({"body": chat(some(60, "line"))})}\n\r\n--x--\r\n').encode()


@pytest.mark.parametrize("chunk", [65_536, 999])
def test_nothing_of_a_long_body_is_left_in_memory(chunk):
    m = Memory(Plants())
    for path, headers, body in long_bodies(m.p):
        m.ask(path, headers, body, chunk=chunk)
        # A client that leaves before the end.
        m.ask(path, headers, body, chunk=chunk, end_told=False)
    assert len(m.p) >= 9


def test_nothing_of_a_websocket_is_left_in_memory():
    m, said = Memory(Plants()), []
    for n in (10, 500):
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": f"some words and {m.p['message']} as well " * n}]}
        said.append(frame(json.dumps({"type": "conversation.item.create", "item": item}).encode()[:60_000]))
    upgrade = [("upgrade", "websocket"), ("connection", "upgrade"), ("x-api-key", m.p["socket key"])]
    m.host.socket(f"/v1/realtime?key={m.p['socket query']}", upgrade, said)
    assert not m.left()


def test_while_it_is_read_it_is_there():
    """The search finds what it looks for."""
    m = Memory(Plants())
    h, body = m.host, json.dumps(chat(f"some words and {m.p['text']} as well as others")).encode()
    h.headers = [(":method", "POST"), (":path", "/v1/chat/completions"), (":authority", "a"), ("x-api-key", "k"), ("content-length", str(len(body)))]
    h.run("proxy_on_context_create", 99, 1)
    h.run("proxy_on_request_headers", 99, len(h.headers), 0)
    h.body = body[:-5]
    h.run("proxy_on_request_body", 99, len(h.body), 0)
    assert ("text", "plain") in m.left()
    h.run("proxy_on_delete", 99)
    assert not m.left()
