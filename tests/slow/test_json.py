"""The claims of tests/fixtures/parsers about other parsers, and Weir against Python's on mutated bodies. `make test-slow`; ITER=200000 for more.

Go's parser is asked where `go` is on the path (or GO names it), orjson where it is installed.
"""
import json
import os
import random
import shutil
import subprocess
import sys

import pydantic_core
import pytest

try:
    import orjson
except ImportError:
    orjson = None

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
ITER = int(os.environ.get("ITER", "30000"))
GO = os.environ.get("GO") or shutil.which("go")
# As Ollama reads a chat: one value of a stream into a struct, as gin's ShouldBindJSON does.
GO_SOURCE = r"""
package main
import ("bufio"; "bytes"; "encoding/hex"; "encoding/json"; "fmt"; "os")
type message struct { Role string `json:"role"`; Content any `json:"content"` }
type request struct { Model string `json:"model"`; Messages []message `json:"messages"`; Temperature any `json:"temperature"`; Prompt any `json:"prompt"` }
func main() {
  in := bufio.NewScanner(os.Stdin); in.Buffer(nil, 1<<26)
  for in.Scan() {
    b, _ := hex.DecodeString(in.Text()); var r request
    if err := json.NewDecoder(bytes.NewReader(b)).Decode(&r); err != nil { fmt.Println("refuses") } else { fmt.Println("reads") }
  }
}
"""


def cases():
    with open(os.path.join(ROOT, "tests", "fixtures", "parsers", "cases.json")) as h:
        return json.load(h)


def body(case):
    if "hex" in case:
        return bytes.fromhex(case["hex"])
    text = case["body"]
    if "fill" in case:
        text = text.replace("@@", case["fill"][0] * case["fill"][1])
    return text.encode(case.get("encode", "utf-8"))


def reads(parse, data):
    try:
        parse(data)
    except (ValueError, RecursionError):
        return "refuses"
    return "reads"


def strings(value, key=None):
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for v in value:
            yield from strings(v)
    elif isinstance(value, dict):
        for v in value.values():
            yield from strings(v)


def lossy(text):
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)


@pytest.mark.parametrize("column,parse", [("python", json.loads), ("pydantic", pydantic_core.from_json), ("orjson", orjson and orjson.loads)])
def test_parsers_do_what_the_table_says(column, parse):
    if not parse:
        pytest.skip("not installed")
    wrong = [(c["kind"], c["name"]) for c in cases() if reads(parse, body(c)) != c[column]]
    assert not wrong
    print(f"\n{column}: reads {sum(c[column] == 'reads' for c in cases())} of {len(cases())}")


@pytest.mark.skipif(not GO, reason="needs go")
def test_go_does_what_the_table_says(tmp_path):
    rows = [c for c in cases() if c.get("path", "/v1/chat/completions") == "/v1/chat/completions"]
    source = tmp_path / "main.go"
    source.write_text(GO_SOURCE)
    text = "\n".join(body(c).hex() for c in rows) + "\n"
    run = subprocess.run([GO, "run", str(source)], input=text, capture_output=True, text=True, check=True, env={**os.environ, "GO111MODULE": "off"})
    said = run.stdout.split()
    assert len(said) == len(rows)
    assert [(c["name"], s) for c, s in zip(rows, said) if s != c["go"]] == []
    print(f"\ngo: reads {said.count('reads')} of {len(rows)}")


def test_the_texts_are_what_python_reads():
    for c in cases():
        # The last of two values is Python's: null in one case.
        if c["python"] == "reads" and c["text"] and c["name"] != "the value and then null":
            found = "\n".join(lossy(s) for s in strings(json.loads(body(c))))
            assert any(t in found for t in c["text"]), c["name"]


def weir(tmp_path, rows):
    """Facts of many bodies, by the test binary: [text seen, unreadable, media] each."""
    (tmp_path / "bodies").write_text("".join(json.dumps([path, data.hex()]) + "\n" for path, data in rows))
    env = {**os.environ, "WEIR_BODIES": str(tmp_path / "bodies"), "WEIR_FACTS": str(tmp_path / "facts")}
    command = ["cargo", "test", "--quiet", "--test", "parsers", "facts_of_a_file", "--", "--ignored", "--exact"]
    subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, timeout=1800)
    return [json.loads(line) for line in (tmp_path / "facts").read_text().splitlines()]


