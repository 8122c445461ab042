"""Planted strings in every place where a client may put a secret or a text, and then a search for them in all that Weir writes: a proxy with the
module at level trace, a hub, the commands. As they are, in base64 and hex, and as their plain SHA-256."""
import base64
import glob
import hashlib
import http.client
import json
import os
import re
import socket
import subprocess
import threading
import time

import pytest
from harness import ROOT, SEED, chat, free_port, key_id, post, template_ids
from hub import TOKEN, WEIR, Hub, Store, reached
from planted import EVERYWHERE, Plants, forms, found, frame, others
from test_admin import ACT, READ, People, until
from traffic import Traffic, learned, model_now, settle

SCALE = 1500


def none_of(secrets, places):
    """None of the secrets stands in any place. Prints how much was searched."""
    leaks = {name: found(secrets, text) for name, text in places.items()}
    assert not any(leaks.values()), {name: sorted(f) for name, f in leaks.items() if f}
    assert all(places.values()), [name for name, text in places.items() if not text]
    size = sum(len(t) for t in places.values())
    print(f"\nsecrets: {len(secrets)} planted strings, {len(forms('x' * 18))} forms each, {len(places)} places, {size >> 10} KiB: none found")
    for name, text in places.items():
        print(f"  {name}: {len(text)}")


def test_the_search_finds_what_is_there():
    for prefix in ("", "a", "ab", "user:", "abcd"):
        text = prefix + "zqplantedsecretxyz" + "tail"[:len(prefix)]
        for shown in (text, text.upper(), text.encode().hex(), text.encode().hex().upper(), base64.b64encode(text.encode()).decode(),
                      base64.urlsafe_b64encode(text.encode()).decode(), hashlib.sha256(b"zqplantedsecretxyz").hexdigest()):
            assert found({"p": "zqplantedsecretxyz"}, f"x {shown} y"), (prefix, shown)
    assert not found({"p": "zqplantedsecretxyz"}, "x zqplantedsecretxy zqplantedsecret y")


# ---- a proxy and a hub

class Planted(Traffic):
    """A campaign and people whose keys and texts hold planted strings."""
    plants = None

    def headers(self, key):
        (_, value), *others = super().headers(key)
        return [("authorization", value.replace(" ", f" {self.plants['bearer']}-")), ("x-tenant", f"{self.plants['tenant']}-{key}"),
                ("user-agent", self.plants["agent"]), *others]

    def body(self, key):
        """Of the campaign beside its template, of people in the middle of what they say."""
        body = super().body(key)
        text = body["messages"][0]["content"]
        if key[0] == "c":
            text = f"{self.plants['prompt']} {text}"
            body["messages"] = [{"role": "system", "content": f"Be brief about {self.plants['instructions']} and about nothing else in here."}]
        else:
            before, after = text.split(" ", 1)
            text, body["messages"] = f"{before} {self.plants['words of people']} {after}", []
        body["messages"].append({"role": "user", "content": text})
        return body


def settings(p):
    deny = [{"name": "key", "key": key_id(p["denied"])}]
    deny += [{"name": f"t{i}", "template": t}
             for i, t in enumerate(template_ids(p["denied text"] + " and five more words stand in here beside it"))]
    return learned(SCALE, **EVERYWHERE, deny=deny, limits=[{"name": "l", "requests": 40, "per": "24h"}], hub={"cluster": "weir_hub", "every": "100ms"})


