"""Runs a program built for wasm32-wasip1 under wasmtime: `wasm.py PROGRAM.wasm [ARGUMENT…]`.

`wasm.py --instructions MICRO.wasm [MICRO.wasm…]` counts instead: wasm instructions of a request, for each build of
tests/bench/micro.rs the same bodies, and the ratio of the last build to the first. It is wasmtime's fuel, one for each instruction but
those that do nothing (`block`, `loop`, `nop`, `drop`); of a call, the difference of two runs, so that start-up does not count. Time
is not taken: a busy machine gives the same figures.

Calls to a proxy are there because the library brings them along; none is made, and each would answer Unimplemented (12).
"""
import base64
import json
import os
import random
import sys
import tempfile

import wasmtime

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CASES = ["read + extract, own bodies", "read + decide (worker), own bodies"]
FUEL = 1 << 62


class Program:
    def __init__(self, path, counted=False):
        config = wasmtime.Config()
        config.consume_fuel = counted
        self.counted, self.path, self.engine = counted, path, wasmtime.Engine(config)
        self.module = wasmtime.Module.from_file(self.engine, path)

    def run(self, arguments):
        """Its status, and its instructions if they are counted."""
        linker, store = wasmtime.Linker(self.engine), wasmtime.Store(self.engine)
        if self.counted:
            store.set_fuel(FUEL)
        linker.define_wasi()
        wasi = wasmtime.WasiConfig()
        # (Under one name: what is counted may depend on how long it is.)
        wasi.argv = ["micro", *arguments]
        wasi.inherit_stdout()
        wasi.preopen_dir("/", "/")
        wasi.inherit_stderr()
        store.set_wasi(wasi)
        for i in self.module.imports:
            if i.module == "env":
                linker.define(store, i.module, i.name, wasmtime.Func(store, i.type, lambda *_: 12))
        start, code = linker.instantiate(store, self.module).exports(store)["_start"], 0
        try:
            start(store)
        except wasmtime.ExitTrap as e:
            code = e.code
        return code, FUEL - store.get_fuel() if self.counted else 0


def text(size):
    """Words of the license, which no build changes, in another order for each size."""
    with open(os.path.join(ROOT, "LICENSE")) as h:
        words = h.read().split()
    dice, out = random.Random(size), ""
    while len(out) < size:
        out += " ".join(dice.choices(words, k=max(1, size // 6))) + " "
    return out[:size]


def bodies():
    user = lambda content: {"role": "user", "content": content}
    chat = lambda *messages: {"model": "m", "temperature": 0.2, "messages": list(messages)}
    turns = [{"role": ("user", "assistant", "tool", "assistant")[i % 4], "content": text(10_000 + i)} for i in range(40)]
    coded = lambda data, kind: f"data:{kind};base64,{base64.b64encode(data).decode()}"
    picture = {"type": "image_url", "image_url": {"url": coded(random.Random(1).randbytes(300_000), "image/png")}}
    file = {"type": "file", "file": {"filename": "a.txt", "file_data": coded(text(300_000).encode(), "text/plain")}}
    return {
        "4 KB": chat(user(text(4_000))),
        "64 KB": chat(user(text(64_000))),
        "400 KB conversation": chat({"role": "system", "content": text(3_000)}, *turns, user(text(200))),
        "400 KB with a picture": chat(user([picture, {"type": "text", "text": text(300)}])),
        "400 KB with a text file": chat(user([file, {"type": "text", "text": text(300)}])),
    }


def instructions(paths):
    programs = [Program(path, counted=True) for path in paths]
    print("| body | case |" + "".join(f" {os.path.relpath(path)} |" for path in paths) + " ratio |")
    print("|---|---|" + "--:|" * (len(paths) + 1))
    for name, body in bodies().items():
        with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
            json.dump(body, f)
            f.flush()
            for case in CASES:
                def count(program, calls):
                    code, n = program.run(["--only", case, "--calls", str(calls), "--body", f.name])
                    assert code == 0, (program.path, code)
                    return n
                # From the second call on: the first makes the tables that the others use.
                each = [(count(p, 12) - count(p, 2)) // 10 for p in programs]
                assert min(each) > 1_000, "the case was run"
                print(f"| {name} | {case.split(',')[0]} |" + "".join(f" {n:,} |" for n in each) + f" {each[-1] / each[0]:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "--instructions":
        sys.exit(instructions(sys.argv[2:]))
    sys.exit(Program(sys.argv[1]).run(sys.argv[2:])[0])
