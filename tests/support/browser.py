"""A real Chromium for the tests of pages: what a person sees, presses and cannot use."""
import os
import shutil
import time

from harness import ROOT

AXE = os.path.join(ROOT, "target", "axe", "axe.min.js")
FIX = "run `make setup-browser` (Chromium and its driver of Debian, selenium, axe-core)"
WIDE, PHONE = (1200, 900), (360, 780)


def chromium():
    """A driver of a browser of its own. Fails, with the fix, where there is none."""
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        raise AssertionError(f"there is no selenium: {FIX}") from None
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert browser and driver and os.path.exists(AXE), f"there is no Chromium, no driver or no axe-core: {FIX}"
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(driver))


class Page:
    """A page in a browser."""

    def __init__(self, url):
        self.driver = chromium()
        self.size(WIDE)
        self.driver.get(url)

    def close(self):
        self.driver.quit()

    def size(self, size):
        """The window's inside, whatever the browser's least window is."""
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False})

    def scheme(self, name):
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": name}]})

    def js(self, text, *args):
        return self.driver.execute_script(text, *args)

    def all(self, css):
        return self.driver.find_elements("css selector", css)

    def one(self, css):
        return self.driver.find_element("css selector", css)

    def text(self, css):
        return self.js("return document.querySelector(arguments[0])?.textContent ?? ''", css)

    def shown(self, css):
        return any(e.is_displayed() for e in self.all(css))

    def keys(self, *keys):
        """Typed where the focus is."""
        from selenium.webdriver import ActionChains
        for k in keys:
            ActionChains(self.driver).send_keys(k).perform()

    def tab_to(self, label, most=80, field=None):
        """Presses Tab until what has the focus is called so, or is the field of this id."""
        from selenium.webdriver.common.keys import Keys
        for _ in range(most):
            self.keys(Keys.TAB)
            name, at = self.js("const a = document.activeElement; return [a.getAttribute('aria-label') || a.textContent, a.id]")
            if (at == field if field else name == label):
                return
        raise AssertionError(f"the keyboard does not reach {field or label!r}")

    def wait(self, what, seconds=20, why="it did not come to pass on the page"):
        """Until it is so; how long that took."""
        begun = time.time()
        while not what():
            assert time.time() < begun + seconds, f"{why}: {self.text('#notice')} {self.text('#act-error')}"
            time.sleep(0.02)
        return time.time() - begun

    def violations(self):
        """What axe-core finds that is serious or critical."""
        with open(AXE) as h:
            self.js(h.read())
        found = self.driver.execute_async_script("const done = arguments[0]; axe.run(document).then(done, e => done({error: String(e)}))")
        assert "violations" in found and found["passes"], found
        return [(v["id"], v["impact"], [n["html"][:160] for n in v["nodes"]]) for v in found["violations"] if v["impact"] in ("serious", "critical")]

    def overflow(self):
        """Pixels that the page is wider than its window."""
        return self.js("const d = document.documentElement; return Math.max(d.scrollWidth, document.body.scrollWidth) - d.clientWidth")

    def errors(self):
        """What the console has said since the last call that is no information."""
        return [e["message"] for e in self.driver.get_log("browser") if e["level"] in ("SEVERE", "WARNING")]

    def shot(self, path, height=None):
        """A picture of the window, or of so many pixels from the top; its bytes."""
        import base64
        width = self.js("return document.documentElement.clientWidth")
        clip = {"clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}} if height else {}
        got = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "webp", "quality": 75, "captureBeyondViewport": bool(height), **clip})
        data = base64.b64decode(got["data"])
        with open(path, "wb") as h:
            h.write(data)
        return len(data)