def followed(p):
    """Lines of a log that the hub follows: records, and what is none in the ways in which lines go wrong."""
    user = {"model": "m", "messages": [{"role": "user", "content": f"four words and {p['followed text']} are here"}]}
    record = {"t": model_now(SCALE), "path": f"/v1/chat/completions?note={p['followed query']}",
              "headers": {"authorization": f"Bearer {p['followed key']}"}, "body": user}
    wrong = [{**record, "t": p["no time"]}, {**record, "headers": p["no headers"]}, {**record, "key_age_s": p["no age"]},
             {**record, "method": {p["no method"]: 1}}, {"path": [p["no path"]]}, {**record, "body_base64": p["not one body"]}]
    lines = [json.dumps(record)] * 5 + [json.dumps(w) for w in wrong] + [p["no record"], json.dumps(record)[:-40] + p["torn"]]
    return "".join(line + "\n" for line in lines)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setenv("WEIR_HUB_READ_TOKEN", READ)
    monkeypatch.setenv("WEIR_HUB_ACT_TOKEN", ACT)
    port = free_port()
    log = tmp_path / "edge.log"
    log.write_text(followed(Plants()))
    h = Hub(settings(Plants()), args=["--admin", f"127.0.0.1:{port}", "--follow", str(log), "--follow-from-start"])
    h.people = People(port)
    yield h
    h.stop()


def files(directory):
    out = {}
    for path in glob.glob(os.path.join(directory, "**"), recursive=True):
        if os.path.isfile(path):
            with open(path, "rb") as f:
                out[os.path.relpath(path, directory)] = f.read()
    return out


def fetch(port, path, token):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    c.request("GET", path, headers={"authorization": f"Bearer {token}"})
    r = c.getresponse()
    return f"{r.status} {r.headers}".encode() + r.read()


def events(port, into):
    """Reads what people are told as it happens, until the hub ends."""
    try:
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        c.request("GET", "/v1/events", headers={"authorization": f"Bearer {READ}"})
        r = c.getresponse()
        while piece := r.read1(4_096):
            into.append(piece)
    except OSError:
        pass


def run(*args, status=(0,), text=None):
    """A command; all that it writes."""
    r = subprocess.run([WEIR, *map(str, args)], capture_output=True, timeout=120, input=text)
    assert r.returncode in status, r.stderr.decode()[-2_000:]
    return r.stdout + b"\n" + r.stderr


