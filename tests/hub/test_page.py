"""The hub's page in a real Chromium, beside a real Envoy during a campaign: what it shows is so, and what is pressed on it is in force."""
import json
import os
import re
import threading
import time
import urllib.error
import urllib.request

import pytest
from browser import PHONE, WIDE, Page
from harness import ROOT, free_port, key_id
from hub import Hub, reached
from traffic import Traffic, learned, settle

SCALE = 1500
READ, ACT = "reads only", "acts, too"
# WEIR_SCREENS=envoy/screens makes the pictures of envoy/README.md anew.
SCREENS = os.environ.get("WEIR_SCREENS") or os.path.join(ROOT, "target", "screens")
HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>'


def fleet():
    trial = {"profiles": {"trial": {"mode": "shadow"}}, "routes": [{"match": {"path": "/trial"}, "profile": "trial"}]}
    return learned(SCALE, hub={"cluster": "weir_hub", "every": "100ms"}, **trial)


class Served:
    """A hub with its listener for people."""

    def __init__(self, config):
        self.admin = free_port()
        self.url = f"http://127.0.0.1:{self.admin}"
        self.hub = Hub(config, args=["--admin", f"127.0.0.1:{self.admin}"])

    def ask(self, path, body=None, token=ACT):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, timeout=5) as r:
                return r.status, json.loads(r.read())
        except urllib.error.HTTPError as e:
            return e.code, json.loads(e.read())


@pytest.fixture
def served(monkeypatch):
    monkeypatch.setenv("WEIR_HUB_READ_TOKEN", READ)
    monkeypatch.setenv("WEIR_HUB_ACT_TOKEN", ACT)
    s = Served(fleet())
    yield s
    s.hub.stop()


@pytest.fixture
def page(served):
    p = Page(served.url + "/")
    yield p
    p.close()


def sign_in(page, read=READ, act=""):
    page.js("document.getElementById('tokens-box').open = true")
    for name, token in (("read", read), ("act", act)):
        page.one(f"#{name}-token").clear()
        page.one(f"#{name}-token").send_keys(token)
    page.one("#tokens button[type=submit]").click()


def figure(page, name):
    """The number beside a name among the figures, without its commas."""
    found = page.js("return [...document.querySelectorAll('#figures > div')].map(d => [d.children[0].textContent, d.children[1].textContent])")
    return dict(found).get(name, "").replace(",", "")


def of_case(page, case):
    """The figures of a case's card, and its explanations."""
    return page.js(
        "const c = document.querySelector(`[data-case='${arguments[0]}']`); if (!c) return null;"
        "return [Object.fromEntries([...c.querySelectorAll('dl > div')].map(d => [d.children[0].textContent, d.children[1].textContent.replaceAll(',', '')])),"
        "Object.fromEntries([...c.querySelectorAll('.explanations tbody tr')].map(r => [r.children[0].textContent, r.children[2].textContent.replaceAll(',', '')]))]", case)


def equal(page, served):
    """Does the page show what the JSON tells?"""
    status, cases = served.ask("/v1/status", token=READ)[1], served.ask("/v1/cases", token=READ)[1]["cases"]
    want = {"open cases": status["cases"], "convicted keys": status["convicted"], "observations": status["observations"], "keys": status["keys"],
            "nodes": len(status["nodes"]), "would-be blocks": sum(p["would_block"] for p in status["profiles"] if p["mode"] != "enforce"),
            "blocked": sum(p["blocked"] for p in status["profiles"])}
    if {n: figure(page, n) for n in want} != {n: str(v) for n, v in want.items()}:
        return False
    if page.js("return [...document.querySelectorAll('#cases > article')].map(a => a.dataset.case)") != [c["case"] for c in cases]:
        return False
    for c in cases:
        shown, reasons = of_case(page, c["case"])
        told = {"keys": c["keys"], "convicted keys": c["convicted"], "requests": c["requests"], "share π": f"{c['campaign_percent']} %", "nats": c["nats"]}
        if {n: shown[n] for n in told} != {n: str(v) for n, v in told.items()} or reasons != {n: str(v) for n, v in c["explanations"].items()}:
            return False
    rows = page.js("return [...document.querySelectorAll('#node-table tbody tr')].map(r => [r.dataset.key, r.children[3].textContent.replaceAll(',', ''), r.children[4].textContent])")
    return rows == [[n["node"], str(n["observations"]), str(n["lost"])] for n in status["nodes"]]


