"""WebSocket: the handshake is decided by its key, the client's messages are read, and one that is rejected ends the connection."""
import json
import os
import re
import socket
import socketserver
import struct
import threading
import time

import h2.config
import h2.connection
import h2.events
import pytest
from harness import config, key_id, template_ids
from traffic import Traffic, learned, settle

FORBIDDEN = "Write down step by step how you would solve the exercise below and explain every step of your reasoning to a beginner"
HANDSHAKE = ("GET {path} HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
             "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-extensions: permessage-deflate\r\n{key}\r\n\r\n")


def frame(payload, code=1, fin=True):
    mask, n = os.urandom(4), len(payload)
    head = bytes([code | (0x80 if fin else 0)])
    head += bytes([0x80 | n]) if n < 126 else bytes([0x80 | 126]) + struct.pack(">H", n) if n < 65536 else bytes([0x80 | 127]) + struct.pack(">Q", n)
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def unmask(data):
    """Whole frames at the start of what the server got: (code, payload)."""
    out = []
    while len(data) >= 6:
        n, at = data[1] & 127, 2
        if n == 126:
            n, at = struct.unpack(">H", data[2:4])[0], 4
        elif n == 127:
            n, at = struct.unpack(">Q", data[2:10])[0], 10
        mask, body = data[at:at + 4], data[at + 4:at + 4 + n]
        if len(body) < n:
            break
        out.append((data[0] & 15, bytes(b ^ mask[i % 4] for i, b in enumerate(body))))
        data = data[at + 4 + n:]
    return out


class Server:
    """Shakes hands, keeps all bytes, answers each read with a small text frame."""

    def __init__(self):
        self.heads, self.got, self.ended = [], [], 0
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                head = b""
                while b"\r\n\r\n" not in head:
                    more = self.request.recv(4096)
                    if not more:
                        return
                    head += more
                head, _, rest = head.partition(b"\r\n\r\n")
                if b"upgrade: websocket" not in head.lower():
                    return self.plain(head, rest)
                outer.heads.append(head.decode())
                got = bytearray()
                outer.got.append(got)
                self.request.sendall(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
                try:
                    while data := self.request.recv(65536):
                        got.extend(data)
                        self.request.sendall(b"\x81\x02ok")
                except OSError:
                    pass
                outer.ended += 1

            def plain(self, head, rest):
                """Requests without an upgrade are served, one a connection."""
                length = int(re.search(rb"(?i)content-length: *(\d+)", head).group(1))
                while len(rest) < length:
                    more = self.request.recv(65536)
                    if not more:
                        return
                    rest += more
                self.request.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}")

        class Threaded(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            # Twenty-five connect at once; of five that wait a busy machine turns others away.
            request_queue_size = 128

        self.server = Threaded(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def upstream():
    up = Server()
    yield up
    up.stop()


class Client:
    def __init__(self, port, path="/v1/realtime?model=m", key="x-api-key: good"):
        self.s = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.s.sendall(HANDSHAKE.format(path=path, key=key).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            more = self.s.recv(1)
            if not more:
                break
            head += more
        self.status = int(head.split()[1]) if head else 0

    def send(self, *pieces):
        for p in pieces:
            try:
                self.s.sendall(p)
            except OSError:
                return  # ended already
            time.sleep(0.001)

    def ends(self, seconds=4):
        """Is it ended, whatever was answered before? Envoy closes a second after it has reset a stream."""
        end = time.time() + seconds
        while time.time() < end:
            if self.answers(0.3) is False:
                return True
        return False

    def answers(self, seconds=2):
        """Does the server answer (True), or has the connection ended (False)?"""
        self.s.settimeout(seconds)
        try:
            return bool(self.s.recv(4096))
        except socket.timeout:
            return None
        except OSError:
            return False


def item(text):
    return json.dumps({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}}).encode()


EVENTS = {
    "conversation.item.create": item,
    "response.create": lambda t: json.dumps({"type": "response.create", "response": {"instructions": t}}).encode(),
    "response.create, input": lambda t: json.dumps({"type": "response.create", "response": {"input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": t}]}]}}).encode(),
    "session.update": lambda t: json.dumps({"type": "session.update", "session": {"instructions": t}}).encode(),
    "Responses": lambda t: json.dumps({"type": "response.create", "model": "m", "input": t}).encode(),
    "Gemini Live": lambda t: json.dumps({"clientContent": {"turns": [{"role": "user", "parts": [{"text": t}]}], "turnComplete": True}}).encode(),
    "Gemini Live, text": lambda t: json.dumps({"realtimeInput": {"text": t}}).encode(),
    "Gemini Live, setup": lambda t: json.dumps({"setup": {"model": "m", "systemInstruction": {"parts": [{"text": t}]}}}).encode(),
}
PATHS = ["/v1/realtime?model=m", "/v1/responses", "/openai/realtime", "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"]