def test_nothing_that_a_client_sends_is_readable_anywhere(start, upstream, hub, tmp_path):
    p, people, told = Plants(), hub.people, []
    log_of_edge = followed(p)
    threading.Thread(target=events, args=(people.port, told), daemon=True).start()
    e = start(settings(p), workers=2, edit=reached(hub.port), args=["--component-log-level", "wasm:trace"])
    Planted.plants = p
    t = Planted(e.port, accounts=80, honest=20, hours=40, scale=SCALE)
    replies = []
    for path, headers, body in others(p):
        for _ in range(3):
            r = post(e.port, path=path, headers=headers, body=body)
            replies.append(json.dumps(r.headers).encode() + r.body)
    # More than the limit allows.
    for _ in range(120):
        replies.append(post(e.port, headers=[("authorization", f"Bearer {p['throttled']}")], body=chat(p["throttled text"] + " has five more words here")).body)
    with socket.create_connection(("127.0.0.1", e.port), timeout=5) as s:
        s.sendall(f"GET /v1/realtime?model={p['socket query']} HTTP/1.1\r\nhost: a\r\nx-api-key: {p['socket key']}\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                  "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        replies.append(s.recv(4_096))
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": f"some words and {p['message']} as well as others"}]}
        s.sendall(frame(json.dumps({"type": "conversation.item.create", "item": item}).encode()))
        time.sleep(1)
    t.until(lambda: len(t.refused()) >= 60 and hub.status()["convicted"] >= 50, hours=12)
    settle(e)
    until(lambda: people.ask("/v1/cases")[1]["cases"])
    until(lambda: hub.status()["convicted"] >= 50)
    cases = people.ask("/v1/cases")[1]["cases"]
    campaign = cases[0]["case"]
    convicted = key_id(f"{p['bearer']}-{t.refused()[0]}")
    people.act("deny", key=key_id(p["header"]))
    people.act("release", case=campaign)
    time.sleep(2)
    places = {"replies": b"\n".join(replies)}
    for path in ("/stats", "/stats/prometheus"):
        places["envoy " + path] = e.get(path).encode()
    for path in ("/", "/metrics", "/v1/status", "/v1/nodes", "/v1/cases", f"/v1/cases/{campaign}", f"/v1/keys/{convicted}", "/v1/exceptions",
                 "/v1/lists.json", "/v1/nothing"):
        places["hub " + path] = fetch(people.port, path, ACT)
    for path in ("/metrics", "/v1/status"):
        places["hub's listener for proxies " + path] = fetch(hub.port, path, TOKEN)
    places.update({f"state while it runs: {name}": text for name, text in files(hub.state).items()})
    journals = [n for n in places if "journal" in n or "segment" in n]
    log = e.log_path
    with open(log, "rb") as f:
        places["envoy.log"] = f.read()
    with open(e.access_log, "rb") as f:
        places["access.log"] = f.read()
    state, file = hub.state, hub.config
    hub.process.terminate()
    assert hub.process.wait(20) == 0
    places.update({f"state after the end: {name}": text for name, text in files(state).items()})
    for kind in ("html", "markdown", "json"):
        out = tmp_path / f"report.{kind}"
        said = run("report", log, "--state", state, "--config", file, "--format", kind, "--out", out, status=(0, 3))
        places[f"report, {kind}"] = out.read_bytes() + said
    audit = os.path.join(state, "audit.jsonl")
    places["dossier"] = run("report", log, "--incident", campaign, "--audit", audit, "--out", "-", "--format", "markdown", status=(0, 3))
    places["audit verify"] = run("audit", "verify", audit, status=(0, 4))
    for key in [convicted] + [key_id(p[name]) for name in ("header", "denied", "throttled", "cookie")]:
        places[f"explain {key}"] = run("explain", key, log, "--config", file, status=(0, 3)) + run("explain", "--json", key, log, status=(0, 3))
    places["events"] = b"".join(told)
    with open(state + ".log", "rb") as f:
        places["hub.log"] = f.read() or b"(empty)"

    # What was planted has arrived, and what is searched is what it should be.
    arrived = b"\n".join(head.encode() + body for head, body in upstream.requests) + log_of_edge.encode()
    assert b"line_skipped" in places["hub.log"]
    here = {name for name, form in found(p, arrived)}
    missing = set(p) - here - {"denied", "denied text", "no json", "message", "crowd", "forged"}
    assert not missing and len(p) >= 45, (missing, len(p))
    text = places["envoy.log"].decode(errors="replace")
    for sign in ('"action":"block"', '"action":"throttle"', '"reason":"deny_list"', '"reason":"ambiguous"', "[trace][wasm]"):
        assert sign in text, sign
    assert convicted.encode() in places["state after the end: audit.jsonl"] + places["hub /v1/cases"] + places[f"explain {convicted}"]
    assert journals and any("checkpoint" in name for name in places), sorted(places)
    # Of the secrets of the operator, too.
    none_of({**p, "seed": SEED, "token": TOKEN, "token to read": READ, "token to act": ACT}, {k: v for k, v in places.items() if v})


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_nothing_that_a_client_sends_is_readable_in_a_store(start, upstream, kind, monkeypatch, tmp_path):
    """What hubs keep in Valkey or Redis: its keys as clients read them, journal and checkpoint among them, and its file."""
    monkeypatch.setenv("WEIR_HUB_READ_TOKEN", READ)
    monkeypatch.setenv("WEIR_HUB_ACT_TOKEN", ACT)
    p, store, port = Plants(), Store(kind), free_port()
    hub = Hub(settings(p), store=store.url, args=["--checkpoint-s", "1", "--admin", f"127.0.0.1:{port}", "--audit", str(tmp_path / "audit.jsonl")])
    try:
        e = start(settings(p), workers=2, edit=reached(hub.port))
        Planted.plants = p
        t = Planted(e.port, accounts=80, honest=20, hours=40, scale=SCALE)
        for path, headers, body in others(p):
            post(e.port, path=path, headers=headers, body=body)
        t.until(lambda: len(t.refused()) >= 60 and hub.status()["convicted"] >= 50, hours=12)
        settle(e)
        until(lambda: hub.status()["convicted"] >= 50)
        People(port).act("deny", key=key_id(p["header"]))
        until(lambda: any(":page:" in key for key in store.contents()))
        places = {f"{kind} {key}": text for key, text in store.contents().items()}
        places.update({f"{kind}'s file {name}": text for name, text in files(store.dir).items()})
        kinds = {"page" if ":page:" in key else key.rsplit(":", 1)[1] for key in store.contents()}
        hub.process.terminate()
        assert hub.process.wait(20) == 0
        places.update({f"{kind} after the end: {key}": text for key, text in store.contents().items()})
        with open(hub.state + ".log", "rb") as f:
            places["hub.log"] = f.read() or b"(empty)"
    finally:
        hub.stop()
        store.stop()
    assert {"meta", "journal", "page"} <= kinds, kinds
    assert {name for name, _ in found(p, b"\n".join(head.encode() + body for head, body in upstream.requests))} >= {"bearer", "prompt", "cookie", "query"}
    none_of({**p, "seed": SEED, "token": TOKEN, "token to read": READ, "token to act": ACT}, {k: v for k, v in places.items() if v})


# ---- the commands

def planted(value, p, place):
    """A record with planted strings in all texts of several words and in all credentials."""
    if isinstance(value, dict):
        return {k: planted(v, p, k) for k, v in value.items()}
    if isinstance(value, list):
        if len(value) == 2 and all(isinstance(v, str) for v in value):
            return [value[0], planted(value[1], p, value[0])]
        return [planted(v, p, place) for v in value]
    if not isinstance(value, str) or place in ("label", "t", "user-agent", "content-type", "x-account-created", "x-forwarded-for"):
        return value
    if place.lower() in ("authorization", "x-api-key", "cookie", "api_key", "user_api_key_hash", "key", "token"):
        return f"{value}{p['credential ' + place]}"
    return f"{value} {p['text ' + place]}" if value.count(" ") >= 2 else value


def of_a_partner(config, seed, key, signed, trace, tmp_path):
    """The indicators as they are sent, what is packed in them, and what a partner's commands make of them."""
    public, entries = tmp_path / "key.pub", tmp_path / "entries.json"
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True, capture_output=True)
    text = signed.read_bytes()
    payload = json.loads(text)["payload"]
    out = {"indicators.json": text, "indicators.json, unpacked": base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))}
    assert json.loads(out["indicators.json, unpacked"])["indicators"], "the campaign of the trace is told"
    out["indicators verify"] = run("indicators", "verify", "--partner-key", public, signed)
    out["indicators import"] = run("indicators", "import", "--config", config, "--exchange-seed-file", seed, "--partner-key", public, "--indicators", signed,
                                   "--entries", entries, trace, status=(0, 3))
    out["entries of indicators"] = entries.read_bytes() if entries.exists() else b""
    return {name: text for name, text in out.items() if text}


