import html.parser
import json
import re
from urllib.parse import unquote

import pytest

from regrax.experiments import audit, report
from regrax.experiments.reproduce import Options, reproduce, select


class Page(html.parser.HTMLParser):
    """Collects links, ids and unbalanced tags."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.open, self.tags = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append(tag)
        self.links += [given[name] for name in ("href", "src") if name in given]
        self.ids += [given["id"]] if "id" in given else []
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(paper, broken_paper, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("results")
    papers = {p.name: p for p in (paper, broken_paper)}
    reproduce(select([], papers), Options("smoke", output=tmp_path), lambda s: 0)
    path = report.build(tmp_path, papers)
    return path, path.read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_stands_alone(page):
    path, text = page
    assert path.parts[-2:] == ("report", "index.html")
    parsed = Page(text)
    assert not parsed.open and len(set(parsed.ids)) == len(parsed.ids)
    assert "script" not in parsed.tags
    assert not re.search(r"(https?:)?//", re.sub(r"<svg[^>]*>", "", text))  # nothing from outside
    for link in parsed.links:
        if link.startswith("#"):
            assert link[1:] in parsed.ids
        elif not link.startswith("data:"):
            assert (path.parent / unquote(link)).is_file(), link


def test_the_page_says_what_was_found(page):
    text = page[1]
    for verdict in ("REPRODUCED", "NOT REPRODUCED", "UNDECIDED"):
        assert f"</span> {verdict}</span>" in text
    assert "A tiny &amp; &lt;new&gt; paper" in text and "<new>" not in text
    assert "What it &lt;b&gt;is&lt;/b&gt;." in text
    assert "regrax reproduce tiny/curve --scale smoke" in text
    assert "no picture today" in text and "figures failed" in text
    assert "16 seeds, smoke scale" in text and "jax version" in text
    assert "must be between 0 and 0.6" in text
    assert text.index("A tiny &amp;") < text.index("A broken paper")
    assert 'name="viewport"' in text and "prefers-color-scheme: dark" in text


def test_all_claims_are_in_one_file(page):
    content = json.loads((page[0].parents[1] / "claims.json").read_text())
    assert [(c["paper"], c["name"]) for c in content["claims"]][:2] == [
        ("tiny", "holds"),
        ("tiny", "fails"),
    ]
    assert content["claims"][0]["verdict"] == "REPRODUCED"


def test_rebuilding_gives_the_same_page(page, paper, broken_paper):
    papers = {p.name: p for p in (paper, broken_paper)}
    again = report.build(page[0].parents[1], papers)
    assert again.read_text(encoding="utf-8") == page[1]


def test_nothing_to_report(tmp_path):
    with pytest.raises(ValueError, match="run `regrax reproduce` first"):
        report.build(tmp_path)


def row(value=0.5, low=0.4, high=0.6, region_low=0.0, region_high=1.0):
    return dict(value=value, low=low, high=high, region_low=region_low, region_high=region_high)


def test_gauges_keep_the_order_of_numbers_and_survive_infinite_ends():
    drawn = report.gauge(row())
    order = ["region_low", "low", "value", "high", "region_high"]
    assert [drawn[name] for name in order] == sorted(drawn.values())
    assert report.gauge(row(value=None)) is None
    drawn = report.gauge(row(low=None, high=None, region_low=None))
    assert (drawn["low"], drawn["high"], drawn["region_low"]) == (0.0, 100.0, 0.0)
    one = report.gauge(row(0.0, 0.0, 0.0, 0.0, 0.0))
    assert one is not None and one["value"] == 50.0


def test_words_for_regions_and_times():
    assert report.region(row(region_low=None)) == "at most 1"
    assert report.region(row(region_high=None)) == "at least 0"
    assert report.region(row(region_high=0.0)) == "0"
    assert [report.duration(s) for s in (1.25, 61, 7200)] == ["1.2 s", "1 min 1 s", "2 h 0 min"]


def test_audits_have_a_table(tmp_path):
    def row(box, lower, verdict="not refuted", learner="dp-bai", case="a"):
        names = {"learner": learner, "case": case, "box": box, "verdict": verdict}
        return names | {"lower": lower, "epsilon": 0.5, "delta": 0.0, "confidence": 0.99}

    rows = [row("black", 0.31), row("white", 0.47), row("black", 0.35, case="b")]
    rows += [row("black", 0.71, "violated", "<mutant>")]
    page = report.render([], rows)
    table = page[page.index('id="privacy-audits"') :]
    assert "0.35</td>" in table and "0.47</td>" in table and "0.31" not in table
    assert "&lt;mutant&gt;" in table and table.count("violated") == 1
    assert "99 % confidence" in table
    assert "privacy-audits" not in report.render([])


def test_audits_alone_make_a_report(tmp_path):
    content = {"format": audit.FORMAT, "rows": []}
    with pytest.raises(ValueError, match="nothing to report"):
        report.build(tmp_path)
    content["rows"] = [
        {"learner": "dp-se", "case": "a", "box": "white", "verdict": "not refuted",
         "lower": 0.9, "epsilon": 1.0, "delta": 0.0, "confidence": 0.99}
    ]  # fmt: skip
    path = tmp_path / "audits" / "dp-se" / "epsilon-1.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    assert "dp-se" in report.build(tmp_path).read_text()
