"""A real Prometheus that scrapes every second."""
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

from harness import ROOT, end, free_port


def program(name):
    """Path of `prometheus` or `promtool`. Fails, with the fix, where there is none."""
    own = os.path.join(ROOT, "target", "prometheus", "usr", "bin", name)
    found = shutil.which(name) or (own if os.path.exists(own) else None)
    assert found, f"there is no {name}: run `make setup-prometheus`"
    return found


class Prometheus:
    """`jobs`: {job: [(address, path), …]}; `rules`: files."""

    def __init__(self, jobs, rules):
        self.dir, self.port = tempfile.mkdtemp(prefix="weir-prometheus-"), free_port()
        scrape = [{"job_name": job if i == 0 else f"{job}-{i}", "metrics_path": path, "static_configs": [{"targets": [address]}],
                   "relabel_configs": [{"target_label": "job", "replacement": job}]}
                  for job, targets in jobs.items() for i, (address, path) in enumerate(targets)]
        config = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": rules, "scrape_configs": scrape}
        path = os.path.join(self.dir, "prometheus.json")
        with open(path, "w") as h:
            # YAML is a superset of JSON.
            json.dump(config, h)
        self.log = open(os.path.join(self.dir, "log"), "wb")
        self.process = subprocess.Popen(
            [program("prometheus"), f"--config.file={path}", f"--storage.tsdb.path={self.dir}/data", f"--web.listen-address=127.0.0.1:{self.port}"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        end = time.time() + 30
        while time.time() < end:
            assert self.process.poll() is None, open(self.log.name).read()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=2):
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("Prometheus is not ready: " + open(self.log.name).read())

    def api(self, path, **query):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=10) as r:
            return json.load(r)["data"]

    def query(self, expr):
        """The series that an expression has now."""
        return self.api("query", query=expr)["result"]

    def stop(self):
        end(self.process)
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)