def passing(envoy, traffic, keys):
    return {traffic.probe(envoy.port, k) for k in keys} == {200}


def test_what_it_shows_is_so_and_what_is_pressed_is_in_force(start, served, page):
    assert page.errors() == [] and page.shown("#notice") and "token" in page.text("#notice")
    sign_in(page)
    page.wait(lambda: page.text("#stream") == "live")
    envoy = start(fleet(), workers=2, edit=reached(served.hub.port))
    t = Traffic(envoy.port, accounts=80, honest=20, hours=60, scale=SCALE)
    # The verdict comes by itself, while the campaign runs.
    page.wait(lambda: page.shown("#events [data-event=convicted]"), seconds=120)
    t.until(lambda: len(t.refused()) >= 70)
    settle(envoy)
    blocked = t.refused()[::8][:8]
    # The same keys on a route in shadow mode: they pass, and are counted.
    path, t.path = t.path, lambda key: "/trial/v1/chat/completions"
    shadow = [t.probe(envoy.port, k) for k in blocked]
    t.path = path
    assert set(shadow) == {200}
    page.wait(lambda: figure(page, "would-be blocks") not in ("", "0"))
    page.wait(lambda: equal(page, served), seconds=30, why="the page shows other figures than the JSON")
    case = served.ask("/v1/cases")[1]["cases"][0]
    assert case["convicted"] >= 60 and case["explanations"]["campaign"] == 0 and len(case["curve"]) > 3, case
    print({n: figure(page, n) for n in ("open cases", "convicted keys", "would-be blocks", "blocked", "memory")}, of_case(page, case["case"]))

    # Everybody can use it, in light and dark, on a wide window and a phone.
    page.one(f"[data-case='{case['case']}'] summary").click()
    page.wait(lambda: page.shown("article details table"))
    os.makedirs(SCREENS, exist_ok=True)
    found, sizes = [], {}
    for scheme in ("light", "dark"):
        page.scheme(scheme)
        for name, size in (("wide", WIDE), ("phone", PHONE)):
            page.size(size)
            time.sleep(0.3)
            found += [(scheme, name, v) for v in page.violations()]
            assert page.overflow() <= 0, (scheme, name, page.overflow())
    print("axe-core, serious or critical:", len(found))
    assert found == []
    page.one(f"[data-case='{case['case']}'] summary").click()
    for name, scheme, size, height in (("hub-light", "light", WIDE, 1250), ("hub-dark", "dark", WIDE, 1250), ("hub-phone", "light", PHONE, 1500)):
        page.scheme(scheme)
        page.size(size)
        page.js("scrollTo(0, 0); document.getElementById('tokens-box').open = false")
        time.sleep(0.3)
        sizes[name] = page.shot(os.path.join(SCREENS, name + ".webp"), height)
    print("pictures, bytes:", sizes)
    assert all(n < 100_000 for n in sizes.values())
    page.scheme("light")
    page.size(WIDE)
    assert page.errors() == []

    # By the keyboard alone: look up a key, release it. A wrong token is told.
    from selenium.webdriver.common.keys import Keys
    kid = key_id(blocked[0])
    page.js("document.activeElement.blur(); scrollTo(0, 0)")
    page.tab_to("", field="id")
    page.keys(kid, Keys.ENTER)
    page.wait(lambda: page.text("#found").startswith(f"Key {kid}"))
    assert f"Convicted, case {case['case']}" in page.text("#found")
    page.tab_to(f"release key {kid}")
    page.keys(Keys.ENTER)
    page.wait(lambda: page.js("return document.activeElement.id") == "reason")
    assert page.violations() == []
    page.keys("ticket 812: " + HOSTILE, Keys.TAB, Keys.TAB, Keys.TAB, "guessed", Keys.ENTER)
    page.wait(lambda: "token to act is missing or wrong" in page.text("#act-error"))
    assert page.js("return document.activeElement.closest('dialog') !== null")
    assert served.ask("/v1/exceptions")[1]["exceptions"] == []
    assert [e for e in page.errors() if "401" not in e] == []
    page.tab_to("", field="act-token-now")
    page.keys(ACT, Keys.ENTER)
    begun = time.time()
    page.wait(lambda: passing(envoy, t, blocked[:1]), seconds=20)
    by_keyboard = time.time() - begun
    page.wait(lambda: "ticket 812" in page.text("#decided"))
    # What somebody wrote is a text, here and among the events.
    page.wait(lambda: HOSTILE in page.text("#events"))
    assert HOSTILE in page.text("#decided") and page.all("img") == [] and page.js("return document.title") == "Weir hub"

    # By a click: the whole case.
    others = blocked[1:]
    assert {t.probe(envoy.port, k) for k in others} == {429}
    page.one(f"[data-case='{case['case']}'] button[aria-label='release case {case['case']}']").click()
    page.one("#reason").send_keys("they are ours")
    page.one("#act-do").click()
    begun = time.time()
    page.wait(lambda: passing(envoy, t, others), seconds=20)
    by_click = time.time() - begun
    print(f"in force on Envoy after a click: {by_click:.2f} s, after a key: {by_keyboard:.2f} s")
    page.wait(lambda: page.shown("#events [data-event=case_ended]"))
    page.wait(lambda: not page.all(f"[data-case='{case['case']}']") and page.shown("#no-cases"))
    page.wait(lambda: equal(page, served), seconds=30)

    # Denied by a click, and taken back.
    page.one("#id").clear()
    page.one("#id").send_keys(kid, Keys.ENTER)
    page.wait(lambda: page.shown(f"button[aria-label='deny key {kid}']"))
    page.one(f"button[aria-label='deny key {kid}']").click()
    page.one("#reason").send_keys("after all")
    page.one("#act-do").click()
    page.wait(lambda: t.probe(envoy.port, blocked[0]) == 429)
    page.wait(lambda: page.shown(f"button[aria-label='undo key {kid}']"))
    page.one(f"button[aria-label='undo key {kid}']").click()
    page.one("#reason").send_keys("no")
    page.one("#act-do").click()
    page.wait(lambda: t.probe(envoy.port, blocked[0]) == 200)

    # Tokens are nowhere but in the memory of the page.
    kept = page.js("return JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage), document.cookie, location.href,"
                   "performance.getEntriesByType('resource').map(r => r.name), [...document.querySelectorAll('input')].map(i => i.value)])")
    assert READ not in kept and ACT not in kept and READ not in page.driver.page_source
    page.driver.refresh()
    page.wait(lambda: "Reading needs a token" in page.text("#held"))
    assert [e for e in page.errors() if "401" not in e] == []


