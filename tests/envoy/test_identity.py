"""Who sends a request, on a real Envoy: no header, number of headers or spelling makes somebody else of a client."""
import base64
import itertools
import os
import time

import harness
import pytest
from harness import config, jwt, key_id, post

ONE = [{"name": "one", "requests": 1, "per": "1h"}]
NO_REMOTE = lambda yaml: yaml.replace("          use_remote_address: true\n", "")
basic = lambda text: "Basic " + base64.b64encode(text.encode()).decode()


def served(e, requests, peer=None):
    return [post(e.port, path=path, headers=headers, peer=peer).status for path, headers in requests]


def test_without_use_remote_address_a_forged_address_is_nobodys(start, upstream):
    """Neither a fresh quota for each address that a client makes up, nor anybody else's."""
    e = start(config(deny=[], limits=ONE), edit=NO_REMOTE, workers=1)
    forged = lambda i: [("x-forwarded-for", f"198.51.{i}.7")]
    assert served(e, [("/v1/chat/completions", forged(i)) for i in range(6)]).count(200) == 1
    e.wait_log("weir: this host takes the client's address from x-forwarded-for")
    assert e.log().count("this host takes the client's address") == 1
    assert e.stat("weir.unreadable", "kind=address") == 6
    # The peer's own quota is untouched: 127.0.0.1 without the header.
    assert served(e, [("/v1/chat/completions", [])] * 2) == [200, 429]


def test_without_use_remote_address_nobody_is_framed(start):
    """A denied address is the peer's: a client that writes it does not get it denied, nor escapes by writing another."""
    loopback = key_id(bytes([4, 32, 127, 0, 0, 1]), 5)
    victim = key_id(bytes([4, 32, 198, 51, 100, 7]), 5)
    e = start(config(deny=[{"name": "l", "key": loopback}, {"name": "v", "key": victim}], limits=[]), edit=NO_REMOTE)
    assert served(e, [("/v1/chat/completions", []), ("/v1/chat/completions", [("x-forwarded-for", "198.51.100.7")])]) == [429, 200]
    e = start(config(deny=[{"name": "l", "key": loopback}], limits=[]))
    for forged in ("198.51.100.7", "198.51.100.7, 203.0.113.1", "127.0.0.1:0", "junk"):
        assert served(e, [("/v1/chat/completions", [("x-forwarded-for", forged)])]) == [429], forged


def test_use_remote_address_limits_the_peer_whatever_it_writes(start):
    e = start(config(deny=[], limits=ONE), workers=1)
    assert served(e, [("/v1/chat/completions", [("x-forwarded-for", f"198.51.{i}.7")]) for i in range(5)]).count(200) == 1


def test_trusted_hops_count_the_same_with_and_without_use_remote_address(start):
    for edit in (None, NO_REMOTE):
        for by in ("x-forwarded-for", "forwarded"):
            e = start(config(deny=[], limits=ONE, identity={"trusted_hops": 1, "hops_header": by}), edit=edit, workers=1)
            entry = lambda a: f"for={a}" if by == "forwarded" else a
            chain = lambda client: [(by, f"{entry('6.6.6.6')}, {entry(client)}")]
            # With it Envoy has added the peer (127.0.0.2; for 127.0.0.1 itself it adds an address of its own), without it nothing.
            said = served(e, [("/v1/chat/completions", chain(c)) for c in ("10.0.0.1", "10.0.0.2", "10.0.0.1")], peer="127.0.0.2")
            assert said == [200, 200, 429], (edit, by)


def test_a_filter_in_front_may_tell_the_peer(start):
    """Where use_remote_address cannot be: the connection's own address in filter state `weir.peer`."""
    peer = """          - name: peer
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config
              on_request_headers:
              - object_key: weir.peer
                factory_key: envoy.string
                format_string: {text_format_source: {inline_string: "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%"}}
          - name: weir
"""
    edit = lambda yaml: NO_REMOTE(yaml).replace("          - name: weir\n", peer, 1)
    loopback = key_id(bytes([4, 32, 127, 0, 0, 1]), 5)
    e = start(config(deny=[{"name": "l", "key": loopback}]), edit=edit)
    assert served(e, [("/v1/chat/completions", [("x-forwarded-for", "198.51.100.7")])]) == [429]


@pytest.mark.parametrize("n", [1, 8, 9, 40, 80])
def test_no_number_of_credentials_hides_a_denied_one(start, upstream, n):
    e = start(config(limits=[]))
    junk = [("x-api-key", f"junk{i}") for i in range(n)]
    for headers in (junk + [("api-key", "bad")], [("api-key", "bad")] + junk, junk + [("authorization", "Bearer\tbad")]):
        assert served(e, [("/v1/chat/completions", headers)]) == [429], (n, headers[-1])
    assert upstream.requests == []
    # And the body is read: a denied text stays denied.
    text = "one of the most particular texts that anybody has ever sent to a model anywhere at all"
    e = start(config(limits=[], deny=[{"name": t, "template": t} for t in harness.template_ids(text)]))
    assert post(e.port, body=harness.chat(text), headers=junk).status == 429
    assert e.stat("weir.unreadable") == 0


