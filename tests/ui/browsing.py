"""What a person does in the browser, and sees there."""

from urllib.parse import parse_qs, urlencode, urlsplit


def at(application, **state):
    return f"{application.address}?{urlencode(state)}"


def titles(page, where="#results"):
    return page.locator(f"{where} .card .title").all_inner_texts()


def search(page, query, instruction=None):
    if instruction is not None:
        page.fill("#instruction textarea", instruction)
    page.fill("#query textarea", query)
    page.press("#query textarea", "Enter")
    page.wait_for_function(
        "q => (document.querySelector('#results [data-asked]')?.dataset.asked || '').includes(JSON.stringify(q))",
        arg=query,
    )
    page.wait_for_selector("#results .card, #results .panel")


def act(page, until, *clicks, **boxes):
    """Fill in boxes and click, until the effect is seen.

    On a busy machine a page that is still drawing gives a box that was just opened its old value late, and has dropped
    clicks (of those that are pressed while it draws anew, see below, the page makes up); a person would do it once more.
    """
    from playwright.sync_api import TimeoutError as Late

    for _ in range(6):
        for name, text in boxes.items():
            page.fill(f"#{name} textarea", text)
        for click in clicks:
            page.click(click)
        try:
            return page.wait_for_selector(until, timeout=15_000)
        except Late:
            continue
    raise AssertionError(f"{clicks} six times with {boxes}, and there is no {until}")


def here(page):
    """Return the page's address as the page itself knows it."""
    return page.evaluate("location.href")


def wait_until_here(page, address):
    """Wait until the page is at an address."""
    page.wait_for_function("address => location.href === address", arg=address, timeout=20_000)


def named(page):
    """Return what the page's address holds."""
    return {key: value[0] for key, value in parse_qs(urlsplit(here(page)).query).items()}


def choose(page, name):
    page.click("#collection input")
    page.click(f"#collection [role=option]:has-text('{name}'), ul[role=listbox] [role=option]:has-text('{name}')")
    page.wait_for_function("n => document.querySelector('#collection input').value === n", arg=name)


def wait_for_address(page, **wanted):
    held = "w => { const p = new URLSearchParams(location.search); return Object.entries(w).every(([k, v]) => p.get(k) === v); }"
    page.wait_for_function(held, arg=wanted, timeout=20_000)


def wait_for_hits(page, word, where="#results", timeout=20_000):
    seen = "([w, t]) => [...document.querySelectorAll(w + ' .from')].some(n => n.innerText.includes(t))"
    page.wait_for_function(seen, arg=[where, word], timeout=timeout)
