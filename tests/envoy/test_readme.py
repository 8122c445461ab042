"""The commands of the README's "Use it", as they stand, on a real Envoy: only ports are others, and what `make` would build is there."""
import os
import re
import signal
import subprocess

from harness import ENVOY, ROOT, free_port


def block():
    with open(os.path.join(ROOT, "README.md")) as h:
        page = h.read()
    part = re.search(r"\n## Use it\n(.*?)\n## ", page, re.S).group(1)
    blocks = re.findall(r"```sh\n(.*?)```", part, re.S)
    assert len(blocks) == 1
    return blocks[0]


def test_the_first_request_by_hand(tmp_path):
    ports = {"10000": free_port(), "9901": free_port(), "8000": free_port()}
    script = block()
    for told, free in ports.items():
        assert re.search(rf"\b{told}\b", script)
        script = re.sub(rf"\b{told}\b", str(free), script)
    # `make envoy-config` without its builds: `make test-envoy` has made the module and the command line.
    moved = "; ".join(f"s/port_value: {told}\\b/port_value: {free}/" for told, free in ports.items())
    make = f"""
make() {{
  case "$1" in
    weir) ;;
    envoy-config) env "$2" python3 -B '{ROOT}/tests/support/harness.py' target/envoy.yaml && sed -i -E '{moved}' target/envoy.yaml ;;
    *) echo "make $*: not in this test" >&2; return 9 ;;
  esac
}}
"""
    os.makedirs(tmp_path / "target" / "venv")
    os.symlink(os.path.join(ROOT, "target", "weir"), tmp_path / "target" / "weir")
    os.symlink(ENVOY, tmp_path / "target" / "venv" / "envoy")
    out, err = tmp_path / "out", tmp_path / "err"
    with open(out, "w") as o, open(err, "w") as e:
        run = subprocess.Popen(["bash", "-c", make + script], cwd=tmp_path, stdout=o, stderr=e, start_new_session=True)
        try:
            run.wait(120)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # What it started and did not end: the group is its own.
            try:
                os.killpg(run.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            run.wait()
    log = tmp_path / "envoy.log"
    told = out.read_text()
    said = told + err.read_text() + (log.read_text()[-4000:] if log.exists() else "")
    assert re.findall(r"^HTTP/1.1 (\d+)", told, re.M) == ["200", "200", "200", "429"], said
    assert re.search(r'weir_requests\{.*action="allow".*\} 3$', told, re.M), said
    assert re.search(r'weir_requests\{.*action="throttle".*\} 1$', told, re.M), said
    assert "A limit of the configuration (`limits`) was exceeded" in told, said
