from xml.etree.ElementTree import Element, fromstring

from llm_proxy_site.bench.at_once import AtOnce
from llm_proxy_site.bench.charts import svg
from llm_proxy_site.bench.results import Results

from .cells import cell

NAMESPACE = "{http://www.w3.org/2000/svg}"


def test_bars_are_as_long_as_their_values() -> None:
    drawn = _draw(Results([cell("proxy", {"requests_per_second": 50}), cell("upstream")]))

    proxy, upstream = _bars(drawn)[:2]

    assert upstream == 20 * proxy
    assert {"Requests a second, closed loop", "json-1", "proxy", "50.0", "1000"} <= _words(drawn)


def test_what_was_not_measured_has_no_chart() -> None:
    words = _words(_draw(Results(cold_starts={"proxy": [1.0, 3.0, 2.0]})))
    assert words == {"Cold start, s", "proxy", "2.00"}


def test_names_cannot_break_the_picture() -> None:
    assert "a<b&c" in _words(_draw(Results(cold_starts={"a<b&c": [1.0]})))


def test_streams_are_drawn_up_to_the_last_number_that_was_served() -> None:
    steps = [AtOnce(50, 50, 0.5, 1.0), AtOnce(100, 99, 0.5, 1.0)]
    assert {"50.0"} <= _words(_draw(Results(at_once={"proxy": steps})))


def _draw(results: Results) -> Element:
    return fromstring(svg(results))  # noqa: S314 (our own)


def _bars(drawn: Element) -> list[float]:
    return [float(one.attrib["width"]) for one in drawn.iter(f"{NAMESPACE}rect") if "x" in one.attrib]


def _words(drawn: Element) -> set[str | None]:
    return {one.text for one in drawn.iter(f"{NAMESPACE}text")} - {None}
