"""A real Envoy with the shipped configuration, and an upstream that keeps what reaches it.

As a program: `harness.py OUT.yaml` writes envoy/envoy.yaml with working values, to run by hand.
"""
import base64
import hashlib
import hmac
import json
import os
import random
import re
import shutil
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TEMPLATE = os.path.join(ROOT, "envoy", "envoy.yaml")
WASM = os.environ.get("WEIR_WASM", os.path.join(ROOT, "target", "weir.wasm"))
ENVOY = os.environ.get("ENVOY_BIN", os.path.join(ROOT, "target", "venv", "envoy"))
SEED = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
# The key of the tests' tokens: "a secret of at least 32 bytes, for HS256".
JWT_KEY = b"a secret of at least 32 bytes, for HS256"
JWKS = json.dumps({"keys": [{"kty": "oct", "alg": "HS256", "k": base64.urlsafe_b64encode(JWT_KEY).decode().rstrip("=")}]})


GIVEN = set()


def free_port():
    """Below the ports that the system gives to clients, from a range of this test process alone, and never the same one twice: Envoy
    takes it only half a second later."""
    slot = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
    while True:
        port = random.randint(10_000 + slot * 2_750, 10_000 + (slot + 1) * 2_750 - 1)
        with socket.socket() as s:
            if port not in GIVEN and s.connect_ex(("127.0.0.1", port)) != 0:
                GIVEN.add(port)
                return port


def render(values, template=TEMPLATE):
    with open(template) as h:
        text = h.read()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    return text


def bare(text):
    """An edit: without the decompressors in front of Weir."""
    return re.sub(r"(?m)^( *)- name: decompress-\w+\n(?:\1  .*\n)*", "", text)


