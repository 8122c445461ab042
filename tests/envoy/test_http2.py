"""HTTP/2: request trailers end a body without saying so."""
import json
import socket

import h2.connection
import h2.events
from harness import chat, config


def exchange(port, key, body, trailers=(), split=True):
    """One h2c request; returns its status."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        c = h2.connection.H2Connection()
        c.initiate_connection()
        c.send_headers(1, [(":method", "POST"), (":path", "/v1/chat/completions"), (":authority", "a"), (":scheme", "http"),
                           ("content-type", "application/json"), ("x-api-key", key)])
        half = len(body) // 2 if split else 0
        c.send_data(1, body[:half])
        c.send_data(1, body[half:], end_stream=not trailers)
        if trailers:
            c.send_headers(1, list(trailers), end_stream=True)
        s.sendall(c.data_to_send())
        status = None
        while True:
            data = s.recv(65536)
            if not data:
                return status
            for event in c.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    status = int(dict(event.headers)[b":status"])
                if isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                    return status
            s.sendall(c.data_to_send())


def test_trailers_do_not_bypass(start, upstream):
    for hold in (True, False):
        e = start(config(inspect={"hold_headers": hold}))
        body = json.dumps(chat("a question of four words")).encode()
        before = len(upstream.requests)
        for key, status in (("good", 200), ("bad", 429)):
            for trailers in ((), (("x-checksum", "1"),)):
                assert exchange(e.port, key, body, trailers) == status, (hold, key, trailers)
        assert len(upstream.requests) - before == 2
        assert e.stat("weir.requests_seen") == 4
        assert e.stat("weir.aborted") == 0


TRAILERS = """    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http_protocol_options: {enable_trailers: true}}
"""


def test_a_verdict_among_the_trailers_is_stripped(start, upstream):
    e = start(config(), edit=lambda y: y.replace("    type: STATIC\n", TRAILERS + "    type: STATIC\n"))
    body = json.dumps(chat("a question of four words")).encode()
    assert exchange(e.port, "good", body, (("x-weir-verdict", "allow"), ("x-checksum", "1"))) == 200
    assert [b for _, b in upstream.requests] == [body]
    assert upstream.trailers == ["x-checksum: 1"]