def fragments(payload, n=7):
    """A message in fragments with pings between them."""
    parts = [payload[i:i + len(payload) // n + 1] for i in range(0, len(payload), len(payload) // n + 1)]
    out = []
    for i, p in enumerate(parts):
        out += [frame(p, 1 if i == 0 else 0, i == len(parts) - 1), frame(b"p", 9)]
    return out


WAYS = {
    "one frame": lambda m: [frame(m)],
    "a binary frame": lambda m: [frame(m, 2)],
    "fragments and pings": fragments,
    "a byte at a time": lambda m: [bytes([b]) for b in frame(m)],
    "behind another message": lambda m: [frame(item("what is a weir and what is it for")) + frame(m)],
    "behind audio": lambda m: [frame(json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 30_000}).encode()) + frame(m)],
}


def denying(**over):
    deny = [{"name": "key", "key": key_id("bad")}] + [{"name": f"t{i}", "template": t} for i, t in enumerate(template_ids(FORBIDDEN))]
    return config(**{"deny": deny, "limits": [], **over})


def server_saw(upstream, text):
    time.sleep(0.05)
    return any(text[:40].encode() in b"".join(p for _, p in unmask(bytes(g))) for g in upstream.got)


@pytest.mark.parametrize("hold", [True, False])
def test_what_a_client_sends_is_read_and_a_denied_text_ends_it(start, upstream, hold):
    e = start(denying(inspect={"hold_headers": hold}))
    assert Client(e.port, key="x-api-key: bad").status == 429
    cases = [(PATHS[0], n, "one frame") for n in EVENTS] + [(p, "Responses", "one frame") for p in PATHS[1:]]
    cases = (cases if hold else []) + [(PATHS[0], "conversation.item.create", w) for w in WAYS]
    for path, event, way in cases:
        make, send = EVENTS[event], WAYS[way]
        c = Client(e.port, path)
        assert c.status == 101
        c.send(*send(make("what is the difference between a weir and a dam")))
        assert c.answers(), (path, event, way)
        before = len(upstream.got)
        c = Client(e.port, path)
        c.send(*(send(make(FORBIDDEN))))
        assert c.ends(), (path, event, way)
        assert not server_saw(upstream, FORBIDDEN), (path, event, way)
        assert len(upstream.got) <= before + 1
    assert all("permessage-deflate" not in h for h in upstream.heads)
    assert e.stat("weir.requests", "reason=deny_list", "mode=enforce") >= len(cases)


@pytest.mark.parametrize("buffer", [32, 1_024])
def test_a_burst_of_audio_behind_half_a_message_ends_nothing(start, upstream, buffer):
    # What the proxy holds of a message and what comes next must fit into its buffer, or it resets the stream by itself.
    e = start(denying(inspect={"host_buffer_bytes": f"{buffer}KiB"}), buffer_limit=buffer << 10)
    audio = frame(json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 15_000}).encode())
    for way in (frame, lambda m: b"".join(fragments(m))):
        c = Client(e.port)
        message = way(item("what is the difference between a weir and a dam"))
        c.send(message[:40])
        time.sleep(0.05)
        c.send(message[40:] + audio * 20)
        assert c.answers() and not c.ends(1)
        c = Client(e.port)
        message = way(item(FORBIDDEN))
        c.send(message[:-40])
        time.sleep(0.05)
        c.send(message[-40:] + audio * 20)
        assert c.ends()
        # Whole it arrives nowhere; the rest of a message that is not held has gone.
        assert not any(FORBIDDEN.encode() in p for g in upstream.got for _, p in unmask(bytes(g)))


def test_messages_are_charged_and_shadow_mode_ends_nothing(start, upstream):
    limits = [{"name": "few", "requests": 3, "per": "1h"}]
    e = start(config(limits=limits))
    c = Client(e.port)
    for i in range(2):
        # Audio and control frames cost nothing.
        c.send(*[frame(json.dumps({"type": "input_audio_buffer.append", "audio": "AAAA"}).encode())] * 5, frame(b"", 9))
        assert c.answers()
        c.send(frame(item(f"question number {'ab'[i]} about weirs and dams")))
        assert c.answers()
    c.send(frame(item("question number three about weirs and dams")))
    assert c.ends(), "the handshake and two messages are three"
    shadow = start(denying(mode="shadow"))
    c = Client(shadow.port)
    for _ in range(3):
        c.send(frame(item(FORBIDDEN)))
        assert c.answers()
    assert shadow.stat("weir.requests", "reason=deny_list", "mode=shadow") == 3
    assert server_saw(upstream, FORBIDDEN)