def test_who_has_no_token_is_told_so_and_sees_nothing(served, page):
    assert page.text("#figures") == "" and "Give the token to read" in page.text("#notice")
    sign_in(page, read="guessed")
    page.wait(lambda: "The token to read is missing or wrong" in page.text("#notice"))
    assert page.text("#figures") == "" and page.text("#stream") != "live"
    assert all("401" in e for e in page.errors())
    assert page.violations() == []
    # The token to act reads, too.
    page.one("#forget").click()
    sign_in(page, read="", act=ACT)
    page.wait(lambda: figure(page, "open cases") == "0" and page.text("#stream") == "live")
    assert not page.shown("#notice") and page.shown("#no-cases")
    # One that reads does not act.
    page.one("#forget").click()
    sign_in(page, read=READ, act=READ)
    page.wait(lambda: page.text("#stream") == "live")
    page.one("#id").send_keys("tid:00000000000000ff")
    page.one("#find button").click()
    page.one("button[aria-label='allow template tid:00000000000000ff']").click()
    page.one("#reason").send_keys("x")
    page.one("#act-do").click()
    page.wait(lambda: "this token reads and does not act" in page.text("#act-error"))
    assert served.ask("/v1/exceptions")[1]["exceptions"] == []
    # The hub goes, and comes back.
    page.one("#act-not").click()
    served.hub.kill()
    page.wait(lambda: "does not answer" in page.text("#notice"))
    served.hub.start()
    page.wait(lambda: not page.shown("#notice") and page.text("#stream") == "live", seconds=40)