def chat(value):
    """What a lenient chat server on Python puts in front of the model: system texts, first and last turn of the user, the start of an answer."""
    if not isinstance(value, dict) or not isinstance(value.get("messages"), list):
        return []
    system, turns, fresh, last = [], [], True, None
    for m in value["messages"]:
        if not isinstance(m, dict) or not isinstance(m.get("role"), str):
            return []
        content = m.get("content")
        parts = [content] if isinstance(content, str) else content if isinstance(content, list) else []
        texts = [p if isinstance(p, str) else p.get("text", "") if isinstance(p, dict) and p.get("type") == "text" else "" for p in parts]
        texts = [t for t in texts if isinstance(t, str) and t]
        if m["role"] in ("system", "developer"):
            system += texts
        elif m["role"] == "assistant":
            fresh, last = True, texts
        elif m["role"] in ("user", "tool"):
            last = None
            if texts and (fresh or not turns):
                turns.append([])
            if texts:
                turns[-1] += texts
                fresh = False
    return system + (turns[0] + turns[-1] if turns else []) + (last or [])


TOKENS = ['"', "\\", "{", "}", "[", "]", ":", ",", "null", '"role"', '"content"', '"messages"', '"user"', '"system"', '"assistant"', '"text"', "\\u0061", "\\ud800", "\ufeff",
          "\n", "\0", " ", "NaN", "1e9", "ſ", "K", "é", '"type":"text",', '"content":"four words of text",', '"messages":[],', '{"role":"user","content":"and four words more"},',
          '{"role":"assistant","content":"an answer of words"},', '{"role":"system","content":"an order of words"},', "/**/", "\\n", '"x":[[{}]],']


def mutated(rng, text):
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        at = rng.randrange(len(text) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            text = text[:at] + rng.choice(TOKENS) + text[at:]
        elif kind == 1:
            text = text[:at] + text[at + rng.randrange(1, 9):]
        elif kind == 2:
            other = rng.randrange(len(text) + 1)
            text = text[:at] + text[min(at, other):max(at, other)][:60] + text[at:]
        else:
            # One character as an escape: the same text, unless it stands in the grammar.
            text = text[:at] + "".join(f"\\u{ord(c):04x}" for c in text[at:at + 1]) + text[at + 1:]
    data = text.encode(rng.choice(("utf-8", "utf-8", "utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-8-sig", "utf-16", "utf-32")), "surrogatepass")
    if rng.random() < 0.1 and data:
        at = rng.randrange(len(data))
        data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1:]
    return data


def test_weir_sees_what_python_reads_of_mutated_bodies(tmp_path):
    seed = int(os.environ.get("SEED", "1"))
    rng = random.Random(seed)
    path = "/v1/chat/completions"
    seeds = [body(c).decode(c.get("encode", "utf-8")) for c in cases() if "hex" not in c and c.get("path", path) == path and len(body(c)) < 1000]
    rows, want, refused = [], [], 0
    while len(rows) < ITER:
        data = mutated(rng, rng.choice(seeds))
        try:
            texts = chat(json.loads(data))
        except (ValueError, RecursionError):
            refused += 1
            # Weir must not fall over; what it sees of these is of no interest.
            if rng.random() < 0.9:
                continue
            texts = []
        rows.append((path, data))
        want.append(texts)
    read = unreadable = 0
    for (_, data), texts, (seen, kind, _) in zip(rows, want, weir(tmp_path, rows)):
        if kind:
            unreadable += 1
            continue
        read += 1
        for text in texts:
            # Instructions are cut at 2,048 bytes, texts in the middle: none of these is as long.
            assert lossy(text) in seen, (seed, data.decode(json.detect_encoding(data), "surrogatepass"), text, seen)
    print(f"\n{len(rows)} bodies (seed {seed}), {refused} more refused by Python: {read} read, {unreadable} unreadable, nothing unseen")
    assert read > len(rows) / 4
