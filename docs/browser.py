"""A headless Chromium by its DevTools protocol over two pipes: opens a page, waits until nothing
more is loaded, takes its picture. Standard library only."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time


class Browser:
    """One page. `size` is (width, height) in CSS pixels."""

    def __init__(self, size=(1280, 800)):
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        if program is None:
            sys.exit("there is no chromium; docs/screenshots installs it")
        self.profile = tempfile.mkdtemp(prefix="cifarpipe-browser-")
        to_browser, self.write_end = os.pipe()
        self.read_end, from_browser = os.pipe()
        # The protocol is spoken on descriptors 3 and 4.
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{to_browser} 4>&{from_browser}', "bash", program,
             "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={self.profile}",
             "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
             "--disable-dev-shm-usage", "--disable-background-networking", "--force-color-profile=srgb",
             f"--window-size={size[0]},{size[1]}"],
            pass_fds=(to_browser, from_browser), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.buffer, self.count, self.session = b"", 0, None
        self.loading, self.quiet_since = set(), time.monotonic()
        self.complaints = []  # Errors on the page's console.
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1],
                  deviceScaleFactor=1, mobile=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def on_every_page(self, script):
        self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    def open(self, url, quiet=2.0, timeout=60):
        """Loads the page and waits until it has asked for nothing for `quiet` seconds."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)
        self.wait(quiet, timeout)

    def wait(self, quiet=2.0, timeout=60):
        self.quiet_since = time.monotonic()
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.receive(0.1)
            if not self.loading and time.monotonic() - self.quiet_since > quiet:
                return

    def evaluate(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True,
                           awaitPromise=True)
        return answer.get("result", {}).get("value")

    def text(self):
        return self.evaluate("document.body.innerText") or ""

    def picture(self, path):
        answer = self.call("Page.captureScreenshot", format="png")
        with open(path, "wb") as f:
            f.write(base64.b64decode(answer["data"]))

    def call(self, method, **parameters):
        self.count += 1
        number = self.count
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for answer in self.receive(1):
                if answer.get("id") == number:
                    if "error" in answer:
                        raise RuntimeError(f"{method}: {answer['error']}")
                    return answer["result"]
        raise RuntimeError(f"{method}: no answer")

    def receive(self, timeout):
        """Messages that are there; events are noted on the way."""
        ready, _, _ = select.select([self.read_end], [], [], timeout)
        if ready:
            data = os.read(self.read_end, 1 << 20)
            if not data:
                raise RuntimeError("the browser is gone")
            self.buffer += data
        *whole, self.buffer = self.buffer.split(b"\0")
        messages = [json.loads(message) for message in whole]
        for message in messages:
            self.note(message.get("method"), message.get("params", {}))
        return messages

    def note(self, event, parameters):
        if event == "Network.requestWillBeSent":
            self.loading.add(parameters["requestId"])
        elif event in ("Network.loadingFinished", "Network.loadingFailed"):
            self.loading.discard(parameters["requestId"])
        elif event == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.complaints.append(parameters["entry"].get("text", ""))
        elif event == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        else:
            return
        self.quiet_since = time.monotonic()
