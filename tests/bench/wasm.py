"""Runs a program built for wasm32-wasip1 under wasmtime: `wasm.py PROGRAM.wasm [ARGUMENT…]`.

Calls to a proxy are there because the library brings them along; none is made, and each would answer Unimplemented (12).
"""
import sys

import wasmtime


def main(path, arguments):
    engine = wasmtime.Engine()
    module, linker, store = wasmtime.Module.from_file(engine, path), wasmtime.Linker(engine), wasmtime.Store(engine)
    linker.define_wasi()
    wasi = wasmtime.WasiConfig()
    wasi.argv = [path, *arguments]
    wasi.inherit_stdout()
    wasi.preopen_dir("/", "/")
    wasi.inherit_stderr()
    store.set_wasi(wasi)
    for i in module.imports:
        if i.module == "env":
            linker.define(store, i.module, i.name, wasmtime.Func(store, i.type, lambda *_: 12))
    start = linker.instantiate(store, module).exports(store)["_start"]
    try:
        start(store)
    except wasmtime.ExitTrap as e:
        return e.code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