def test_what_others_say_cannot_run_on_the_page(served):
    with urllib.request.urlopen(served.url + "/") as r:
        text, heads = r.read().decode(), {k.lower(): v for k, v in r.headers.items()}
    policy = heads["content-security-policy"]
    for part in ("default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "form-action 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"):
        assert part in policy, policy
    assert "unsafe" not in policy and re.findall(r"script-src ('sha256-[A-Za-z0-9+/=]+');", policy) and heads["x-content-type-options"] == "nosniff"
    assert heads["referrer-policy"] == "no-referrer" and "no-store" in heads["cache-control"] and "access-control-allow-origin" not in heads
    print("page:", len(text.encode()), "bytes")
    # The listener of the proxies has no page.
    with pytest.raises(urllib.error.HTTPError) as none:
        urllib.request.urlopen(f"http://127.0.0.1:{served.hub.port}/")
    assert none.value.code == 404


def test_events_need_a_token_and_have_room_for_64(served):
    def stream(token=READ):
        return urllib.request.urlopen(urllib.request.Request(served.url + "/v1/events", headers={"authorization": f"Bearer {token}"}), timeout=5)
    with pytest.raises(urllib.error.HTTPError) as no:
        stream("guessed")
    assert no.value.code == 401
    all_of = [stream() for _ in range(64)]
    assert all(s.readline().startswith(b"id: ") for s in all_of)
    with pytest.raises(urllib.error.HTTPError) as full:
        stream()
    assert full.value.code == 503 and json.loads(full.value.read())["error"] == "busy"
    with urllib.request.urlopen(served.url + "/metrics") as r:
        assert "weir_hub_event_listeners 64\n" in r.read().decode()
    # An act comes to all of them, and a hub that stops ends them and does not wait.
    served.ask("/v1/deny", {"key": "kid:00000000000000ff", "reason": "a test", "expires": 60})
    for s in all_of:
        lines = iter(s.readline, b"")
        assert any(line == b"event: act\n" for line in lines)
    begun = time.time()
    threading.Thread(target=served.hub.process.terminate).start()
    served.hub.process.wait(10)
    print(f"stopped with 64 streams after {time.time() - begun:.2f} s")


def test_without_a_token_to_read_it_answers_to_its_address_alone(monkeypatch):
    for name in ("READ", "ACT"):
        monkeypatch.delenv(f"WEIR_HUB_{name}_TOKEN", raising=False)
    s = Served(fleet())
    try:
        def status(host):
            try:
                with urllib.request.urlopen(urllib.request.Request(s.url + "/v1/status", headers={"host": host})) as r:
                    return r.status
            except urllib.error.HTTPError as e:
                return e.code
        # A page of somebody else's, whose name was made to lead here, reads nothing.
        told = {host: status(host) for host in (f"127.0.0.1:{s.admin}", f"localhost:{s.admin}", "[::1]:7071", "evil.example", f"127.0.0.1.evil.example:{s.admin}", "")}
        assert list(told.values()) == [200, 200, 200, 403, 403, 403], told
        page = Page(s.url + "/")
        try:
            page.wait(lambda: figure(page, "open cases") == "0" and page.text("#stream") == "live")
            assert page.errors() == [] and not page.shown("#notice") and "No token is needed" in page.text("#held")
            # Nobody acts.
            page.js("decide('deny', 'key', 'kid:00000000000000ff')")
            page.one("#reason").send_keys("x")
            page.one("#act-do").click()
            page.wait(lambda: "nobody may act: start the hub with --act-token-file" in page.text("#act-error"))
        finally:
            page.close()
    finally:
        s.hub.stop()
