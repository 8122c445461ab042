"""HTTP that slips past filters. Every way to send a request must end the same: what is allowed arrives unchanged, and of what is
rejected, for its key (`bad`) or for its text (a denied template, so the body must have been read), nothing whole reaches the
upstream; with headers held not one byte. One row a case; the last test prints how many there are.
"""
import base64
import gzip
import json
import random
import socket
import time
import types
import zlib

import h2.connection
import h2.events
import pytest
from harness import GOOD, chat, config, key_id, raw, read_reply, request, template_ids
from traffic import Traffic, learned

FORBIDDEN = ("Write down step by step how you would solve the exercise below, explain every step of your reasoning to a beginner, "
             "and close with the final answer on a line of its own")
INNOCENT = "What is the difference between a weir and a dam, and which of the two lets fish pass"
CHAT = "/v1/chat/completions"


def denying(**over):
    deny = [{"name": "key", "key": key_id("bad")}]
    deny += [{"name": f"text-{i}", "template": t} for i, t in enumerate(template_ids(FORBIDDEN))]
    return config(deny=deny, **{"inspect": {"on_unreadable": "reject"}, **over})


def body_of(text):
    return json.dumps(chat(text)).encode()


def head(key, *lines, path=CHAT, method="POST", version="1.1"):
    out = [f"{method} {path} HTTP/{version}", "host: api.example.com", "content-type: application/json", f"x-api-key: {key}", *lines]
    return "\r\n".join(out).encode("latin-1") + b"\r\n\r\n"


def chunked(body, size, extension=b"", end=b"0\r\n\r\n"):
    pieces = [body[i:i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x%s\r\n%s\r\n" % (len(p), extension, p) for p in pieces) + end


def length(body):
    return f"content-length: {len(body)}"


def plain(*lines, path=CHAT, method="POST", version="1.1"):
    def send(port, key, text):
        body = body_of(text)
        return raw(port, head(key, length(body), *lines, path=path, method=method, version=version) + body).status
    return send


def in_chunks(size, extension=b"", end=b"0\r\n\r\n", lines=()):
    def send(port, key, text):
        return raw(port, head(key, "transfer-encoding: chunked", *lines) + chunked(body_of(text), size, extension, end)).status
    return send


def in_pieces(size, framing):
    """A piece of the body in a packet each, with pauses."""
    def send(port, key, text):
        body = body_of(text)
        if framing == "chunked":
            first, data = head(key, "transfer-encoding: chunked"), chunked(body, size)
        else:
            first, data = head(key, length(body)), body
        return raw(port, first, [data[i:i + size] for i in range(0, len(data), size)]).status
    return send


def expect(port, key, text):
    body = body_of(text)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(head(key, length(body), "expect: 100-continue"))
        time.sleep(0.05)
        s.sendall(body)
        return read_reply(s).status


def pipelined(port, key, text):
    """The asked one between two allowed ones, all in one packet."""
    ok, body = body_of("ordinary words before and after it"), body_of(text)
    one = head("good", length(ok)) + ok
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(one + head(key, length(body)) + body + one)
        f = s.makefile("rb")
        answers = types.SimpleNamespace(makefile=lambda *_: f)  # what is read ahead belongs to the next answer
        first, asked = read_reply(answers).status, read_reply(answers).status
        assert first == 200
        return asked


def content(text):
    """Parts, with another message in front."""
    parts = [{"type": "text", "text": text[:60]}, {"type": "text", "text": text[60:]}]
    return {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}]}


def shaped(make, path=CHAT):
    def send(port, key, text):
        return raw(port, request(path, make(text), [("x-api-key", key)])).status
    return send


def padded(kilobytes, front):
    """A body larger than what is held."""
    def make(text):
        pad = {"role": "user" if front else "assistant", "content": "lorem ipsum " * (kilobytes * 85)}
        mine = {"role": "user", "content": text}
        between = {"role": "assistant", "content": "Yes."}
        return {"messages": [pad, between, mine] if front else [mine, pad]}
    return shaped(make)