class Upstream:
    """Answers every whole request with `answer(path, body) -> (status, content_type, body)`; keeps what it saw."""

    def __init__(self, answer=None):
        self.requests = []  # (head text, body bytes), whole requests only
        self.partial = []  # bytes of bodies that broke off
        self.trailers = []  # lines
        self.answer = answer or (lambda path, body: (200, "application/json", b'{"ok":true}'))
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                while outer.one(self.rfile, self.wfile):
                    pass

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            # Connections that wait to be taken: five, as is usual, are too few for a burst on a busy machine.
            request_queue_size = 256

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def one(self, rfile, wfile):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = rfile.readline()
            if not line:
                return False
            head += line
        text = head.decode("latin-1")
        if re.search(r"(?im)^upgrade:", text):
            self.requests.append((text, b""))
            wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
            return False
        body, whole = self.read_body(text, rfile)
        if not whole:
            self.partial.append(body)
            return False
        self.requests.append((text, body))
        status, kind, answer = self.answer(text.split()[1], body)
        wfile.write(f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(answer)}\r\n\r\n".encode() + answer)
        wfile.flush()
        return True

    def read_body(self, head, rfile):
        length = re.search(r"(?im)^content-length:\s*(\d+)", head)
        if length:
            body = rfile.read(int(length.group(1)))
            return body, len(body) == int(length.group(1))
        if not re.search(r"(?im)^transfer-encoding:.*chunked", head):
            return b"", True
        body = b""
        while True:
            line = rfile.readline()
            if not line:
                return body, False
            n = int(line.strip() or b"0", 16)
            if n == 0:
                while (trailer := rfile.readline().strip()):
                    self.trailers.append(trailer.decode("latin-1"))
                return body, True
            body += rfile.read(n)
            rfile.readline()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def end(process, seconds=10):
    """Asks a process to end, and makes it."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Envoy:
    """`lds=True`: the listener comes from a file, and `push` replaces it while it runs."""

    def __init__(self, config, upstream_port, buffer_limit=1048576, allow_hold=True, edit=None, expect_failure=False, workers=1,
                 lds=False, wasm=WASM, envoy=ENVOY, drain_s=None, template=TEMPLATE, args=()):
        self.dir = tempfile.mkdtemp(prefix="weir-test-")
        self.lds = os.path.join(self.dir, "lds.yaml") if lds else None
        self.edit, self.template = edit, template
        self.port, self.admin = free_port(), free_port()
        self.access_log = os.path.join(self.dir, "access.log")
        self.values = {
            "PORT": self.port, "ADMIN_PORT": self.admin, "UPSTREAM_PORT": upstream_port, "BUFFER_LIMIT": buffer_limit,
            "ACCESS_LOG": self.access_log, "ALLOW_HOLD": str(allow_hold).lower(), "SEED": SEED, "JWKS": JWKS,
            "LDS": os.path.join(self.dir, "listeners.yaml"), "ECDS": os.path.join(self.dir, "weir.yaml"),
        }
        # What an example keeps in a file of its own.
        for key, name in (("LDS", "listeners.yaml"), ("ECDS", "ecds-weir.yaml")):
            beside = os.path.join(os.path.dirname(template), name)
            if os.path.exists(beside):
                self.write(key, self.render(config, wasm, beside))
        path = os.path.join(self.dir, "envoy.yaml")
        yaml = self.render(config, wasm)
        if lds:
            yaml = self.split(yaml)
        with open(path, "w") as h:
            h.write(yaml)
        self.log_path = os.path.join(self.dir, "envoy.log")
        self.process = subprocess.Popen(
            [envoy, "-c", path, "--concurrency", str(workers), "--disable-hot-restart", "-l", "info", "--log-path", self.log_path,
             "--file-flush-interval-msec", "50"] + (["--drain-time-s", str(drain_s)] if drain_s else []) + list(args),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.started = self.wait_ready(expect_failure)
        except RuntimeError:
            self.stop()
            raise

    def write(self, key, yaml):
        """Replaces a watched file at once."""
        with open(self.values[key] + ".new", "w") as h:
            h.write(yaml)
        os.replace(self.values[key] + ".new", self.values[key])

    def render(self, config, wasm=WASM, template=None):
        text = config if isinstance(config, str) else json.dumps(config)
        yaml = render({**self.values, "WEIR_CONFIG": text.replace("'", "''"), "WEIR_WASM": os.path.abspath(wasm)}, template or self.template)
        return self.edit(yaml) if self.edit else yaml

    def split(self, yaml):
        """Moves the listeners into the file that Envoy watches; the rest."""
        start, end = yaml.index("  listeners:\n"), yaml.index("  clusters:\n")
        listeners = yaml[start:end].split("\n", 1)[1]
        listeners = listeners.replace("  - name: inference\n", '  - "@type": type.googleapis.com/envoy.config.listener.v3.Listener\n    name: inference\n', 1)
        with open(self.lds + ".new", "w") as h:
            h.write("resources:\n" + listeners)
        os.replace(self.lds + ".new", self.lds)
        source = f"dynamic_resources: {{lds_config: {{path_config_source: {{path: {self.lds}}}}}}}\nnode: {{id: test, cluster: test}}\n"
        return yaml[:start] + yaml[end:] + source

    def push(self, config, wasm=WASM, seconds=20):
        """Replaces the listener by one with this configuration (and module), and waits until it serves."""
        before = self.stat("listener_manager.listener_modified"), self.stat("listener_manager.lds.update_rejected")
        self.split(self.render(config, wasm))
        end = time.time() + seconds
        while time.time() < end:
            if self.stat("listener_manager.listener_modified") > before[0] and self.stat("listener_manager.total_listeners_warming") == 0:
                return
            assert self.stat("listener_manager.lds.update_rejected") == before[1], self.log()[-2000:]
            time.sleep(0.05)
        raise AssertionError("the listener was not replaced:\n" + self.log()[-2000:])

    def workers_used(self):
        """Connections that each worker has had."""
        found = {}
        for k, v in self.stats(".worker_").items():
            m = re.search(r"^listener\..*\.worker_(\d+)\.downstream_cx_total$", k)
            if m and "admin" not in k:
                found[int(m.group(1))] = v
        return found

    def wait_stat(self, check, *parts, seconds=10):
        """Waits until `check(sum of the stats whose name holds all parts)`; the sum."""
        end = time.time() + seconds
        while not check(self.stat(*parts)) and time.time() < end:
            time.sleep(0.05)
        value = self.stat(*parts)
        assert check(value), f"{parts} is {value}"
        return value

    def wait_named(self, part, seconds=10):
        """Waits until there is a stat of this name: a gauge exists once it was first set, and 0 is a value."""
        end = time.time() + seconds
        while not self.stats(part):
            assert time.time() < end, f"there is no {part}"
            time.sleep(0.05)

    def wait_ready(self, expect_failure):
        end = time.time() + 30
        while time.time() < end:
            if self.process.poll() is not None:
                if expect_failure:
                    return False
                raise RuntimeError("Envoy exited:\n" + self.log()[-3000:])
            try:
                if self.get("/ready") == "LIVE\n":
                    return True
            except OSError:
                pass
            time.sleep(0.02)
        raise RuntimeError("Envoy not ready:\n" + self.log()[-3000:])

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=30) as r:
            return r.read().decode()

    def stats(self, prefix=""):
        out = {}
        for line in self.get("/stats").splitlines():
            name, _, value = line.rpartition(": ")
            if prefix in name and value.strip().lstrip("-").isdigit():
                out[name] = int(value)
        return out

    def stat(self, *parts):
        """Sum of the counters whose name holds all parts."""
        return sum(v for k, v in self.stats().items() if all(p in k for p in parts))

    def log(self):
        try:
            with open(self.log_path, errors="replace") as h:
                return h.read()
        except OSError:
            return ""

    def wait_log(self, text, seconds=5):
        end = time.time() + seconds
        while text not in self.log() and time.time() < end:
            time.sleep(0.05)
        assert text in self.log(), f"{text!r} is not in the log"

    def access(self):
        with open(self.access_log, errors="replace") as h:
            return h.read()

    def stop(self):
        if self.process.poll() is None:
            end(self.process, 5)
        shutil.rmtree(self.dir, ignore_errors=True)


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


def read_reply(sock):
    """One HTTP/1.1 answer; headers in lower case."""
    f = sock.makefile("rb")
    while True:
        first = f.readline()
        if not first:
            return Reply(0, {}, b"")
        status, headers = int(first.split()[1]), {}
        while True:
            line = f.readline().strip()
            if not line:
                break
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        if status != 100:
            break
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while True:
            n = int(f.readline().strip() or b"0", 16)
            body += f.read(n)
            f.readline()
            if n == 0:
                break
    elif status == 101:
        body = b""
    else:
        body = f.read(int(headers.get("content-length", 0)))
    return Reply(status, headers, body)


def raw(port, data, pieces=None, timeout=10, peer=None):
    """Sends bytes (then more, with pauses) and reads one answer. `peer`: the client's own address."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout, source_address=(peer, 0) if peer else None) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(data)
        for piece in pieces or ():
            time.sleep(0.02)
            try:
                s.sendall(piece)
            except OSError:
                break
        return read_reply(s)


