"""Planted strings, requests that hold them in every place where a client may put a secret or a text, and a search for them: as they are, in
base64 and hex, and as their plain SHA-256."""
import base64
import hashlib
import json
import os
import random
import re
import struct

from harness import jwt

SIGNED = "AWS4-HMAC-SHA256 Credential={}/20261129/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature={}"
# Letters in a row by which a planted string is known in memory: what is overwritten at its start, or cut, is found, too.
LETTERS = 8
# Settings under which each of the places of `others` is read.
EVERYWHERE = {
    "identity": {"sources": [{"jwt": "sub"}, {"bearer": True}, {"header": "x-api-key"}, {"query": "key"}, {"cookie": "sid"}, {"basic": True}, {"sigv4": True}],
                 "learn": "0s", "age": {"header": "x-created"}, "tenant": {"header": "x-tenant"}},
    "log": {"decisions": "all"}, "inspect": {"hold_headers": True}}


class Plants(dict):
    """Names of places and what is planted there: words of 18 letters, which a fingerprint reads like any other."""

    def __missing__(self, place):
        rng = random.Random(f"plant {place}")
        self[place] = "zq" + "".join(rng.choice("bcdfghjklmnpqrstvwxz") for _ in range(16))
        return self[place]


def forms(secret):
    """Bytes by which a secret would be readable or known: the name of the form, and what of it holds whatever stands around it."""
    b = secret.encode()
    out = {"plain": b, "hex": b.hex().encode(), "sha256": hashlib.sha256(b).hexdigest().encode()}
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + b)
        whole = len(b) + shift
        out[f"base64+{shift}"] = coded[[0, 2, 3][shift]:whole * 8 // 6]
    return out


def found(secrets, text):
    """(place, form) of each secret that stands in a text."""
    text = text if isinstance(text, bytes) else text.encode()
    lower = text.lower()
    return {(place, form) for place, secret in secrets.items() for form, b in forms(secret).items()
            if b in text or (not form.startswith("base64") and b.lower() in lower)}


def left(secrets, text):
    """(place, where) of each planted string of which any eight letters in a row stand in memory, and those in another form."""
    parts = {s[i:i + LETTERS].encode(): name for name, s in secrets.items() for i in range(len(s) - LETTERS + 1)}
    out = set()
    # Most is zero and passed over. In UTF-16 every other byte is a letter.
    for begin, part in spans(text):
        out |= found(secrets, part)
        for plain in (part, part[::2], part[1::2]):
            for run in re.finditer(rb"[a-z]{%d,}" % LETTERS, plain.lower()):
                letters = run.group()
                out |= {(parts[letters[i:i + LETTERS]], hex(begin)) for i in range(len(letters) - LETTERS + 1) if letters[i:i + LETTERS] in parts}
    return out


def spans(text):
    """(address, bytes) of what stands between long runs of zeros."""
    at = 0
    for zeros in re.finditer(rb"\0{256,}", text):
        if zeros.start() > at:
            yield at, text[at:zeros.start()]
        at = zeros.end()
    yield at, text[at:]


def frame(payload):
    mask, n = os.urandom(4), len(payload)
    head = bytes([0x81, 0x80 | 126]) + struct.pack(">H", n)
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def others(p):
    """Requests with a secret or a text in each other place: path, headers, body."""
    words = lambda place: f"four words and {p[place]} are here, and a few more of them"
    user = lambda text, **more: {"model": p["model"], "messages": [{"role": "user", "content": text}], **more}
    basic = base64.b64encode(f"{p['basic user']}:{p['basic password']}".encode()).decode()
    tool = {"type": "function", "function": {
        "name": p["tool name"], "description": words("tool description"), "parameters": {"type": "object", "properties": {
            p["schema key"]: {"type": "string", "description": words("schema")}}}}}
    call = {"role": "assistant", "content": words("answer"), "tool_calls": [{"id": "1", "type": "function", "function": {
        "name": "f", "arguments": json.dumps({"q": words("tool argument")})}}]}
    talk = [{"role": "user", "content": words("first")}, call, {"role": "tool", "tool_call_id": "1", "content": words("tool answer")},
            {"role": "user", "content": words("last")}]
    file = base64.b64encode(words("file").encode() * 3).decode()
    parts = [{"type": "text", "text": words("part")}, {"type": "image_url", "image_url": {"url": f"https://example.com/{p['picture']}"}},
             {"type": "file", "file": {"filename": p["file name"], "file_data": f"data:text/plain;base64,{file}"}}]
    line = json.dumps({"custom_id": p["custom id"], "method": "POST", "url": "/v1/chat/completions", "body": user(words("batch"))})
    claims = jwt(sub=p["claim"], email=p["other claim"])
    chat_path, header = "/v1/chat/completions", [("x-api-key", p["header"])]
    yield chat_path, header, user(words("text"))
    yield f"{chat_path}?key={p['query']}&note={p['other query']}", [], user(words("text"))
    yield f"/{p['segment']}{chat_path}", header, user(words("text"))
    yield f"/{p['unknown path']}/{p['query']}", header, user(words("text"))
    yield chat_path, [("cookie", f"a={p['other cookie']}; sid={p['cookie']}")], user(words("text"))
    yield chat_path, [("authorization", f"Basic {basic}")], user(words("text"))
    yield chat_path, [("authorization", SIGNED.format(p["sigv4 id"], p["sigv4 signature"]))], user(words("text"))
    yield chat_path, [("authorization", f"Bearer {claims}")], user(words("text"))
    yield chat_path, header + [("authorization", f"Bearer {p['second']}"), ("x-other", p["other header"])], user(words("text"))
    yield chat_path, header, {"model": "m", "messages": talk, "tools": [tool], "user": p["end user"], "metadata": {"id": p["metadata"]}}
    yield chat_path, header, {"model": "m", "messages": [{"role": "user", "content": parts}], "stop": [p["stop"]]}
    yield "/v1/embeddings", header, {"model": "m", "input": [words("input")]}
    yield "/v1/files", header, line.encode()
    # What cannot be read, or is refused.
    yield chat_path, header, f'{{"messages": "{p["malformed"]}'.encode()
    yield chat_path, header, json.dumps(user(words("text"))).encode() + p["trailing"].encode()
    yield chat_path, header, f'{{"{p["malformed key"]}": NaN, "messages": {{"role": 1}}}}'.encode()
    yield f"/strict{chat_path}", header, p["no json"].encode() * 9
    yield chat_path, [("x-api-key", p["denied"])], user(words("text"))
    yield chat_path, header, user(p["denied text"] + " and five more words stand in here beside it")
    yield chat_path, [("x-api-key", f"{p['crowd']}{i}") for i in range(140)], user(words("text"))
    yield chat_path, header + [("x-created", p["age"]), ("x-forwarded-for", p["address"]), ("x-weir-verdict", p["forged"])], user(words("text"))
