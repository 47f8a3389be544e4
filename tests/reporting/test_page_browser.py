"""A page in a browser: nothing is asked of anybody, all pictures are there, nothing hangs over the side."""

import os
import shutil

import numpy as np
import pytest

import kerascnn

CHROMIUM = os.environ.get("KERASCNN_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = ["--no-sandbox", "--disable-gpu"]
HANGING = """[...document.querySelectorAll("main *")].filter(
  each => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest("[tabindex], details, svg")
).map(each => each.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def page(model, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "x.html"
    names = ["a", "b" * 80, "<script>alert(1)</script>", "d"]
    only = ["cards", "anatomy", "filters", "health", "transfer", "appendix"]
    kerascnn.report(model, data, effort="quick", class_names=names, only=only, out=path)
    return path


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM:
        pytest.skip("no chromium on this machine; KERASCNN_CHROMIUM names one")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield running
        running.close()


@pytest.fixture
def opened(browser, page):
    """Open the page; what the browser complained of and asked for."""

    def open_page(**options):
        context = browser.new_context(**options)
        tab = context.new_page()
        tab.said, tab.asked = [], []
        tab.on("console", lambda message: tab.said.append(message.text))
        tab.on("pageerror", lambda error: tab.said.append(str(error)))
        tab.on("dialog", lambda dialog: (tab.said.append(dialog.message), dialog.dismiss()))
        tab.on("request", lambda request: tab.asked.append(request.url))
        tab.goto(page.as_uri())
        return tab

    return open_page


@pytest.mark.nightly
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_opens_without_errors_requests_or_overflow(opened, page, width, theme):
    tab = opened(viewport={"width": width, "height": 900}, color_scheme=theme)
    pictures = tab.evaluate("[...document.images].map(each => each.complete && each.naturalWidth)")
    assert len(pictures) >= 3
    assert all(pictures)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate(HANGING) == []
    assert tab.said == []
    assert [url for url in tab.asked if not url.startswith("data:")] == [page.as_uri()]


@pytest.mark.nightly
def test_text_is_the_same_without_javascript(opened):
    text = [opened(java_script_enabled=on).locator("main").inner_text() for on in (True, False)]
    assert text[0] == text[1]
    assert "Summary" in text[0]


@pytest.mark.nightly
def test_print_expands_folded_sections(opened):
    tab = opened(viewport={"width": 1000, "height": 900})
    last = tab.locator("details table").last
    assert not last.is_visible()
    tab.emulate_media(media="print")
    assert last.bounding_box()["height"] > 20
    assert not tab.locator("nav").is_visible()


@pytest.mark.nightly
def test_themes_differ(opened):
    shots = [opened(color_scheme=theme).screenshot() for theme in ("light", "dark")]
    assert shots[0] != shots[1]
    assert np.all([len(shot) > 1000 for shot in shots])