def test_nothing_of_a_trace_is_readable_in_what_commands_write(tmp_path):
    p, trace, config = Plants(), tmp_path / "trace.jsonl", os.path.join(ROOT, "envoy", "replay.json")
    run("demo", "--write-trace", trace)
    with open(trace) as f:
        lines = f.readlines()
    with open(trace, "w") as f:
        for i, line in enumerate(lines):
            record = planted(json.loads(line), p, "")
            record["path"] += f"?key={p['query']}-{i % 7}&note={p['note']}" if i % 50 == 0 else ""
            record["headers"].append(["cookie", f"sid={p['cookie']}"])
            record["body"]["tools"] = [{"type": "function", "function": {"name": "f", "description": f"a tool that is made for {p['tool']} and others"}}]
            f.write(json.dumps(record) + "\n")
            if i % 1_000 == 0:
                # What is no record, in the ways in which lines go wrong.
                f.write(f'{{"t": 1, "path": "{p["torn"]}\n')
                f.write(json.dumps({**record, "t": p["no time"]}) + "\n")
                f.write(json.dumps({**record, "headers": p["no headers"], "body": p["no body"]}) + "\n")
                f.write(p["no json"] + "\n")
                f.write(json.dumps({"path": [p["no path"]], p["unknown"]: p["unknown"]}) + "\n")
    out = {name: tmp_path / name for name in ("records.jsonl", "decisions.jsonl", "state", "report.html", "report.md")}
    places = {}
    places["replay"] = run("replay", "--config", config, "--records", out["records.jsonl"], "--decisions", out["decisions.jsonl"],
                           "--write-state", out["state"], trace, status=(0, 3))
    places["replay, json"] = run("replay", "--config", config, "--read-state", out["state"], "--json", trace, status=(0, 3))
    places["replay, tune"] = run("replay", "--config", config, "--tune", trace, status=(0, 3))
    records = out["records.jsonl"].read_text()
    block = next(line for line in records.splitlines() if '"action":"block"' in line)
    kid, case = re.search(r"kid:[0-9a-f]{16}", block).group(), json.loads(block[block.index("{"):])
    places["explain"] = run("explain", kid, out["records.jsonl"], "--config", config)
    places["report, html"] = run("report", out["records.jsonl"], out["decisions.jsonl"], "--state", out["state"], "--config", config,
                                 "--out", out["report.html"])
    places["report, markdown"] = run("report", out["records.jsonl"], out["decisions.jsonl"], "--out", out["report.md"], "--format", "markdown")
    places["report, json"] = run("report", out["records.jsonl"], "--json")
    campaign = case.get("campaign") or case.get("case")
    places["dossier"] = run("report", out["records.jsonl"], "--incident", campaign, "--out", "-", "--format", "markdown", status=(0, 3))
    key, seed = tmp_path / "key.pem", tmp_path / "exchange"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    seed.write_text("5e" * 32)
    signed = tmp_path / "indicators.json"
    places["indicators"] = run("indicators", "export", "--config", config, "--exchange-seed-file", seed, "--key-file", key, "--issuer", "us",
                               "--out", signed, trace, status=(0, 3))
    if signed.exists():
        places.update(of_a_partner(config, seed, key, signed, trace, tmp_path))
    places.update({name: path.read_bytes() for name, path in out.items()})
    with open(trace) as f:
        assert {name for name, form in found(p, f.read())} == set(p)
    assert '"action":"block"' in records and len(p) >= 12, len(p)
    none_of(p, places)


