"""Copies a trace on standard input N times, each copy later than the one before. Usage: later.py N < TRACE"""
import json
import re
import sys

lines = sys.stdin.buffer.read().splitlines()
times = [json.loads(line)["t"] for line in lines]
span = max(times) - min(times) + 60
for i in range(int(sys.argv[1])):
    for line, t in zip(lines, times):
        sys.stdout.buffer.write(re.sub(rb'"t":[0-9.]+', b'"t":%.3f' % (t + i * span), line, count=1) + b"\n")
