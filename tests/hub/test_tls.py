"""TLS of the hub's listeners, on real files, and with a real Envoy's own TLS on the other side."""
import datetime
import http.client
import os
import signal
import ssl
import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from harness import free_port, post
from hub import TOKEN, WEIR, Hub, reached
from traffic import learned, settle

DAY = datetime.timedelta(days=1)


class Authority:
    """Signs certificates for 127.0.0.1."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.cert = self.sign(name, self.key.public_key(), ca=True)
        self.file = self.write(f"{name}.pem", self.cert.public_bytes(serialization.Encoding.PEM))

    def write(self, name, data):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as h:
            h.write(data)
        return path

    def sign(self, name, public, ca=False, begin=-DAY, end=DAY):
        now = datetime.datetime.now(datetime.timezone.utc)
        named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = named if ca else self.cert.subject
        builder = (x509.CertificateBuilder().subject_name(named).issuer_name(issuer).public_key(public)
                   .serial_number(x509.random_serial_number()).not_valid_before(now + begin).not_valid_after(now + end)
                   .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
        if not ca:
            import ipaddress
            names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName(name), x509.DNSName("hub")]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, name, **when):
        """Files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        cert = self.sign(name, key.public_key(), **when).public_bytes(serialization.Encoding.PEM)
        return self.write(f"{name}.crt", cert), self.write(f"{name}.key", pem)


@pytest.fixture
def authority(tmp_path):
    return Authority(str(tmp_path), "authority")


class SafeHub(Hub):
    """One that speaks TLS; `client`: the files of a certificate to show."""

    def __init__(self, config, authority, args, client=None):
        self.context = ssl.create_default_context(cafile=authority.file)
        if client:
            self.context.load_cert_chain(*client)
        super().__init__(config, args=args)

    def get(self, path):
        import urllib.request
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", headers={"authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=5, context=self.context) as r:
            return r.read().decode()

    def serial(self, port=None):
        """Of the certificate that it shows."""
        pem = ssl.get_server_certificate(("127.0.0.1", port or self.port))
        return x509.load_pem_x509_certificate(pem.encode()).serial_number

    def logged(self, text, seconds=5):
        end = time.time() + seconds
        while text not in open(self.state + ".log").read():
            assert time.time() < end, text
            time.sleep(0.02)


def fleet():
    return learned(hub={"cluster": "weir_hub", "every": "100ms"})


def refused(config, *args):
    """What a start says that must not be."""
    out = subprocess.run([WEIR, "hub", "--config", config, "--listen", "127.0.0.1:0", *args], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=20)
    return out.returncode, out.stderr


def test_files_that_are_none_are_clear_errors_at_the_start(authority, tmp_path):
    import json
    config, state = str(tmp_path / "c.json"), str(tmp_path / "state")
    with open(config, "w") as h:
        json.dump(fleet(), h)
    good, other = authority.issue("good"), authority.issue("other")
    old, early = authority.issue("old", begin=-3 * DAY, end=-DAY), authority.issue("early", begin=DAY, end=3 * DAY)
    empty = authority.write("empty.pem", b"")
    ca = Authority(str(tmp_path), "past")
    ca.cert = ca.sign("past", ca.key.public_key(), ca=True, begin=-3 * DAY, end=-DAY)
    past = ca.write("past.pem", ca.cert.public_bytes(serialization.Encoding.PEM))
    for cert, key, more, said in [
        (good[0], other[1], [], "good.crt: is not the certificate of"),
        (old[0], old[1], [], "old.crt: expired: it was valid until"),
        (early[0], early[1], [], "early.crt: does not hold yet: it is valid from"),
        (empty, good[1], [], "empty.pem: holds no certificate"),
        (good[0], empty, [], "empty.pem: no private key can be read"),
        (good[0], "/nowhere", [], "/nowhere: no private key can be read"),
        (good[0], good[1], ["--tls-client-ca", past], "past.pem: expired"),
        (good[0], good[1], ["--tls-client-ca", good[1]], "good.key: holds no certificate"),
    ]:
        status, told = refused(config, "--state", state, "--tls-cert", cert, "--tls-key", key, *more)
        assert status == 2 and said in told, (status, told)
    status, told = refused(config, "--state", state, "--tls-cert", good[0])
    assert status == 1 and "--tls-key" in told


def test_it_speaks_tls_only_and_takes_new_files_at_sighup(authority):
    cert, key = authority.issue("server")
    admin = free_port()
    hub = SafeHub(fleet(), authority, ["--tls-cert", cert, "--tls-key", key, "--admin", f"127.0.0.1:{admin}"])
    try:
        assert json_of(hub.get("/v1/status"))["nodes"] == []
        first = hub.serial()
        assert first == hub.serial(admin)
        # Without TLS nothing is said, and that is counted.
        with pytest.raises((OSError, http.client.HTTPException)):
            Hub.get(hub, "/healthz")
        assert "weir_hub_tls_failures_total 0" not in hub.get("/metrics")
        # A bad pair leaves what holds, a good one is taken over; nobody is cut off meanwhile.
        other_cert, other_key = authority.issue("next")
        os.replace(other_key, key)
        hub.process.send_signal(signal.SIGHUP)
        hub.logged('"event":"tls_not_reloaded"')
        assert hub.serial() == first
        os.replace(other_cert, cert)
        hub.process.send_signal(signal.SIGHUP)
        hub.logged('"event":"tls_reloaded"')
        assert hub.serial() == hub.serial(admin) != first
        assert hub.get("/readyz") == "ready\n"
    finally:
        hub.stop()


def json_of(text):
    import json
    return json.loads(text)


def test_an_envoy_reaches_it_by_its_own_tls_and_only_with_a_certificate(start, authority):
    cert, key = authority.issue("server")
    client, stranger = authority.issue("proxy"), Authority(authority.folder, "stranger").issue("other")
    args = ["--tls-cert", cert, "--tls-key", key, "--tls-client-ca", authority.file]
    hub = SafeHub(fleet(), authority, args, client)
    try:
        good = start(fleet(), workers=2, edit=reached(hub.port, tls=(authority.file, *client)))
        good.wait_log("the hub answers")
        for i in range(50):
            assert post(good.port, headers=[("authorization", f"Bearer k{i}")]).status == 200
        settle(good)
        good.wait_stat(lambda v: v == 50, "weir.hub_sent.")
        assert hub.status()["observations"] == 50
        assert [n["identity"] for n in hub.status()["nodes"]] == ["certificate proxy"]
        for files in [None, stranger]:
            bad = start(fleet(), workers=1, edit=reached(hub.port, tls=(authority.file, *(files or ()))))
            bad.wait_log("the hub does not take observations: status 503")
            assert post(bad.port, headers=[("authorization", "Bearer k")]).status == 200
        # An Envoy that does not trust the hub says nothing to it.
        other = start(fleet(), workers=1, edit=reached(hub.port, tls=(os.path.join(authority.folder, "stranger.pem"), *client)))
        other.wait_log("the hub does not take observations: status 503")
        assert len(hub.status()["nodes"]) == 1
    finally:
        hub.stop()
