"""One line about a `weir replay --json` summary on standard input."""
import json
import sys

v = json.load(sys.stdin)
ns, size = v["ns_per_request"], v["bytes"] / v["requests"]
print(f"replay: {v['requests']} requests of {size:.0f} bytes, {ns} ns each in the engine = {10**9 // ns} requests/s, "
      f"{size / ns * 1000:.0f} MB/s; state {v['state_bytes']} bytes")
