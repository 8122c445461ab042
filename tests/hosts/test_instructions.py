"""What the shipped module executes, in wasm instructions: exact, the same on every machine, and no more than 5 % above `instructions.json`.

It is wasmtime's fuel, one for each instruction but those that do nothing (`block`, `loop`, `nop`, `drop`), of all callbacks of a request on
the small host. `make instructions` prints the table, `WRITE=1 make instructions` commits to what it is now.
"""
import json
import os
import sys

import harness
from harness import chat, config
from host import Host

sys.path.insert(0, os.path.join(harness.ROOT, "tests/bench"))
from wasm import bodies  # noqa: E402

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "instructions.json")
MORE = 1.05
SHAPES = {name: json.dumps(body).encode() for name, body in bodies().items()}
SHORT = json.dumps(chat("a question of four words")).encode()
HEALTH = [(":method", "GET"), (":path", "/healthz"), (":authority", "api.example.com")]


def count(h, go):
    before = h.store.get_fuel()
    go()
    return before - h.store.get_fuel()


def leading():
    """A VM that leads its node and has seen a few keys: what is made once is made."""
    h = Host(json.dumps(config()))
    for i in range(40):
        h.request(f"k{i % 4}", SHORT)
        h.pass_time(0.1)
    return h


def measure():
    said = json.dumps(config())
    start = Host(said)
    out = {"start": 10**12 - start.store.get_fuel()}
    h = leading()
    warm = lambda go: [count(h, go) for _ in range(3)][-1]
    out["no prompt: GET /healthz"] = warm(lambda: h.request(headers=HEALTH))
    out["0.1 KB"] = warm(lambda: h.request("k1", SHORT))
    for name, body in SHAPES.items():
        out[name] = warm(lambda: h.request("k1", body))
    out["4 KB, denied"] = warm(lambda: h.request("bad", SHAPES["4 KB"]))
    h = leading()
    # What was learned is in the pages after two cycles of a second.
    second = lambda: [h.pass_time(0.1) for _ in range(10)]
    for _ in range(4):
        second()
    out["ticks of a second, nothing new"] = count(h, second)
    h.request("k1", SHORT)
    out["ticks of a second after a request"] = count(h, second)
    h = leading()
    for i in range(1_000):
        h.request(f"k{i % 200}", json.dumps(chat(f"question {i} of so many")).encode())
    out["ticks of a second after 1,000 requests"] = count(h, second)
    return out


def test_the_module_executes_no_more_than_five_percent_more_than_is_committed(capsys):
    got = measure()
    if os.environ.get("WRITE"):
        with open(FILE, "w") as f:
            json.dump(got, f, indent=1)
            f.write("\n")
    with open(FILE) as f:
        was = json.load(f)
    with capsys.disabled():
        print(f"\n{'wasm instructions of the shipped module':<44}{'committed':>14}{'now':>14}{'ratio':>8}")
        for name, n in got.items():
            print(f"{name:<44}{was.get(name, 0):>14,}{n:>14,}{n / max(was.get(name, 0), 1):>8.3f}")
    assert got.keys() == was.keys(), "`WRITE=1 make instructions`"
    more = {name: round(n / was[name], 3) for name, n in got.items() if n > was[name] * MORE}
    assert not more, more


def test_it_is_counted_exactly():
    one, another = leading(), leading()
    assert count(one, lambda: one.request("k1", SHAPES["4 KB"])) == count(another, lambda: another.request("k1", SHAPES["4 KB"]))

