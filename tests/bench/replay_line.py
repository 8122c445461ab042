"""One line about a `weir replay --json` summary on standard input; the arguments say what was run."""
import json
import sys

v = json.load(sys.stdin)
ns, size = v["ns_per_request"], v["bytes"] / v["requests"]
print(f"replay, {' '.join(sys.argv[1:]) or 'all cores'}: {v['requests']} requests of {size:.0f} bytes, {ns} ns each = "
      f"{10**9 // ns} requests/s, {size / ns * 1000:.0f} MB/s; state {v['state_bytes']} bytes")