def test_messages_teach_like_requests_and_a_conviction_ends_open_connections(start, upstream):
    e = start(config(limits=[], deny=[]))
    for i in range(12):
        c = Client(e.port, key=f"x-api-key: k{i}")
        c.send(frame(item(f"{FORBIDDEN} about {'abcdefghijkl'[i] * 5}")))
        assert c.answers()
    e.wait_stat(lambda v: v == 12, "weir.observations_applied.policy=test")
    assert e.stat("weir.keys.policy=test") == 12


def test_a_conviction_in_mid_session_ends_it(start, upstream):
    """A key that is convicted by its other requests loses its open WebSocket with the next message, be it audio."""
    e = start(learned())
    t = Traffic(e.port, hours=48)
    credentials = lambda key: "\r\n".join(f"{k}: {v}" for k, v in t.headers(key))
    open_ones = {k: Client(e.port, key=credentials(k)) for k in t.accounts[:20] + t.honest[:5]}
    assert {c.status for c in open_ones.values()} == {101}
    t.until(lambda: len(t.refused()) >= 110, hours=24)
    settle(e)
    convicted = set(t.refused())
    assert len(convicted) >= 100
    audio = frame(json.dumps({"type": "input_audio_buffer.append", "audio": "AAAA"}).encode())
    # Of an account that was refused once nobody knows whether it is convicted.
    known = {k: c for k, c in open_ones.items() if k in convicted}
    assert len(known) >= 15
    # To all at once: on this clock a second is an hour, and Envoy takes one to close what it has reset.
    for key in [*known, *t.honest[:5]]:
        open_ones[key].send(audio)
    for key, c in known.items():
        assert c.ends(), key
    for key in t.honest[:5]:
        assert open_ones[key].answers(), key


def test_frames_are_unreadable_by_name(start, upstream):
    e = start(config(limits=[], inspect={"on_unreadable": "reject"}))
    for bad in (frame(b"hello"), frame(b"\x00\x01", 1 | 0x40), frame(item("four words of text") + b"}"), frame(b'{"type":')):
        c = Client(e.port)
        c.send(bad)
        assert c.ends(), bad
    c = Client(e.port)
    c.send(frame(b"\x00\x01\x02 audio", 2))
    assert c.answers(), "binary that is no JSON is audio"


def test_a_path_that_is_not_known_is_decided_by_its_handshake_alone(start, upstream):
    e = start(denying())
    c = Client(e.port, "/ws")
    assert c.status == 101
    c.send(frame(item(FORBIDDEN)))
    assert c.answers()
    assert Client(e.port, "/ws", key="x-api-key: bad").status == 429


def over_http2(port, key, text):
    """Extended CONNECT (RFC 8441): the status, and whether the stream was ended after the message."""
    with socket.create_connection(("127.0.0.1", port), timeout=3) as s:
        c = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=False))
        c.initiate_connection()
        s.sendall(c.data_to_send())
        time.sleep(0.1)
        c.receive_data(s.recv(65536))
        c.send_headers(1, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/v1/realtime"), (":authority", "a"),
                           ("sec-websocket-version", "13"), ("x-api-key", key)])
        s.sendall(c.data_to_send())
        status, ended, sent, end = None, False, False, time.time() + 2
        s.settimeout(0.3)
        while time.time() < end and not ended:
            try:
                data = s.recv(65536)
            except socket.timeout:
                continue
            for event in c.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    status = int(dict(event.headers)[b":status"])
                ended |= isinstance(event, (h2.events.StreamReset, h2.events.StreamEnded))
            if status == 200 and not sent:
                sent = True
                c.send_data(1, frame(item(text)))
            s.sendall(c.data_to_send())
        return status, ended


def test_over_http2(start, upstream):
    e = start(denying(), edit=lambda y: y.replace("codec_type: AUTO", "codec_type: AUTO\n          http2_protocol_options: {allow_connect: true}"))
    assert over_http2(e.port, "good", "what is the difference between a weir and a dam") == (200, False)
    assert over_http2(e.port, "bad", FORBIDDEN)[0] == 429
    assert over_http2(e.port, "good", FORBIDDEN) == (200, True)
    assert not server_saw(upstream, FORBIDDEN)
