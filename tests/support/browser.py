"""A real browser without a screen: Chromium, driven by Selenium.

Promises: inside the `with` block it runs, with a profile of its own; afterwards it is gone. What
its console says is kept, a violation of the Content-Security-Policy included.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support.processes import PROGRAMS_PATH


class Browser:
    """One window."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver

    def open(self, url: str) -> None:
        self._driver.get(url)

    def screen(self, width: int, scheme: str = "light") -> None:
        """As wide as a phone or a desk's screen, and light or dark."""
        self._tell(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 1600, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._tell("Emulation.setEmulatedMedia", {"features": [feature]})

    def text(self, selector: str = "body") -> str:
        """What a person can read there."""
        return self._driver.find_element(By.CSS_SELECTOR, selector).text

    def run(self, script: str) -> object:
        """The value of some JavaScript, a `return` included."""
        return self._driver.execute_script(script)

    def press_enter_on(self, selector: str) -> None:
        """Go there by the keyboard and press Enter."""
        self._driver.find_element(By.CSS_SELECTOR, selector).send_keys(Keys.ENTER)

    def console(self) -> list[str]:
        """What the console says since this was last asked, in the order of its coming."""
        return [entry["message"] for entry in self._driver.get_log("browser")]

    def picture(self, file: Path) -> bytes:
        """A screenshot, which is written to a file for people too."""
        content = self._driver.get_screenshot_as_png()
        file.write_bytes(content)
        return content

    def _tell(self, command: str, arguments: dict[str, object]) -> None:
        self._driver.execute_cdp_cmd(command, arguments)


@contextlib.contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """A browser whose files are below `folder`."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium", path=PROGRAMS_PATH) or ""
    options.add_argument("--headless=new")
    options.add_argument(f"--user-data-dir={folder}")
    # Small containers have a small /dev/shm.
    options.add_argument("--disable-dev-shm-usage")
    if os.geteuid() == 0:
        # Chromium does not start for root with its sandbox.
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Given a driver, Selenium looks for none, here or in the net.
    driver = webdriver.Chrome(
        options=options, service=Service(shutil.which("chromedriver", path=PROGRAMS_PATH))
    )
    try:
        yield Browser(driver)
    finally:
        driver.quit()
