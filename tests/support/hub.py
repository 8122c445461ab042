"""A real `weir hub` on loopback, and what Envoy needs to reach it."""
import json
import os
import shutil
import signal
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


class Hub:
    """Started on a directory of its own, or on `state`."""

    def __init__(self, config, state=None, port=None, args=()):
        self.own = state is None
        self.state = state or tempfile.mkdtemp(prefix="weir-hub-")
        self.port, self.args = port or free_port(), list(args)
        self.config = os.path.join(self.state, "..", os.path.basename(self.state) + ".json")
        with open(self.config, "w") as h:
            json.dump(config, h)
        self.start()

    def start(self):
        self.log = open(self.state + ".log", "ab")
        self.process = subprocess.Popen(
            [WEIR, "hub", "--config", self.config, "--state", self.state, "--listen", f"127.0.0.1:{self.port}"] + self.args,
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
