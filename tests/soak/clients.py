"""Who asks: honest keys, campaigns, malformed and abusive clients. Each class counts its answers; nobody stops because of one."""
import heapq
import json
import os
import random
import socket
import threading
import time
from collections import Counter

from harness import Connection, read_reply, request
from place import HOUR_S, SCALE
from traffic import TEMPLATES, model_now, words

DAY_S = 86_400
APP = ("You are the assistant of a library and help its readers to find books, to renew what they have borrowed and to understand the rules of the house. "
       "Answer in two sentences, name the shelf, and ask for the number of the card only if a loan is to be renewed. ")


class Told:
    """What clients were answered."""

    def __init__(self):
        self.lock = threading.Lock()
        self.statuses, self.slowest = {}, {}  # by class
        self.keys = {}  # key -> Counter of statuses, of campaigns and of who goes beyond a limit
        self.honest_refused, self.failed = [], []  # (time, proxy, class, key, status, body)

    def note(self, kind, proxy, key, reply, began):
        took, now = time.time() - began, time.time()
        with self.lock:
            self.statuses.setdefault(kind, Counter())[reply.status] += 1
            self.slowest[kind] = max(self.slowest.get(kind, 0), took)
            if kind not in ("honest", "malformed"):
                self.keys.setdefault(key, Counter())[reply.status] += 1
            row = (now, proxy, kind, key, reply.status, reply.body[:300])
            if kind == "honest" and reply.status == 429:
                self.honest_refused.append(row)
            if reply.status >= 500 or (reply.status == 0 and kind != "malformed"):
                self.failed.append(row)


class Client(Connection):
    """One whose proxy may die in the middle of an answer."""

    lost = (OSError, ValueError, IndexError)


class Class(threading.Thread):
    """Actors of one kind that take turns: an actor is a function that sends and says after how many seconds it wants to again (or never)."""

    def __init__(self, name, place, told, seed):
        super().__init__(daemon=True)
        self.kind, self.place, self.told, self.rng = name, place, told, random.Random(f"{seed} {name}")
        self.stopped, self.due, self.number = threading.Event(), [], 0
        self.clients = [Client(e.port, timeout=20) for e in place.proxies]

    def add(self, actor, within):
        self.number += 1
        heapq.heappush(self.due, (time.time() + self.rng.random() * within, self.number, actor))

    def send(self, key, data, proxy=None):
        proxy = self.rng.randrange(len(self.clients)) if proxy is None else proxy
        began = time.time()
        reply = self.clients[proxy].ask(data)
        self.told.note(self.kind, proxy, key, reply, began)
        return reply

    def run(self):
        while not self.stopped.is_set() and self.due:
            at, number, actor = heapq.heappop(self.due)
            if self.stopped.wait(max(0, at - time.time())):
                break
            after = actor()
            if after is not None:
                # What was missed while a proxy stood still is not made up for.
                heapq.heappush(self.due, (max(at + after, time.time()), number, actor))
        for c in self.clients:
            c.close()


def talk(*texts):
    """A conversation: what the user says, and answers between."""
    messages = []
    for text in texts:
        messages += [{"role": "assistant", "content": "That is so."}, {"role": "user", "content": text}] if messages else [{"role": "user", "content": text}]
    return {"model": "m", "messages": messages}


