"""The page in Chromium under test: what it shows from moment to moment, and the alarm messages that it was given."""

from __future__ import annotations

from common.programs import ToolError, wait_for
from playwright.sync_api import Browser, BrowserContext, Page

from stress.subjects import Given

STEP_MS = 50  # between two looks at the page

# Every look: time, s of the page's clock; whether it says that something is not known; the words.
_WATCH = """(step) => {
  const log = window.__looks = [];
  const look = () => {
    const { store } = window.ecgMonitor;
    const banner = document.getElementById("banner");
    const cover = document.querySelector(".trace-box .cover:not([hidden]), .tile .cover:not([hidden])");
    const words = [banner.hidden ? "" : banner.textContent, cover ? cover.textContent : ""].filter(Boolean).join(" | ");
    log.push([performance.now() / 1000, cover !== null, words, store.link]);
    if (log.length > 20000) log.splice(0, 10000);
  };
  setInterval(look, step);
}"""
_GIVEN = "() => window.ecgMonitor.store.log.map(({ topic, body }) => [topic, body.epoch, body.seq])"
_ACTIVE = """() => window.ecgMonitor.store.beds.flatMap((bed) => bed.alarms().map((alarm) => alarm.alarm_id)).sort()"""
_READY = "() => window.ecgMonitor?.store.monitors.some((monitor) => monitor.position) ?? false"


class WebPage:
    """A page of its own browser context.

    Attributes:
    Args:
        browser: Chromium.
        address: of the web server.
        script: run before those of the page.

    Attributes:
        joined: topic -> run and number of the last alarm message before the page; it gets all later ones.
    """

    def __init__(self, browser: Browser, address: str, script: str = "") -> None:
        self.context: BrowserContext = browser.new_context(viewport={"width": 1000, "height": 700})
        if script:
            self.context.add_init_script(script)
        self.page: Page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(address)
        self.wait_until(_READY, "position of the page")
        self.page.evaluate(_WATCH, STEP_MS)
        self.wait_until_live(0.0)
        position = self.page.evaluate("() => window.ecgMonitor.store.monitors[0].position.topics")
        self.joined = {topic: (place["epoch"], place["seq"]) for topic, place in position.items()}

    def wait_until(self, condition: str, what: str) -> None:
        wait_for(lambda: self.page.evaluate(condition), what)

    def now_s(self) -> float:
        """The page's clock, s."""
        return float(self.page.evaluate("() => performance.now() / 1000"))

    def given(self) -> list[Given]:
        """The alarm messages that the page was given, oldest first."""
        return [(topic, epoch, seq) for topic, epoch, seq in reversed(self.page.evaluate(_GIVEN))]

    def active(self) -> list[str]:
        """Ids of the alarms that it shows as active."""
        return list(self.page.evaluate(_ACTIVE))

    def looks(self) -> list[tuple[float, bool, str, str]]:
        """What it showed: time, whether the trace was covered, words, link."""
        return [tuple(look) for look in self.page.evaluate("() => window.__looks")]

    def said_after(self, since_s: float) -> tuple[float | None, str]:
        """Time from `since_s` until the trace was covered, s, and the words then; None = it never was."""
        for at_s, covered, words, _ in self.looks():
            if at_s >= since_s and covered:
                return at_s - since_s, words
        return None, ""

    def wait_until_covered(self, since_s: float) -> None:
        wait_for(lambda: self.said_after(since_s)[0] is not None, "cover over the trace")

    def wait_until_live(self, since_s: float) -> float:
        """Wait until the trace is live and the page knows all alarms; time from `since_s` until then, s."""

        def live() -> bool:
            looks = self.looks()
            return bool(looks) and looks[-1][0] > since_s and not looks[-1][1] and looks[-1][3] == "open"

        wait_for(live, "live trace")
        uncovered_s = since_s
        for at_s, covered, _, link in self.looks():
            if at_s >= since_s and (covered or link != "open"):
                uncovered_s = at_s
        return uncovered_s - since_s

    def wait_for_alarm(self, newest: Given) -> None:
        """Wait until it was given an alarm message."""
        try:
            wait_for(lambda: newest in self.given(), "newest alarm on the page", 60.0)
        except ToolError:
            return  # the verdict reports it as lost

    def close(self) -> None:
        self.context.close()