def request(path="/v1/chat/completions", body=None, headers=(), method="POST"):
    """The bytes of a request over HTTP/1.1. `headers`: pairs of str or bytes, duplicates kept."""
    data = body if isinstance(body, bytes) else json.dumps(body if body is not None else chat("a question of four words")).encode()
    b = lambda x: x if isinstance(x, bytes) else x.encode("latin-1")
    lines = [b(f"{method} {path} HTTP/1.1"), b"host: api.example.com"]
    names = [b(k).lower() for k, _ in headers]
    if b"content-type" not in names:
        lines.append(b"content-type: application/json")
    if b"content-length" not in names and method == "POST":
        lines.append(b(f"content-length: {len(data)}"))
    lines += [b(k) + b": " + b(v) for k, v in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + (data if method == "POST" else b"")


def post(port, path="/v1/chat/completions", body=None, headers=(), method="POST", peer=None):
    """A request on a connection of its own."""
    return raw(port, request(path, body, headers, method), peer=peer)


class Connection:
    """A connection that stays open: all its requests meet one worker."""

    def __init__(self, port, timeout=10):
        self.port, self.timeout, self.sock = port, timeout, None

    # What counts as no answer.
    lost = (OSError,)

    def ask(self, data):
        """The answer; status 0 if there was none. One that the proxy has closed meanwhile is opened once more."""
        for _ in range(2):
            try:
                if self.sock is None:
                    self.sock = socket.create_connection(("127.0.0.1", self.port), timeout=self.timeout)
                    self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.sock.sendall(data)
                reply = read_reply(self.sock)
            except self.lost:
                reply = Reply(0, {}, b"")
            if not reply.status or reply.headers.get("connection") == "close":
                self.close()
            if reply.status:
                break
        return reply

    def post(self, **kw):
        """Status of the answer to a request."""
        return self.ask(request(**kw)).status

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock = None


class Begun:
    """A request of which this share of the body is sent; `end` sends the rest and returns the status, 0 if there was none."""

    def __init__(self, port, body, share):
        head, data = request(body=body).split(b"\r\n\r\n", 1)
        sent = int(len(data) * share)
        self.rest = data[sent:]
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.sock.sendall(head + b"\r\n\r\n" + data[:sent])

    def end(self):
        with self.sock:
            try:
                self.sock.sendall(self.rest)
                return read_reply(self.sock).status
            except OSError:
                return 0


def chat(text, size=0):
    return {"model": "m", "messages": [{"role": "user", "content": text + " pad" * (size // 4)}]}


# ---- identities, as the engine computes them (engine/hash.rs, edge/identity.rs): a second, independent implementation

def _rotl(x, b):
    return ((x << b) | (x >> (64 - b))) & (2**64 - 1)


def sip13(k0, k1, data):
    m64 = 2**64 - 1
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rnd():
        v[0] = (v[0] + v[1]) & m64
        v[1] = _rotl(v[1], 13) ^ v[0]
        v[0] = _rotl(v[0], 32)
        v[2] = (v[2] + v[3]) & m64
        v[3] = _rotl(v[3], 16) ^ v[2]
        v[0] = (v[0] + v[3]) & m64
        v[3] = _rotl(v[3], 21) ^ v[0]
        v[2] = (v[2] + v[1]) & m64
        v[1] = _rotl(v[1], 17) ^ v[2]
        v[2] = _rotl(v[2], 32)

    n = len(data) // 8 * 8
    words = [struct.unpack("<Q", data[i:i + 8])[0] for i in range(0, n, 8)]
    words.append(int.from_bytes(data[n:], "little") | (len(data) & 255) << 56)
    for m in words:
        v[3] ^= m
        rnd()
        v[0] ^= m
    v[2] ^= 0xFF
    for _ in range(3):
        rnd()
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def key_id(value, kind=0, name="", seed=SEED):
    """`kid:…`: kind 0 = a secret, wherever it stands; 1 = a header that holds a name, 4 = property, 5 = address, 6 = claim."""
    s = bytes.fromhex(seed)
    base = struct.unpack("<QQ", s[:16])
    keys = [sip13(*base, s + bytes([1, i])) for i in (0, 1)]
    data = value if isinstance(value, bytes) else value.encode()
    if kind:
        keys[1] ^= 0x6E616D656E616D65
        data = bytes([kind]) + name.encode() + b"\0" + data
    return f"kid:{max(1, sip13(*keys, data)):016x}"


def jwt(key=JWT_KEY, **claims):
    """A token of issuer `accounts`, signed with HS256."""
    part = lambda data: base64.urlsafe_b64encode(data).decode().rstrip("=")
    text = part(b'{"alg":"HS256","typ":"JWT"}') + "." + part(json.dumps({"iss": "accounts", **claims}).encode())
    return text + "." + part(hmac.new(key, text.encode(), hashlib.sha256).digest())


def template_ids(text, seed=SEED):
    """`tid:…` of an ASCII text below 3,072 bytes without numbers: its sampled four-word shingles (engine/fingerprint), again
    implemented apart."""
    m64, p = 2**64 - 1, 0x9E3779B97F4A7C15
    s = bytes.fromhex(seed)
    key = sip13(*struct.unpack("<QQ", s[:16]), s + bytes([3, 0]))
    words = []
    for word in re.findall(r"[a-z0-9]+", text.lower()):
        h = key
        for at in range(0, len(word), 8):
            h = ((h ^ int.from_bytes(word[at:at + 8].encode(), "little")) * p) & m64
            h ^= h >> 32
        words.append((h * p) & m64)
    values = set()
    for four in zip(words, words[1:], words[2:], words[3:]):
        rolled = 0
        for w in four:
            rolled = (rolled * p + w) & m64
        z = rolled ^ key
        h = ((z ^ (z >> 32)) * 0xD6E8FEB86659FD93) & m64
        h ^= h >> 29
        if h < m64 // 4:
            values.add(h)
    return [f"tid:{v:016x}" for v in sorted(values)]


def config(**over):
    """Enforce mode with the tests' seed; the key `bad` is denied."""
    out = {"version": 1, "policy": "test", "mode": "enforce", "seed": SEED,
           "deny": [{"name": "bad", "key": key_id("bad")}], "profiles": {"strict": {"inspect": {"on_unreadable": "reject"}}}}
    out.update(over)
    return out


BAD = [("x-api-key", "bad")]
GOOD = [("x-api-key", "good")]


def main():
    """`harness.py OUT.yaml [EXAMPLE]`: an example of envoy/ (by default envoy.yaml) with working values, and the files it needs beside it."""
    out = sys.argv[1]
    config = "{}"
    if os.environ.get("CONFIG"):
        try:
            with open(os.environ["CONFIG"]) as h:
                config = json.dumps(json.load(h)).replace("'", "''")
        except (OSError, ValueError) as e:
            sys.exit(f"harness: {os.environ['CONFIG']}: {e}")
    example = os.path.join(ROOT, "envoy", (sys.argv[2] if len(sys.argv) > 2 and sys.argv[2] else "envoy") + ".yaml")
    if not os.path.exists(example):
        sys.exit(f"harness: there is no {example}")
    beside = os.path.dirname(os.path.abspath(out))
    values = {"PORT": 10000, "ADMIN_PORT": 9901, "UPSTREAM_PORT": 8000, "BUFFER_LIMIT": 1048576, "ACCESS_LOG": "/dev/stdout", "ALLOW_HOLD": "true",
              "WEIR_CONFIG": config, "WEIR_WASM": os.path.abspath(WASM), "SEED": os.urandom(32).hex(), "JWKS": JWKS,
              "LDS": os.path.join(beside, "listeners.yaml"), "ECDS": os.path.join(beside, "ecds-weir.yaml")}
    for key in ("LDS", "ECDS"):
        part = os.path.join(os.path.dirname(example), os.path.basename(values[key]))
        if os.path.exists(part):
            with open(values[key], "w") as h:
                h.write(render(values, part))
    with open(out, "w") as h:
        h.write(render(values, example))
    print(f"wrote {sys.argv[1]}: listens on {values['PORT']}, admin on {values['ADMIN_PORT']}, upstream 127.0.0.1:{values['UPSTREAM_PORT']}")
    print(f"run: {os.path.relpath(ENVOY)} -c {sys.argv[1]} --concurrency 2")


def second_filter(conf):
    """Adds another instance in the same VM."""
    def edit(yaml):
        start, end = yaml.index("          - name: weir\n"), yaml.index("          - name: envoy.filters.http.router")
        block = yaml[start:end]
        at = block.index("value: '") + 7
        other = block[:at] + "'" + json.dumps(conf) + "'" + block[block.index("\n", at):]
        return yaml[:end] + other.replace("name: weir\n", "name: weir-b\n", 1) + yaml[end:]
    return edit


if __name__ == "__main__":
    main()