class Honest(Class):
    """People, of whom some follow up and all sleep; users of an application; timers; newcomers who try it a few times."""

    def __init__(self, *args, plants, people=160, app=40, cron=8):
        super().__init__("honest", *args)
        self.plants = plants
        for i in range(people):
            self.add(self.person(f"h-{self.ident()}-{i}", self.rng.uniform(1, 8), 0.3), 4 * HOUR_S)
        for i in range(app):
            self.add(self.person(f"a-{self.ident()}-{i}", self.rng.uniform(2, 9), 0.6, APP), 4 * HOUR_S)
        for i in range(cron):
            self.add(self.timer(f"t-{self.ident()}-{i}"), 2 * HOUR_S)
        self.add(self.newcomer, 1)

    def ident(self):
        return f"{self.plants['bearer']}-{os.getpid()}"

    def headers(self, key, days=200):
        return [("authorization", f"Bearer {key}"), ("x-created", str(model_now(SCALE) - days * DAY_S)), ("cookie", f"theme={self.plants['cookie']}"),
                ("user-agent", self.plants["agent"])]

    def ask(self, key, body, days=200):
        path = f"/v1/chat/completions?note={self.plants['query']}"
        self.send(key, request(path=path, body=body, headers=self.headers(key, days)))

    def person(self, key, hours, follows, instructions=""):
        said, bed, created = [], self.rng.randrange(24), 100 + self.rng.randrange(300)

        def actor():
            after = self.rng.expovariate(1 / (hours * HOUR_S))
            if (model_now(SCALE) // 3600 - bed) % 24 < 8:
                return after
            if not said or self.rng.random() > follows or len(said) > 5:
                said.clear()
            said.append(f"{self.plants['prompt']} {words(self.rng, 14)}")
            body = talk(*said)
            if instructions:
                body["messages"].insert(0, {"role": "system", "content": instructions})
            self.ask(key, body, created)
            return after
        return actor

    def timer(self, key):
        what = words(self.rng, 20)

        def actor():
            self.ask(key, talk(f"{what} for the report of this hour"))
            return 3 * HOUR_S
        return actor

    def newcomer(self):
        key = f"n-{self.ident()}-{self.number}"
        left = [self.rng.randrange(1, 4)]

        def actor():
            self.ask(key, talk(words(self.rng, 12)), days=1)
            left[0] -= 1
            return self.rng.uniform(0.2, 2) * HOUR_S if left[0] else None
        self.add(actor, 0.1)
        return 0.8


class Campaign(Class):
    """90 young accounts on one template at one request an hour; after `lasts` seconds others come with another one."""

    def __init__(self, *args, plants, accounts=90, lasts=240):
        super().__init__("campaign", *args)
        self.plants, self.accounts, self.lasts, self.campaigns = plants, accounts, lasts, []
        self.add(self.come, 0)

    def come(self):
        n = len(self.campaigns)
        template = TEMPLATES[n] if n < len(TEMPLATES) else f"{words(self.rng, 30)} {words(self.rng, 12)} "
        until, created, keys = time.time() + self.lasts, model_now(SCALE) - 3 * DAY_S, [f"c{n}-{self.plants['bearer']}-{i}" for i in range(self.accounts)]
        self.campaigns.append((time.time(), keys))
        for key in keys:
            self.add(self.account(key, template, created, until), HOUR_S)
        return self.lasts

    def account(self, key, template, created, until):
        def actor():
            body = talk(f"{template}{self.plants['campaign prompt']} {words(self.rng, 14)}")
            self.send(key, request(body=body, headers=[("authorization", f"Bearer {key}"), ("x-created", str(created))]))
            after = self.rng.expovariate(1 / HOUR_S)
            return after if time.time() + after < until else None
        return actor


class Abusive(Class):
    """Who sends more than a limit allows; a denied key; bodies that come a byte at a time or never end; large bodies; many credentials."""

    def __init__(self, *args, plants, denied):
        super().__init__("abusive", *args)
        self.plants, self.denied, self.slow = plants, denied, []
        self.hard = [f"over-{plants['bearer']}-{i}" for i in range(2)]
        self.tenant = f"tenant-{plants['tenant']}"
        for key in self.hard:
            self.add(self.hammer(key, 0.05), 0.05)
        for i in range(4):
            self.add(self.hammer(f"crowd-{i}", 0.1, [("x-tenant", self.tenant)]), 0.1)
        self.add(self.knock, 1)
        self.add(self.drip, 1)
        self.add(self.heavy, 1)
        self.add(self.crowded, 1)

    def hammer(self, key, every, headers=()):
        def actor():
            text = f"{self.plants['abuse']} {words(self.rng, 6)}"
            self.send(key, request(body=talk(text), headers=[("x-api-key", key), *headers, ("x-created", str(model_now(SCALE) - 300 * DAY_S))]))
            return every
        return actor

    def knock(self):
        """The denied key, on paths and methods of its choice."""
        path = self.rng.choice(["/v1/chat/completions", "/v1/messages", "/v1/models", "/", "//v1/chat/completions"])
        method = self.rng.choice(["POST", "POST", "GET", "PUT"])
        self.send(self.denied, request(path=path, body=talk(words(self.rng, 8)), headers=[("x-api-key", self.denied)], method=method))
        return 0.3

    def drip(self):
        """Begins a body and never ends it."""
        try:
            s = socket.create_connection(("127.0.0.1", self.rng.choice(self.clients).port), timeout=2)
            s.sendall(request(body=talk(f"{self.plants['never ends']} {words(self.rng, 9)}"), headers=[("x-api-key", "drips")])[:-30])
            self.slow.append(s)
        except OSError:
            pass
        while len(self.slow) > 12:
            self.slow.pop(0).close()
        return 0.4

    def heavy(self):
        text = (f"{self.plants['heavy']} {words(self.rng, 40)} " * 900)[:self.rng.randrange(50_000, 400_000)]
        self.send("heavy", request(body=talk(text), headers=[("x-api-key", f"heavy{self.rng.randrange(30)}")]))
        return 3

    def crowded(self):
        n = self.rng.choice([20, 60, 90])
        self.send("many", request(body=talk(words(self.rng, 9)), headers=[("x-api-key", f"{self.plants['many']}{self.rng.randrange(10_000)}") for _ in range(n)]))
        return 2


class Malformed(Class):
    """Bytes that are no request, no JSON, or not what they say."""

    PATHS = ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1beta/models/x:generateContent", "/model/x/invoke", "/api/generate", "/v1/files",
             "/v1/realtime", "/v1/batches", "/x"]
    ALPHABET = b'{}[]",:\\u0123abc \x00\xff\xc3messagescontentroleuser'

    def __init__(self, *args, plants):
        super().__init__("malformed", *args)
        self.plants = plants
        for i in range(6):
            self.add(self.one, 1)

    def body(self):
        r, whole = self.rng, json.dumps(talk(f"{self.plants['malformed']} {words(self.rng, 9)}")).encode()
        return r.choice([
            lambda: bytes(r.choice(self.ALPHABET) for _ in range(r.randrange(0, 400))),
            lambda: whole[:r.randrange(len(whole))],
            lambda: b"[" * r.randrange(1, 5_000),
            lambda: whole.replace(b'"m"', b"NaN"),
            lambda: b"\xef\xbb\xbf" + whole + whole,
            lambda: whole.decode().encode("utf-16"),
            lambda: b"\x1f\x8b\x08\x00" + os.urandom(60),
            lambda: r.randbytes(r.randrange(3_000)),
        ])()

    def raw(self):
        r = self.rng
        value = bytes(r.choice(b"\x80\xffabc ;=,\"") for _ in range(r.randrange(1, 30)))
        headers = [("x-api-key", value), ("authorization", b"Bearer " + value), ("x-forwarded-for", value), ("x-created", value)]
        headers += r.choice([[], [("content-encoding", r.choice(["gzip", "zstd", "br", "odd"]))], [("content-type", "multipart/form-data; boundary=x")],
                             [("content-length", str(r.randrange(10_000)))], [("transfer-encoding", "chunked")],
                             [(f"x-h{i}", "v" * 100) for i in range(r.randrange(120))], [("upgrade", "websocket"), ("connection", "upgrade")]])
        return request(path=r.choice(self.PATHS), body=self.body(), headers=headers, method=r.choice(["POST", "POST", "POST", "GET", "BREW"]))

    def one(self):
        began, proxy = time.time(), self.rng.randrange(len(self.clients))
        try:
            with socket.create_connection(("127.0.0.1", self.clients[proxy].port), timeout=1) as s:
                data = self.raw()
                s.sendall(data if self.rng.random() < 0.9 else data[:self.rng.randrange(len(data))])
                self.told.note("malformed", proxy, "", read_reply(s), began)
        except (OSError, ValueError, IndexError):
            pass
        return 0.4