def test_many_credentials_are_charged_to_each_and_more_than_two_to_the_address(start):
    e = start(config(deny=[], limits=[{"name": "two", "requests": 2, "per": "1h"}]), workers=1)
    made = lambda i, n: [("x-api-key", f"made{i}{c}") for c in "abc"[:n]]
    assert served(e, [("/v1/chat/completions", made(i, 3)) for i in range(5)]) == [200, 200, 429, 429, 429], "made up anew each time"
    assert served(e, [("/v1/chat/completions", made(i, 2)) for i in range(9, 14)]) == [200] * 5, "a gateway's and its clients', behind one address"
    ten = [("x-api-key", f"k{i}") for i in range(10)]
    assert served(e, [("/v1/chat/completions", ten[:1])] * 3) == [200, 200, 429]
    assert served(e, [("/v1/chat/completions", ten)]) == [429], "one of them has used its quota up"


def test_more_credentials_than_headers_can_hold_are_refused(start, upstream):
    e = start(config(deny=[], limits=[], identity={"sources": [{"query": "key"}]}))
    path = "/v1/chat/completions?" + "&".join(f"key=k{i}" for i in range(129))
    assert served(e, [(path, [])]) == [429]
    assert e.stat("weir.requests", "reason=ambiguous", "action=block") == 1
    assert served(e, [(path.replace("&key=k128", ""), [])]) == [200]


PLACES = [
    ("", [("authorization", "Bearer bad")]), ("", [("authorization", "bearer\tbad")]), ("", [("authorization", "BEARER   bad ")]),
    ("", [("authorization", "token bad")]), ("", [("authorization", "bad")]), ("", [("authorization", "Bearer Bearer bad")]),
    ("", [("authorization", "Bearer good"), ("authorization", "Bearer bad")]), ("", [("authorization", "Bearer good,Bearer bad")]),
    ("", [("x-api-key", "bad")]), ("", [("api-key", "bad")]), ("", [("x-goog-api-key", "bad")]), ("", [("x-api-key", "Bearer bad")]),
    ("?key=bad", []), ("?k%65y=%62ad", []), ("", [("authorization", basic("bad:"))]), ("", [("authorization", basic(":bad"))]),
    ("", [("authorization", basic("user:bad"))]),
]


def test_a_denied_secret_is_denied_in_every_place(start, upstream):
    e = start(config(limits=[]))
    for query, headers in PLACES:
        assert served(e, [("/v1/chat/completions" + query, headers)]) == [429], (query, headers)
    assert upstream.requests == []


def test_one_secret_has_one_quota(start):
    e = start(config(deny=[], limits=ONE), workers=1)
    said = served(e, [("/v1/chat/completions" + q, h) for q, h in PLACES if "good" not in str(h) and h != PLACES[-1][1]])
    assert said.count(200) == 1, said


SIGNED = "AWS4-HMAC-SHA256 Credential={}/{}/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature={}"


def test_signatures_cookies_and_names(start):
    e = start(config(deny=[], limits=ONE), workers=1)
    call = lambda headers, query="": served(e, [("/v1/chat/completions" + query, headers)])[0]
    assert call([("authorization", SIGNED.format("AKIA1", "20261128", "aa"))]) == 200
    assert call([("authorization", SIGNED.format("AKIA1", "20261129", "bb"))]) == 429, "another signature, the same key"
    assert call([], "?X-Amz-Credential=AKIA1%2F20261128%2Fus-east-1%2Fbedrock%2Faws4_request") == 429
    assert call([("authorization", SIGNED.format("AKIA2", "20261128", "aa"))]) == 200
    assert call([("authorization", basic("alice:one"))]) == 200
    assert call([("authorization", basic("alice:two"))]) == 429
    e = start(config(deny=[], limits=ONE, identity={"sources": [{"cookie": "sid"}]}), workers=1)
    assert call([("cookie", "a=b; sid=x")]) == 200
    assert call([("cookie", "sid=x; a=c")]) == 429
    assert call([("cookie", "sid=y")]) == 200


def test_tokens_that_rotate_are_one_account_behind_jwt_authn(start, upstream):
    e = start({}, template=os.path.join(harness.ROOT, "envoy", "identity", "jwt.yaml"), edit=lambda y: y.replace('"requests": 5000', '"requests": 3'),
              workers=1)
    call = lambda token: served(e, [("/v1/chat/completions", [("authorization", "Bearer " + token)])])[0]
    now = int(time.time())
    tokens = [jwt(sub="alice", iat=now + i, org={"id": "o"}, created=now * 1000) for i in range(5)]
    assert len(set(tokens)) == 5
    assert [call(t) for t in tokens] == [200, 200, 200, 429, 429]
    assert call(jwt(sub="bob")) == 200
    assert call(jwt(sub="alice", key=b"x" * 40)) == 401, "refused in front"
    assert e.stat("weir.unreadable", "kind=age") == 0
    assert "a filter in front must verify the token" in e.log()
    assert "alice" not in e.log()


def test_ages_that_cannot_be_read_are_counted(start):
    e = start(config(deny=[], limits=[], identity={"age": {"header": "x-created"}}))
    now = time.time()
    good = [int(now), int(now * 1e3), int(now * 1e6), int(now * 1e9), f"{now:.3f}", "2026-05-01T10:00:00Z"]
    bad = ["yesterday", 12345, int(now) + 7 * 86400, "2009-12-31T23:59:59Z", "-1"]
    for value in good:
        post(e.port, headers=[("x-api-key", "k"), ("x-created", str(value))])
    assert e.stat("weir.unreadable", "kind=age") == 0
    for value in bad:
        post(e.port, headers=[("x-api-key", "k"), ("x-created", str(value))])
    assert e.stat("weir.unreadable", "kind=age") == len(bad)