def http2(size=None, trailers=(), with_length=False):
    def send(port, key, text):
        body = body_of(text)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
            c = h2.connection.H2Connection()
            c.initiate_connection()
            extra = [("content-length", str(len(body)))] if with_length else []
            c.send_headers(1, [(":method", "POST"), (":path", CHAT), (":authority", "a"), (":scheme", "http"),
                               ("content-type", "application/json"), ("x-api-key", key), *extra])
            step = size or len(body)
            for at in range(0, len(body), step):
                c.send_data(1, body[at:at + step], end_stream=not trailers and at + step >= len(body))
            if trailers:
                c.send_headers(1, list(trailers), end_stream=True)
            s.sendall(c.data_to_send())
            status = None
            while data := s.recv(65536):
                for event in c.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived):
                        status = int(dict(event.headers)[b":status"])
                    if isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                        return status
                s.sendall(c.data_to_send())
            return status
    return send


# What `content-encoding` says of a body that is none of it.
LIES = ["identity", "IDENTITY", "identity, identity", "gzip", "x-gzip", "gzip, identity", "deflate", "zstd", "br", "compress", "x", "none",
        "utf-8", "aws-chunked", ""]


# Name, how it is sent. All of these are read.
READ = {
    "content-length": plain(),
    "chunked": in_chunks(4096),
    "chunked, one byte a chunk": in_chunks(1),
    "chunked, chunk extensions": in_chunks(64, b";a=b"),
    "chunked, HTTP/1 trailers": in_chunks(64, end=b"0\r\nx-checksum: 1\r\n\r\n"),
    "sixteen bytes a packet": in_pieces(16, "length"),
    "slow chunks": in_pieces(24, "chunked"),
    "expect: 100-continue": expect,
    "pipelined between allowed ones": pipelined,
    "HTTP/2": http2(),
    "HTTP/2, content-length": http2(with_length=True),
    "HTTP/2, one byte a frame": http2(size=1),
    "HTTP/2, trailers": http2(trailers=(("x-checksum", "1"),)),
    "upgrade: h2c with a body": plain("connection: upgrade", "upgrade: h2c"),
    "upgrade: websocket with a body": plain("connection: upgrade", "upgrade: websocket"),
    "absolute form": plain(path="http://api.example.com" + CHAT),
    "PUT": plain(method="PUT"),
    "x-http-method-override: GET": plain("x-http-method-override: GET"),
    "GET with a body, overridden to POST": plain("x-http-method-override: POST", method="GET"),
    "content-type says text": plain("content-type: text/plain"),
    "content-type says form": plain("content-type: application/x-www-form-urlencoded"),
    **{f"content-encoding: {lie}, a lie": plain(f"content-encoding: {lie}") for lie in LIES},
    "content-encoding, four of them": plain(*[f"content-encoding: {lie}" for lie in ("x", "gzip", "", "identity")]),
    "accept-encoding": plain("accept-encoding: gzip, br"),
    "path: //": plain(path="//v1//chat///completions"),
    "path: trailing /": plain(path=CHAT + "/"),
    "path: case": plain(path="/V1/Chat/COMPLETIONS"),
    "path: %2f": plain(path="/v1/chat%2fcompletions"),
    "path: %63": plain(path="/v1/%63hat/completion%73"),
    "path: %2e": plain(path="/v1/x/%2e%2e/chat/%2e/completions"),
    "path: ..": plain(path="/v1/x/../chat/./completions"),
    "path: ;": plain(path="/v1;a=b/chat/completions;v=1"),
    "path: query": plain(path=CHAT + "?a=/v1/models&key=other"),
    "path: backslash": plain(path="/v1\\chat\\completions"),
    "path: prefix": plain(path="/openai/deployments/gpt/chat/completions"),
    "parts": shaped(content),
    "larger than the hold, text in front": padded(40, False),
    "larger than the hold, text at the end": padded(40, True),
    "a header that is not UTF-8": plain("x-other: \xff\xfe"),
    "sixty headers": plain(*[f"x-filler-{i}: {'v' * 40}" for i in range(60)]),
    "gRPC-web with JSON": plain("content-type: application/grpc-web+json"),
}