def test_nothing_of_a_gateways_log_is_readable_in_what_a_replay_says(tmp_path):
    p, places = Plants(), {}
    for sample in sorted(glob.glob(os.path.join(ROOT, "tests", "replay", "formats", "*"))):
        name = os.path.basename(sample)
        with open(sample) as f:
            text = f.read()
        try:
            changed = "".join(json.dumps(planted(json.loads(line), p, "")) + "\n" for line in text.splitlines() if line.strip())
        except ValueError:
            changed = text.replace('"content": "', f'"content": "{p["in " + name]} ').replace("Bearer ", f"Bearer {p['key in ' + name]}")
        # Whole records, torn ones, and others that hold something of another type.
        half = "".join(line[:len(line) // 2] + p["torn " + name] + "\n" for line in changed.splitlines())
        wrong = re.sub(r"\d{9,}", f'"{p["number " + name]}"', changed)
        log, records, state = (tmp_path / f"{kind}-{name}" for kind in ("log", "records", "state"))
        log.write_text(changed + half + wrong)
        for args in ([], ["--tune"], ["--key", "user"]):
            said = run("replay", "--records", records, "--write-state", state, "--decisions", tmp_path / "d", *args, log, status=(0, 1, 2, 3))
            places[f"{name} {' '.join(args)}"] = said + b"".join(f.read_bytes() for f in (records, state, tmp_path / "d") if f.exists())
    assert len(places) >= 60 and len(p) >= 50, (len(places), len(p))
    none_of(p, places)
