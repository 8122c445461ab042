"""A small proxy-wasm host (ABI 0.2.1) on wasmtime: runs the shipped module with a clock of its own, and with calls missing or refused.

It is one thread and one VM. `refuse={"proxy_get_shared_data": 12}` answers a call with a status, `absent={…}` does not offer it at all.
"""
import os

import harness
import wasmtime

I32, I64 = wasmtime.ValType.i32(), wasmtime.ValType.i64()
UNIMPLEMENTED = 12
CONTINUE, PAUSE = 0, 1
START = 1_780_000_000_000_000_000
_ENGINES = {}


def compiled(wasm):
    """Engine and module; compiled once a process."""
    if wasm not in _ENGINES:
        c = wasmtime.Config()
        c.consume_fuel = True
        engine = wasmtime.Engine(c)
        _ENGINES[wasm] = engine, wasmtime.Module.from_file(engine, wasm)
    return _ENGINES[wasm]


def decode(data):
    n = int.from_bytes(data[:4], "little")
    sizes = [int.from_bytes(data[4 + 4 * i:8 + 4 * i], "little") for i in range(2 * n)]
    at, out = 4 + 8 * n, []
    for size in sizes:
        out.append(data[at:at + size].decode())
        at += size + 1
    return list(zip(out[::2], out[1::2]))


def encode(pairs):
    pairs = [(k.encode("latin-1") if isinstance(k, str) else k, v.encode("latin-1") if isinstance(v, str) else v) for k, v in pairs]
    out = len(pairs).to_bytes(4, "little")
    out += b"".join(len(k).to_bytes(4, "little") + len(v).to_bytes(4, "little") for k, v in pairs)
    return out + b"".join(k + b"\0" + v + b"\0" for k, v in pairs)


