"""The pages of `weir report` in a real Chromium: shown light and dark, printed, and read again; its console stays silent."""
import base64
import json
import os
import re
import shutil
import struct
import subprocess
import time
import zlib

import headless
import hub
import pytest
from harness import ROOT

WEIR = os.environ.get("WEIR_BIN", os.path.join(ROOT, "target", "weir"))


def weir(*args):
    return subprocess.run([WEIR, *map(str, args)], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The report and the dossier of the demo's traffic, with the figures that they must show."""
    d = tmp_path_factory.mktemp("report")
    weir("demo", "--write-trace", d / "trace.jsonl")
    logs = [d / "records.jsonl", d / "decisions.jsonl"]
    weir("replay", "--config", "envoy/replay.json", "--records", logs[0], "--decisions", logs[1], d / "trace.jsonl")
    figures = json.loads(weir("report", "--json", *logs))
    campaign = figures["campaigns"][0]["campaign"]
    weir("report", "--out", d / "report.html", *logs)
    weir("report", "--incident", campaign, "--out", d / "incident.html", *logs)
    dossier = json.loads(weir("report", "--incident", campaign, "--json", *logs))
    return d, figures, dossier


def grouped(n):
    return f"{n:,}"


def first_pixel(path):
    """Of a PNG of eight bits a channel: the first pixel of the first row, which no filter changes."""
    data = open(path, "rb").read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed = 8, b""
    while at < len(data):
        (n,), kind = struct.unpack(">I", data[at:at + 4]), data[at + 4:at + 8]
        packed += data[at + 8:at + 8 + n] if kind == b"IDAT" else b""
        at += 12 + n
    return tuple(zlib.decompress(packed)[1:4])


def test_the_console_of_a_page_is_heard(tmp_path):
    """Without this the silence of the others would say nothing."""
    (tmp_path / "loud.html").write_text("<script>console.error('a complaint')</script>")
    _, complaints = headless.run(tmp_path / "loud.html", "--dump-dom")
    assert len(complaints) == 1 and "a complaint" in complaints[0]


@pytest.mark.parametrize("name", ["report", "incident"])
def test_a_page_is_rendered_without_a_complaint(pages, name):
    d, figures, dossier = pages
    dom, complaints = headless.run(d / f"{name}.html", "--dump-dom")
    assert complaints == []
    assert dom.count("<svg") >= 2 and dom.count("<h1") == 1 and dom.count("<caption") == dom.count("<table")
    # Headings go down by one.
    levels = [int(n) for n in re.findall(r"<h(\d)", dom)]
    assert levels[0] == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:]))
    # What a chart is called by is there, each name once.
    ids = re.findall(r' id="([^"]+)"', dom)
    assert len(ids) == len(set(ids))
    for names in re.findall(r'aria-labelledby="([^"]+)"', dom):
        assert all(n in ids for n in names.split())
    shown = figures["totals"]["would"]["block"] if name == "report" else dossier["served"]["rejected"]
    assert grouped(shown) in dom


@pytest.mark.parametrize("name", ["report", "incident"])
def test_light_and_dark(pages, name):
    d, _, _ = pages
    seen = {}
    for scheme in ["light", "dark"]:
        out = d / f"{name}-{scheme}.png"
        assert headless.picture(d / f"{name}.html", out, scheme) == []
        seen[scheme] = first_pixel(out)
    assert seen == {"light": (255, 255, 255), "dark": (0x0f, 0x14, 0x19)}


@pytest.mark.parametrize("name", ["report", "incident"])
def test_a_page_is_printed_and_read_again(pages, name):
    assert shutil.which("pdftotext"), "there is no pdftotext: make setup-browser"
    d, figures, dossier = pages
    out = d / f"{name}.pdf"
    _, complaints = headless.run(d / f"{name}.html", "--no-pdf-header-footer", f"--print-to-pdf={out}", scheme="dark")
    assert complaints == []
    # Rows as they stand, and cells of several lines one after the other.
    texts = [subprocess.run(["pdftotext", how, out, "-"], capture_output=True, text=True, check=True).stdout for how in ["-layout", "-raw"]]
    flat = " ".join(" ".join(texts).split())
    if name == "report":
        wanted = [grouped(figures["totals"]["would"][a]) for a in ["allow", "block"]]
        wanted += ["Decisions by hour", "Who would be hurt", figures["campaigns"][0]["evidence"]["id"]]
        # Tables that are folded on a screen are printed.
        row = figures["timeline"]["rows"][-1]
        wanted.append(f"{row['allow']} {row['tag']} {row['throttle']} {row['block']}")
    else:
        wanted = [grouped(dossier["served"][n]) for n in ["before", "after", "rejected"]]
        wanted += ["AML.T0024.002", "C11.5", dossier["keys_blocked"][0], "How it is appealed"]
    for what in wanted:
        assert what in flat, what