# What is not held: a body that is too long, or whose length is not said. It goes on but for its end.
GOES_ON = ("larger than the hold", "chunked", "slow chunks", "HTTP/2, one byte a frame", "HTTP/2, trailers")


@pytest.fixture(scope="module")
def world():
    """One Envoy with headers held, one without, for all rows."""
    import harness
    up = harness.Upstream()
    options = dict(edit=lambda y: harness.bare(y).replace("stat_prefix: inference", "stat_prefix: inference\n          upgrade_configs: [{upgrade_type: websocket}]"))
    both = {hold: harness.Envoy(denying(inspect={"on_unreadable": "reject", "hold_headers": hold}, limits=[]), up.port, **options)
            for hold in (True, False)}
    yield both, up
    for e in both.values():
        assert e.stat("vm_reload_success") == 0, "a request trapped the VM"
        e.stop()
    up.stop()


def seen(up):
    time.sleep(0.02)
    return len(up.requests)


@pytest.mark.parametrize("hold", [True, False])
@pytest.mark.parametrize("case", READ)
def test_read_however_it_is_sent(world, case, hold):
    both, up = world
    e, send = both[hold], READ[case]
    extra = 2 if send is pipelined else 0
    before, broken = seen(up), len(up.partial)
    assert send(e.port, "good", INNOCENT) in (200, 101)
    end = time.time() + 2
    while len(up.requests) < before + 1 + extra and time.time() < end:
        time.sleep(0.02)
    arrived = up.requests[before:]
    assert len(arrived) == 1 + extra
    if "upgrade:" not in arrived[0][0].lower():
        assert any(INNOCENT[:60].encode() in body for _, body in arrived), "the allowed one arrives as it was sent"
    for key, text in (("bad", INNOCENT), ("good", FORBIDDEN)):
        before = seen(up)
        assert send(e.port, key, text) == 429, (key, text[:20])
        time.sleep(0.05)
        # Without holding, the upstream hears of it before the body is read: of a handshake it needs no more.
        whole = [r for r in up.requests[before:] if text[:40].encode() in r[1] or hold and "upgrade:" in r[0].lower()]
        assert not whole, "a rejected request reached the upstream"
        assert len(up.requests) - before <= extra + (not hold)
        if hold and not case.startswith(GOES_ON):
            assert len(up.partial) == broken, "bytes of a rejected request reached the upstream"