class Host:
    def __init__(self, config, refuse=(), absent=(), env=None, frozen=False, memory=None, wasm=harness.WASM, properties=None):
        self.config, self.refuse, self.frozen = config.encode(), dict(refuse), frozen
        self.now, self.mono = START, 1_000_000_000
        self.logs, self.metrics, self.names, self.shared, self.filter_state = [], {}, {}, {}, {}
        self.properties = {"source.address": b"10.0.0.1:1234", **(properties or {})}
        self.tick_ms, self.reply, self.headers, self.body, self.calls = 0, None, [], b"", {}
        self.http_calls, self.answer = [], ([], b"")
        engine, module = compiled(wasm)
        self.store = wasmtime.Store(engine)
        if memory:
            self.store.set_limits(memory_size=memory)
        self.store.set_fuel(10**12)
        wasi = wasmtime.WasiConfig()
        wasi.env = list((env or {}).items())
        self.store.set_wasi(wasi)
        linker = wasmtime.Linker(engine)
        linker.allow_shadowing = True
        linker.define_wasi()
        for i in module.imports:
            if i.name in absent:
                continue
            if i.module == "env":
                linker.define(self.store, "env", i.name, wasmtime.Func(self.store, i.type, self.call(i.name), access_caller=True))
            elif i.name == "random_get" and i.name in self.refuse:
                linker.define(self.store, i.module, i.name, wasmtime.Func(self.store, i.type, lambda *_: self.refuse["random_get"]))
            elif i.name == "clock_time_get":
                linker.define(self.store, i.module, i.name, wasmtime.Func(self.store, i.type, self.monotonic, access_caller=True))
        left = [i for i in module.imports if i.name in absent and i.module != "env"]
        if left:
            raise wasmtime.WasmtimeError(f"unknown import: {left[0].name}")
        self.instance = linker.instantiate(self.store, module)
        self.exports = self.instance.exports(self.store)
        self.memory = self.exports["memory"]
        self.next = 2
        if "_initialize" in self.exports:
            self.exports["_initialize"](self.store)
        self.run("proxy_on_context_create", 1, 0)
        self.run("proxy_on_vm_start", 1, 0)
        self.configured = self.run("proxy_on_configure", 1, len(self.config)) == 1

    # ---- the module's calls

    def monotonic(self, caller, clock, precision, out):
        self.poke(caller, out, self.mono.to_bytes(8, "little"))
        return 0

    def poke(self, caller, at, data):
        caller["memory"].write(caller, data, at)

    def peek(self, caller, at, n):
        return bytes(caller["memory"].read(caller, at, at + n))

    def give(self, caller, data, out, length):
        at = caller["proxy_on_memory_allocate"](caller, len(data)) if data else 0
        if data:
            self.poke(caller, at, data)
        self.poke(caller, out, at.to_bytes(4, "little"))
        self.poke(caller, length, len(data).to_bytes(4, "little"))
        return 0

    def call(self, name):
        short = name.removeprefix("proxy_")

        def go(caller, *args):
            self.calls[short] = self.calls.get(short, 0) + 1
            if name in self.refuse:
                return self.refuse[name]
            return getattr(self, "on_" + short)(caller, *args)
        return go

    def on_log(self, c, level, at, n):
        self.logs.append(self.peek(c, at, n).decode())
        return 0

    def on_get_current_time_nanoseconds(self, c, out):
        self.poke(c, out, self.now.to_bytes(8, "little"))
        return 0

    def on_set_tick_period_milliseconds(self, c, ms):
        self.tick_ms = ms
        return 0

    def on_get_buffer_bytes(self, c, kind, start, n, out, length):
        data = {0: self.body, 4: self.answer[1], 7: self.config}.get(kind)
        if data is None or start > len(data):
            return 1
        return self.give(c, data[start:start + n], out, length)

    def on_get_header_map_pairs(self, c, kind, out, length):
        return self.give(c, encode({0: self.headers, 6: self.answer[0]}.get(kind, [])), out, length)

    def on_add_header_map_value(self, c, kind, k, kn, v, vn):
        self.headers.append((self.peek(c, k, kn).decode(), self.peek(c, v, vn).decode()))
        return 0

    def on_remove_header_map_value(self, c, kind, k, kn):
        name = self.peek(c, k, kn).decode()
        self.headers = [(a, b) for a, b in self.headers if a.lower() != name]
        return 0

    def on_get_property(self, c, at, n, out, length):
        found = self.properties.get(self.peek(c, at, n).decode().replace("\0", "."))
        return 1 if found is None else self.give(c, found, out, length)

    def on_set_property(self, c, at, n, v, vn):
        self.filter_state[self.peek(c, at, n).decode()] = self.peek(c, v, vn).decode()
        return 0

    def on_send_local_response(self, c, status, d, dn, b, bn, h, hn, grpc):
        self.reply = status, self.peek(c, d, dn).decode()
        return 0

    def on_define_metric(self, c, kind, at, n, out):
        name = self.peek(c, at, n).decode()
        number = self.names.setdefault(name, len(self.names) + 1)
        self.metrics.setdefault(number, 0)
        self.poke(c, out, number.to_bytes(4, "little"))
        return 0

    def on_increment_metric(self, c, number, by):
        self.metrics[number] += by
        return 0

    def on_record_metric(self, c, number, value):
        self.metrics[number] = value
        return 0

    def on_set_effective_context(self, c, number):
        return 0

    def on_http_call(self, c, cluster, n, h, hn, body, bn, t, tn, timeout, token):
        self.http_calls.append((self.peek(c, cluster, n).decode(), decode(self.peek(c, h, hn)), self.peek(c, body, bn)))
        self.poke(c, token, len(self.http_calls).to_bytes(4, "little"))
        return 0

    def on_continue_stream(self, c, kind):
        return 0

    def on_get_shared_data(self, c, k, n, out, length, cas):
        found = self.shared.get(self.peek(c, k, n))
        if not found:
            return 1
        self.poke(c, cas, found[1].to_bytes(4, "little"))
        return self.give(c, found[0], out, length)

    def on_set_shared_data(self, c, k, n, v, vn, cas):
        key = self.peek(c, k, n)
        old = self.shared.get(key)
        if old and cas not in (0, old[1]):
            return 8
        self.shared[key] = self.peek(c, v, vn), (old[1] if old else 0) + 1
        return 0

    # ---- what a proxy does

    def run(self, name, *args):
        before = self.store.get_fuel()
        result = self.exports[name](self.store, *args)
        self.fuel = before - self.store.get_fuel()
        return result

    def answer_call(self, headers, body):
        """The last call of the module ends."""
        self.answer = headers, body
        self.run("proxy_on_http_call_response", 1, len(self.http_calls), len(headers), len(body), 0)

    def stat(self, *parts):
        return sum(self.metrics[n] for name, n in self.names.items() if all(p in name for p in parts))

    def pass_time(self, seconds):
        """Time goes by; ticks come if there is a timer."""
        if not self.frozen:
            self.now += int(seconds * 1e9)
            self.mono += int(seconds * 1e9)
        if self.tick_ms:
            self.run("proxy_on_tick", 1)

    def request(self, key="good", body=b"", path="/v1/chat/completions", chunk=65_536, headers=None, trailers=False, end_told=True, patience=0.0):
        """Status of our answer, 0 if the request goes on to the upstream, None if it is still held after `patience` seconds. Fuel by callback in `self.spent`."""
        number, self.next, self.reply, self.spent = self.next, self.next + 1, None, {}
        self.headers = headers if headers is not None else [
            (":method", "POST"), (":path", path), (":authority", "api.example.com"), ("content-type", "application/json"),
            ("content-length", str(len(body))), ("x-api-key", key)]
        self.run("proxy_on_context_create", number, 1)
        action = self.run("proxy_on_request_headers", number, len(self.headers), int(not body and not trailers))
        self.spent["headers"] = self.fuel
        pieces = [body[i:i + chunk] for i in range(0, len(body), chunk)]
        self.body = b""
        for i, piece in enumerate(pieces):
            if self.reply:
                break
            self.body = self.body + piece if action == PAUSE else piece
            last = i + 1 == len(pieces) and not trailers and end_told
            action = self.run("proxy_on_request_body", number, len(self.body), int(last))
            self.spent["body"] = max(self.spent.get("body", 0), self.fuel)
        if trailers and not self.reply:
            action = self.run("proxy_on_request_trailers", number, 1)
        self.waited = action == PAUSE and not self.reply
        if self.waited and not end_told:
            self.pass_time(0.2)
        for _ in range(int(patience * 10)):
            if action == PAUSE and not self.reply:
                self.pass_time(0.1)
        held = action == PAUSE and not self.reply
        self.run("proxy_on_delete", number)
        return self.reply[0] if self.reply else None if held else 0

    def socket(self, path, headers, frames):
        """A WebSocket: the handshake, then what the client says. It ends with the last frame, or when a message is rejected."""
        number, self.next, self.reply = self.next, self.next + 1, None
        self.headers = [(":method", "GET"), (":path", path), (":authority", "api.example.com"), *headers]
        self.run("proxy_on_context_create", number, 1)
        action = self.run("proxy_on_request_headers", number, len(self.headers), 0)
        self.body = b""
        for frame in frames:
            if self.reply:
                break
            self.body = self.body + frame if action == PAUSE else frame
            action = self.run("proxy_on_request_body", number, len(self.body), 0)
        self.run("proxy_on_delete", number)
        return self.reply[0] if self.reply else 0

    def pages(self):
        return self.memory.size(self.store)


def available():
    return os.path.exists(harness.WASM)
