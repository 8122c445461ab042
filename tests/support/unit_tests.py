"""Runs the library's unit tests as wasm32: `unit_tests.py TESTS.wasm [ARGUMENT…]`, the program that `cargo test --lib --no-run` makes for the
module's target, under wasmtime. What is pinned natively (hashes, laws, encodings, verdicts) is so with 32-bit sizes and the module's
arithmetic, too. The first failing test ends the run, as a panic ends a module; its name is the last one printed.

Calls to a proxy are there because the library brings them along; none is made, and each would answer Unimplemented (12).
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench"))
from wasm import Program  # noqa: E402

if __name__ == "__main__":
    status, _ = Program(sys.argv[1]).run(["--test-threads=1", *sys.argv[2:]])
    sys.exit(status)