def test_the_directory_of_a_hub_is_read_while_it_runs_and_after(tmp_path):
    config = json.load(open(os.path.join(ROOT, "envoy/replay.json")))
    weir("demo", "--write-trace", tmp_path / "trace.jsonl")
    h = hub.Hub(config, args=["--follow", str(tmp_path / "trace.jsonl"), "--follow-from-start", "--checkpoint-s", "1"])
    try:
        end = time.time() + 60
        while time.time() < end and not any(f.startswith("checkpoint-") for f in os.listdir(h.state)):
            time.sleep(0.1)
        running = json.loads(weir("report", "--json", "--state", h.state, "--config", h.config))["state"]
        assert running["kind"] == "hub"
        while time.time() < end and h.status()["keys"] < 842:
            time.sleep(0.1)
        h.process.terminate()
        assert h.process.wait(30) == 0
        state = json.loads(weir("report", "--json", "--state", h.state, "--config", h.config))["state"]
        assert state["keys"] == 842 >= running["keys"]
    finally:
        h.stop()


def test_colours_can_be_read():
    """Contrast as WCAG counts it: 7 for text, 4.5 for what is said aside, 3 for bars."""
    css = open(os.path.join(ROOT, "src/bin/weir/report/style.css")).read()

    def light(colour):
        colour = colour if len(colour) == 6 else "".join(c * 2 for c in colour)
        parts = [int(colour[i:i + 2], 16) / 255 for i in (0, 2, 4)]
        r, g, b = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    schemes = re.findall(r":root\{([^}]*--bg[^}]*)\}", css)
    assert len(schemes) == 3, "light, dark, printed"
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+):#([0-9a-f]+)", scheme))
        for name, least in {"fg": 7, "soft": 4.5, "block": 3, "throttle": 3, "tag": 3, "allow": 3}.items():
            for ground in ["bg", "box"] if name in ("fg", "soft") else ["bg"]:
                a, b = sorted([light(colours[name]), light(colours[ground])])
                assert (b + 0.05) / (a + 0.05) >= least, f"{name} on {ground}"


def test_indicators_are_a_signature_that_others_read(tmp_path):
    """Keys of OpenSSL, as the page says; and what is written is a JSON Web Signature that OpenSSL verifies."""
    def openssl(*args):
        subprocess.run(["openssl", *map(str, args)], cwd=tmp_path, check=True, capture_output=True)

    openssl("genpkey", "-algorithm", "ed25519", "-out", "a.key")
    openssl("pkey", "-in", "a.key", "-pubout", "-out", "a.pub")
    (tmp_path / "exchange.seed").write_text("c3" * 32)
    weir("demo", "--write-trace", tmp_path / "trace.jsonl")
    config = os.path.join(ROOT, "envoy/replay.json")
    common = ["--config", config, "--exchange-seed-file", tmp_path / "exchange.seed"]
    said = weir("indicators", "export", *common, "--key-file", tmp_path / "a.key", "--issuer", "Org A", "--out", tmp_path / "i.json", tmp_path / "trace.jsonl")
    assert said.startswith("1 indicator of Org A")
    assert weir("indicators", "verify", "--partner-key", tmp_path / "a.pub", tmp_path / "i.json").startswith("1 indicator of Org A")
    signed = json.loads((tmp_path / "i.json").read_text())
    (tmp_path / "input").write_text(signed["protected"] + "." + signed["payload"])
    (tmp_path / "signature").write_bytes(base64.urlsafe_b64decode(signed["signature"] + "=="))
    openssl("pkeyutl", "-verify", "-pubin", "-inkey", "a.pub", "-rawin", "-in", "input", "-sigfile", "signature")
    # Among the demo's honest look-alikes it finds the campaign's accounts, and perhaps those two who sent its template once.
    found = json.loads(weir("indicators", "import", "--json", *common, "--partner-key", tmp_path / "a.pub", "--indicators", tmp_path / "i.json", tmp_path / "trace.jsonl"))
    assert 420 <= found[0]["keys"] <= 453 and found[0]["held_back"] is None, found[0]["keys"]
