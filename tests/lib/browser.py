# SPDX-License-Identifier: MIT
"""A real browser for tests of pages: Debian's Chromium without a window, by way of its DevTools protocol over two pipes.

    with Browser(scratch) as browser:
        page = browser.open("file:///...", width=1280, height=900)
        page.run("document.title")
"""

import base64
import json
import os
import shutil
import subprocess
import threading
import time

TIMEOUT_S = 30


def program():
    """The browser, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Page:
    def __init__(self, browser, session):
        self._browser, self._session = browser, session

    def call(self, method, **params):
        return self._browser.call(method, self._session, **params)

    def run(self, script):
        """The value of an expression in the page."""
        got = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in got:
            raise AssertionError(f"{script}: {got['exceptionDetails']}")
        return got["result"].get("value")

    def click(self, selector, nr=0):
        self.run(f"document.querySelectorAll({json.dumps(selector)})[{nr}].click()")

    def type(self, selector, text):
        self.run(f"(e => {{ e.value = {json.dumps(text)}; e.dispatchEvent(new Event('input', {{bubbles: true}})); "
                 f"e.dispatchEvent(new Event('change', {{bubbles: true}})); }})(document.querySelector({json.dumps(selector)}))")

    def key(self, key, code=0):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, text=key if len(key) == 1 and kind == "keyDown" else "")

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def wait(self, script, timeout_s=10):
        """Waits until an expression is true; its value."""
        end = time.monotonic() + timeout_s
        while not (value := self.run(script)):
            if time.monotonic() > end:
                raise AssertionError(f"never true: {script}")
            time.sleep(0.05)
        return value

    def picture(self, path):
        with open(path, "wb") as stream:
            stream.write(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]))


class Browser:
    def __init__(self, scratch):
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        command = [program(), "--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", f"--user-data-dir={scratch}/browser"]
        if os.geteuid() == 0:
            command.append("--no-sandbox")

        def pipes():
            """The browser reads descriptor 3 and writes 4, whatever these were before."""
            a, b = os.dup(to_read), os.dup(to_write)
            os.dup2(a, 3, True)
            os.dup2(b, 4, True)

        self._process = subprocess.Popen(command, close_fds=False, preexec_fn=pipes, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(to_read)
        os.close(to_write)
        self._next = 0
        self._answers = {}
        self._changed = threading.Condition()
        self.said = []  # what pages wrote to the console, and exceptions
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        rest = b""
        while chunk := os.read(self._from, 1 << 16):
            *whole, rest = (rest + chunk).split(b"\0")
            for text in whole:
                self._take(json.loads(text))
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self, message):
        with self._changed:
            if "id" in message:
                self._answers[message["id"]] = message
                self._changed.notify_all()
            elif message["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                self.said.append(json.dumps(message["params"])[:400])

    def call(self, method, session=None, **params):
        with self._changed:
            self._next += 1
            number = self._next
        text = {"id": number, "method": method, "params": params, **({"sessionId": session} if session else {})}
        os.write(self._to, json.dumps(text).encode() + b"\0")
        with self._changed:
            if not self._changed.wait_for(lambda: number in self._answers or self._ended, TIMEOUT_S) or number not in self._answers:
                raise AssertionError(f"the browser did not answer {method}")
            answer = self._answers.pop(number)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer["result"]

    def open(self, url, width=1280, height=900, dark=False, mobile=False):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        page = Page(self, self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        for domain in ("Page", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        page.call("Emulation.setFocusEmulationEnabled", enabled=True)
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        page.call("Page.navigate", url=url)
        page.wait("document.readyState === 'complete' && location.href !== 'about:blank'")
        return page

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(5)
        os.close(self._to)
        os.close(self._from)