def close(port, key, text, lines, body):
    """Sends what will never be complete, waits a moment, hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(head(key, *lines) + body)
        time.sleep(0.1)
        s.shutdown(socket.SHUT_WR)
        s.settimeout(2)
        try:
            return read_reply(s).status
        except OSError:
            return 0


def compressed(coding, pack):
    def send(port, key, text):
        body = pack(body_of(text))
        return raw(port, head(key, length(body), f"content-encoding: {coding}") + body).status
    return send


# Where no window keeps it: only a sample of the text meets a template (a long one: of a short one there may be nothing in the sample).
LONG = ("You are given one exercise from a collection for advanced students. Write a complete worked solution in which every step follows "
        "from the one before, name the rule that you used at each of them, and say why no other rule applies. Check the result by a second "
        "method that does not share any step with your first way, and only then give the final answer on a line of its own, with nothing "
        "behind it. Do not mention these instructions, and do not ask any question back before you begin to work.")


def noise(size, salt=0):
    rng = random.Random(size * 7 + salt)
    words = ("".join(rng.choice("abcdefghijklmnoprstuvwy") for _ in range(rng.randint(2, 9))) for _ in range(size))
    return " ".join(words)[:size]


def messages(*turns):
    return {"messages": [{"role": ("user", "assistant")[i % 2], "content": t} for i, t in enumerate(turns)]}


def parts(*texts):
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": t} for t in texts]}]}


def ids(text):
    """What stands for a tokenizer."""
    return [zlib.crc32(word.encode()) % 150_000 for word in text.split()]


def spelt(tokens):
    """Token ids as the fingerprint has them, implemented apart."""
    return " ".join("".join("cmwygpaeiourlnst"[int(d, 16)] for d in reversed(f"{t:x}")) for t in tokens)


def tool(text):
    return {"type": "function", "function": {"name": "f", "description": text, "parameters": {"type": "object"}}}


def call(text):
    return {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {
        "name": "f", "arguments": json.dumps({"a": text})}}]}


HIDDEN = {
    "prompt of token ids": lambda t: {"prompt": ids(t)},
    "in the middle of lists of token ids": lambda t: {"prompt": [ids(noise(2900)), ids(t), ids(noise(1700, 1))]},
    "as the description of a tool": lambda t: {"tools": [tool("Adds"), tool(t)], **chat("Go on")},
    "as arguments of a call": lambda t: {"messages": [{"role": "user", "content": "Hi"}, call(t), {"role": "user", "content": "Go on"}]},
    "as a schema": lambda t: {"response_format": {"type": "json_schema", "json_schema": {"schema": {"description": t}}}, **chat("Go on")},
    "between noise": lambda t: chat(f"{noise(2300)} {t} {noise(1300, 1)}"),
    "in the middle of an invented conversation": lambda t: messages("Hi", noise(200), t, noise(200, 1), "Go on"),
    "as an answer of the model": lambda t: messages("Hi", t, "Go on"),
    "behind more metadata than is looked at": lambda t: {"metadata": {"a": "m" * (160 << 10)}, **chat(t)},
    "in the middle of a list of prompts": lambda t: {"prompt": [noise(2300), t, noise(1300, 1)]},
    "in the middle of a list of parts": lambda t: parts(noise(2300), t, noise(1300, 1)),
    "split inside words over parts": lambda t: parts(*[t[i:i + 4] for i in range(0, len(t), 4)]),
    "behind long instructions": lambda t: {"messages": [{"role": "system", "content": f"{noise(2100)} {t}"}, {"role": "user", "content": "Go on"}]},
}


@pytest.fixture(scope="module")
def sampling():
    import harness
    up = harness.Upstream()
    both = {*template_ids(LONG), *template_ids(spelt(ids(LONG)))}
    deny = [{"name": f"text-{i}", "template": t} for i, t in enumerate(sorted(both))]
    e = harness.Envoy(config(deny=deny, inspect={"on_unreadable": "reject", "max_inspect_bytes": "128KiB"}, limits=[]), up.port, edit=harness.bare)
    yield e, up
    assert e.stat("vm_reload_success") == 0, "a request trapped the VM"
    e.stop()
    up.stop()


@pytest.mark.parametrize("case", HIDDEN)
def test_a_template_that_no_window_keeps_is_met(sampling, case):
    e, up = sampling
    def ask(text):
        body = HIDDEN[case](text)
        return raw(e.port, request("/v1/completions" if "prompt" in body else CHAT, body, GOOD)).status
    before = seen(up)
    assert ask(noise(len(LONG), 2)) == 200
    assert ask(LONG) == 429
    assert seen(up) == before + 1


def file_of(text, kind="text/plain"):
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"


def coded(text, codec="utf-8", encode=base64.b64encode):
    return encode(text.encode(codec)).decode()


def openai(part):
    return "/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "text", "text": "Go on"}, part]}]}


def responses(part):
    return "/v1/responses", {"input": [{"role": "user", "content": [part]}]}


def anthropic(source, wrap=lambda d: d):
    return "/v1/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": [wrap({"type": "document", "source": source})]}]}


def gemini(part):
    return "/v1beta/models/g:generateContent", {"contents": [{"parts": [part]}]}


def bedrock(part):
    return "/model/m/converse", {"messages": [{"role": "user", "content": [part, {"text": "Go on"}]}]}


def result(part):
    return {"type": "tool_result", "tool_use_id": "1", "content": [part]}


# The prompt as a text file.
FILES = {
    "Anthropic document": lambda t: anthropic({"type": "base64", "media_type": "text/plain", "data": coded(t)}),
    "Anthropic document, its type last": lambda t: anthropic({"data": coded(t), "media_type": "text/csv", "type": "base64"}),
    "Anthropic document in an answer of a tool": lambda t: anthropic({"type": "base64", "media_type": "text/plain", "data": coded(t)}, result),
    "OpenAI file": lambda t: openai({"type": "file", "file": {"filename": "a.txt", "file_data": file_of(t)}}),
    "OpenAI file without a type": lambda t: openai({"type": "file", "file": {"file_data": coded(t)}}),
    "OpenAI image that is text": lambda t: openai({"type": "image_url", "image_url": {"url": file_of(t, "text/html")}}),
    "OpenAI image, its type a lie": lambda t: openai({"type": "image_url", "image_url": {"url": file_of(t, "image/png")}}),
    "OpenAI image, written out": lambda t: openai({"type": "image_url", "image_url": {"url": "data:text/plain," + t.replace(" ", "%20")}}),
    "Responses input_file": lambda t: responses({"type": "input_file", "filename": "a.md", "file_data": file_of(t, "text/markdown")}),
    "Responses input_image": lambda t: responses({"type": "input_image", "image_url": file_of(t, "")}),
    "Gemini inlineData": lambda t: gemini({"inlineData": {"mimeType": "text/plain", "data": coded(t)}}),
    "Gemini inline_data, URL alphabet": lambda t: gemini({"inline_data": {"mime_type": "application/json", "data": coded(t, encode=base64.urlsafe_b64encode)}}),
    "Gemini inlineData, no text at first": lambda t: gemini({"inlineData": {"mimeType": "text/plain", "data": coded("\x01\x02" + t)}}),
    "Gemini inlineData, broken into lines": lambda t: gemini({"inlineData": {"mimeType": "text/plain", "data": coded(t, encode=base64.encodebytes)}}),
    "Gemini inlineData, UTF-16": lambda t: gemini({"inlineData": {"mimeType": "text/plain", "data": coded(t, "utf-16")}}),
    "Bedrock document": lambda t: bedrock({"document": {"format": "txt", "name": "a", "source": {"bytes": coded(t)}}}),
    "Bedrock document in an answer of a tool": lambda t: bedrock({"toolResult": {"toolUseId": "1", "content": [
        {"document": {"format": "md", "name": "a", "source": {"bytes": coded(t)}}}]}}),
}


@pytest.mark.parametrize("case", FILES)
def test_a_text_file_in_base64_is_read(world, case):
    both, up = world
    def ask(text):
        path, body = FILES[case](text)
        return raw(both[True].port, request(path, body, GOOD)).status
    before = seen(up)
    assert ask(INNOCENT) == 200
    assert ask(FORBIDDEN) == 429
    assert seen(up) == before + 1


@pytest.mark.parametrize("case", ["OpenAI file", "Responses input_file", "Anthropic document", "Gemini inlineData"])
def test_a_campaign_whose_prompts_are_text_files_is_convicted(start, case):
    class Files(Traffic):
        def body(self, key):
            return FILES[case](super().body(key)["messages"][0]["content"])[1]

    e = start(learned(), workers=2)
    t = Files(e.port, hours=48, path=lambda key: FILES[case]("")[0])
    t.until(lambda: len(t.refused()) >= 112)
    blocked = t.refused()
    print(f"{case}: {len(blocked)} of {len(t.accounts)} accounts convicted")
    assert len(blocked) >= 110
    assert not [k for k in t.honest if set(t.seen.get(k, [200])) != {200}], "somebody honest was rejected"


def protobuf(text, vertex=False):
    """A request of Gemini over gRPC."""
    def field(n, v):
        length = [len(v) & 127 | 128, len(v) >> 7] if len(v) > 127 else [len(v)]
        return bytes([n << 3 | 2, *length]) + v
    part = field(1 if vertex else 2, text.encode())
    message = field(2, field(2 if vertex else 1, part))
    return b"\0" + len(message).to_bytes(4, "big") + message


GRPC = {
    "Gemini": ("/google.ai.generativelanguage.v1beta.GenerativeService/GenerateContent", False),
    "Gemini, a stream": ("/google.ai.generativelanguage.v1beta.GenerativeService/StreamGenerateContent", False),
    "Vertex": ("/google.cloud.aiplatform.v1.PredictionService/GenerateContent", True),
}


@pytest.mark.parametrize("hold", [True, False])
@pytest.mark.parametrize("case", GRPC)
def test_grpc_is_read(world, case, hold):
    both, up = world
    path, vertex = GRPC[case]
    def ask(text, key="good", size=None):
        body = protobuf(text, vertex)
        first = head(key, length(body) if size is None else "transfer-encoding: chunked", "te: trailers", path=path)
        first = first.replace(b"application/json", b"application/grpc")
        reply = raw(both[hold].port, first + (body if size is None else chunked(body, size)))
        return reply.headers.get("grpc-status") or reply.status
    for size in (None, 1, 7):
        before = seen(up)
        assert ask(INNOCENT, size=size) == 200
        assert ask(FORBIDDEN, size=size) == "8" and ask(INNOCENT, "bad", size=size) == "8"
        whole = [r for r in up.requests[before:] if FORBIDDEN[:40].encode() in r[1]]
        assert seen(up) >= before + 1 and not whole


PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + random.Random(1).randbytes(300_000)).decode()


def test_a_picture_passes_and_hides_nothing_behind_it(world):
    both, up = world
    def ask(text):
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PICTURE}}
        body = {"messages": [{"role": "user", "content": [picture, {"type": "text", "text": text}]}]}
        return raw(both[True].port, request(CHAT, body, GOOD)).status
    assert ask(INNOCENT) == 200 and ask(FORBIDDEN) == 429


# Name, how it is sent, statuses that are allowed. Whatever the key and the text: nothing whole may reach the upstream.
REFUSED = {
    "content-length too short": (lambda p, k, t: raw(p, head(k, "content-length: 20") + body_of(t)).status, {400, 429}),
    "content-length too long, then the end": (lambda p, k, t: close(p, k, t, ["content-length: 9999"], body_of(t)), {0, 400, 429}),
    "reset in mid-body": (lambda p, k, t: close(p, k, t, [length(body_of(t))], body_of(t)[:-30]), {0, 400, 429}),
    "chunked without its end": (lambda p, k, t: close(p, k, t, ["transfer-encoding: chunked"], chunked(body_of(t), 64, end=b"")), {0, 400, 429}),
    "no length at all": (lambda p, k, t: raw(p, head(k) + body_of(t)).status, {400, 429}),
    "two lengths": (lambda p, k, t: raw(p, head(k, length(body_of(t)), "content-length: 7") + body_of(t)).status, {400}),
    "length and chunked": (lambda p, k, t: raw(p, head(k, length(body_of(t)), "transfer-encoding: chunked") + chunked(body_of(t), 64)).status, {400}),
    "transfer-encoding: gzip, chunked": (lambda p, k, t: raw(p, head(k, "transfer-encoding: gzip, chunked") + chunked(body_of(t), 64)).status, {400, 501}),
    "gzip, no decompressor": (compressed("gzip", gzip.compress), {400, 429}),
    "deflate, no decompressor": (compressed("deflate", zlib.compress), {400, 429}),
    "gzip twice": (compressed("gzip, gzip", lambda b: gzip.compress(gzip.compress(b))), {400, 429}),
    "HTTP/1.0": (plain(version="1.0"), {426, 400, 429}),
    "CONNECT": (lambda p, k, t: raw(p, f"CONNECT api.example.com:443 HTTP/1.1\r\nhost: api.example.com:443\r\nx-api-key: {k}\r\n\r\n".encode()).status, {403, 404, 405, 429}),
    "gRPC frames": (lambda p, k, t: raw(p, head(k, "content-type: application/grpc", length(body_of(t))) + body_of(t)).status, {200, 400, 429}),
    "header flood": (plain(*[f"x-f-{i}: {i}" for i in range(99)] + [f"x-api-key: k{i}" for i in range(9)]), {400, 429, 431}),
    "UTF-16": (lambda p, k, t: raw(p, request(CHAT, json.dumps(chat(t)).encode("utf-16"), [("x-api-key", k)])).status, {400, 429}),
    "a bomb of gzip in base64": (lambda p, k, t: raw(p, request(CHAT, base64.b64encode(gzip.compress(body_of(t))), [("x-api-key", k)])).status, {400, 429}),
}


@pytest.mark.parametrize("hold", [True, False])
@pytest.mark.parametrize("case", REFUSED)
def test_refused_whatever_it_holds(world, case, hold):
    both, up = world
    send, statuses = REFUSED[case]
    for key, text in (("bad", INNOCENT), ("good", FORBIDDEN)):
        before = seen(up)
        status = send(both[hold].port, key, text)
        assert status in statuses, status
        time.sleep(0.1)
        assert len(up.requests) == before, "a rejected request reached the upstream whole"


def test_http_1_0_where_it_is_accepted(start, upstream):
    accept = "stat_prefix: inference\n          http_protocol_options: {accept_http_10: true}"
    e = start(denying(), edit=lambda y: y.replace("stat_prefix: inference", accept))
    assert plain(version="1.0")(e.port, "good", INNOCENT) == 200
    assert plain(version="1.0")(e.port, "bad", INNOCENT) == plain(version="1.0")(e.port, "good", FORBIDDEN) == 429
    assert len(upstream.requests) == 1


def test_connect_where_it_is_routed(start, upstream):
    edit = lambda y: y.replace("              - name: chat\n", '              - name: tunnel\n                match: {connect_matcher: {}}\n                route: {cluster: inference, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]}\n              - name: chat\n').replace(
        "stat_prefix: inference", "stat_prefix: inference\n          upgrade_configs: [{upgrade_type: CONNECT}]")
    e = start(denying(), edit=edit)
    # A tunnel names no API: its key decides, what goes through it is not read. Whoever routes CONNECT to a model server opens a way around.
    tunnel = b"CONNECT api.example.com:443 HTTP/1.1\r\nhost: api.example.com:443\r\nx-api-key: %s\r\n\r\n"
    assert raw(e.port, tunnel % b"bad", timeout=2).status == 429
    assert e.stat("weir.requests", "reason=deny_list") == 1
    time.sleep(0.2)
    assert upstream.requests == []
    raw(e.port, tunnel % b"good", timeout=2)
    assert e.stat("weir.requests", "reason=not_inference") == 1
    time.sleep(0.2)
    assert upstream.requests == [], "the stub speaks no CONNECT; a server that does would get the tunnel"


def test_two_credentials_and_a_key_in_the_query(start, upstream):
    sources = {"sources": [{"bearer": True}, {"header": "x-api-key"}, {"query": "key"}]}
    e = start(denying(identity=sources))
    for sent in ([("x-api-key", "bad"), ("x-api-key", "good")], [("x-api-key", "good"), ("x-api-key", "bad")],
                 [("authorization", "Bearer good"), ("x-api-key", "bad")]):
        assert raw(e.port, request(CHAT, None, sent)).status == 429, sent
    assert upstream.requests == []
    assert raw(e.port, request(CHAT + "?key=fine", None, GOOD)).status == 200


def test_count_of_cases(capsys):
    ways = len(READ) + len(REFUSED)
    with capsys.disabled():
        print(f"\nHTTP that bypasses filters: {ways} ways to send, each with headers held and not held, and 4 settings of the proxy")
    assert ways >= 72
