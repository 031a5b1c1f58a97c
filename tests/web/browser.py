# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's Chromium for tests and pictures of the page: headless, drawn by software, without a profile of anybody."""

from contextlib import contextmanager

from selenium import webdriver
from selenium.webdriver.chrome.service import Service


class Browser(webdriver.Chrome):
    """Chromium at the size of a device."""

    def set_device(self, width, height, phone=False):
        self.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone})

    def errors(self):
        """What the page wrote to its console as an error: such as a refusal by its CSP."""
        return [entry["message"] for entry in self.get_log("browser") if entry["level"] == "SEVERE"]


@contextmanager
def open_browser(url, width=1440, height=900):
    """A browser that shows a page."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--use-gl=angle", "--use-angle=swiftshader",
                     "--enable-unsafe-swiftshader", "--hide-scrollbars", "--no-proxy-server", "--disable-background-networking"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = Browser(options=options, service=Service("/usr/bin/chromedriver"))
    browser.set_page_load_timeout(60)
    try:
        browser.set_device(width, height)
        browser.get(url)
        yield browser
    finally:
        browser.quit()
