"""Real Chromium, without a window: what a page looks like, what it prints, what it complains of. As a command:
headless.py PAGE OUT.png [light|dark] [WIDTHxHEIGHT] [SCALE] takes a picture."""
import os
import shutil
import subprocess
import sys
import tempfile

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
# A light page's scheme is 1, a dark one's is 0.
SCHEMES = {"light": "1", "dark": "0"}


def run(page, *args, scheme="light", size="1000x1400"):
    """Opens a file; what Chromium wrote on standard output, and the complaints of the page's console."""
    assert CHROMIUM, "there is no chromium: make setup-browser"
    with tempfile.TemporaryDirectory(prefix="weir-browser-") as profile:
        done = subprocess.run(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr", "--v=0",
             f"--user-data-dir={profile}", f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
             f"--window-size={size.replace('x', ',')}", *args, "file://" + os.path.abspath(page)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def picture(page, out, scheme="light", size="1000x1400", scale="1"):
    """Takes a picture of a page; the complaints of its console."""
    return run(page, f"--screenshot={os.path.abspath(out)}", f"--force-device-scale-factor={scale}", scheme=scheme, size=size)[1]


if __name__ == "__main__":
    for complaint in picture(*sys.argv[1:]):
        print(complaint, file=sys.stderr)
