#!/usr/bin/env python3
"""`cifarpipe report`: pages as a browser's parser sees them. Whole, loading nothing, with nothing
that a name or a note could smuggle in; every section of what a run has; sweeps, comparisons,
failures, results that are gone; wrong use as one sentence."""

import base64
import hashlib
import html.parser
import re
import shutil
import unittest

from harness import Store, TEST_PLUGINS, TINY

VOID = {"meta", "img", "br", "link", "input", "hr"}
CHAIN = """
[pipeline]
name = "chain"
[stages.first]
uses = "emit"
params.text = '<script>alert("1")</script> & more'
[stages.slow]
uses = "slow"
params.steps = 6
params.step_ms = 0
"""
SWEEP = CHAIN + "[matrix]\nslow.steps = [3, 4, 5]\n"
FAIL = """
[pipeline]
name = "failing"
[stages.bad]
uses = "fail"
params.message = "it cannot <work>"
params.points = 3
"""
STRANGE = """
[pipeline]
name = "strange"
[stages.odd]
uses = "strange_metrics"
"""


class Page(html.parser.HTMLParser):
    """Elements with their attributes and texts; fails where tags do not close."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.raw = text
        self.elements = []  # (tag, attributes)
        self.open = []
        self.texts = {}  # tag → texts directly in it
        self.sections = {}  # id → text
        self.problems = []
        self.feed(text)
        self.close()
        if self.open:
            self.problems.append(f"never closed: {self.open}")

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        if len(set(names)) != len(names):
            self.problems.append(f"{tag} has an attribute twice: {names}")
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append((tag, dict(attributes).get("id")))

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open[-1][0] != tag:
            self.problems.append(f"</{tag}> at {self.getpos()} does not close {self.open[-1:]}")
            return
        self.open.pop()

    def handle_data(self, data):
        if not self.open:
            return
        self.texts.setdefault(self.open[-1][0], []).append(data)
        if any(tag in ("script", "style") for tag, _ in self.open):
            return
        for tag, name in self.open:
            if tag == "section":
                self.sections[name] = self.sections.get(name, "") + data

    def find(self, tag, **wanted):
        wanted = {key.rstrip("_"): value for key, value in wanted.items()}
        return [a for t, a in self.elements if t == tag and
                all(value in (a.get(key) or "").split() for key, value in wanted.items())]

    @property
    def text(self):
        return "".join(t for tag, texts in self.texts.items() if tag not in ("script", "style")
                       for t in texts)


class Case(unittest.TestCase):
    def setUp(self):
        self.store = Store()
        self.addCleanup(self.store.__exit__)

    def call(self, *arguments, expect=0):
        return self.store.run(*arguments, env={"CIFARPIPE_PLUGIN_PATH": str(TEST_PLUGINS)},
                              expect=expect)

    def run_file(self, text, *arguments, expect=0):
        return self.call("run", self.store.write("p.toml", text), *arguments, expect=expect)

    def page(self, *runs):
        """The report on these runs, after all that must hold for any report."""
        told = self.call("report", *runs, "-o", "r.html")
        self.assertEqual(told.out, "r.html\n")
        page = Page((self.store.dir / "r.html").read_text(encoding="utf-8"))
        self.check(page)
        return page

    def check(self, page):
        self.assertEqual(page.problems, [])
        self.assertTrue(page.raw.startswith("<!doctype html>"))
        for tag, attributes in page.elements:
            self.assertNotIn(tag, ("link", "iframe", "object", "embed", "base", "form", "image"))
            for key, value in attributes.items():
                self.assertFalse(key.startswith("on"), (tag, key))
                if key in ("src", "href", "xlink:href", "srcset", "poster", "data"):
                    self.assertRegex(value, r"^(#|data:image/)", (tag, key))
        style = "".join(page.texts["style"])
        self.assertNotIn("@import", style)
        self.assertNotRegex(style + " ".join(a.get("style", "") for _, a in page.elements), r"url\(")
        # Every jump has a target, every id is there once.
        ids = [a["id"] for _, a in page.elements if "id" in a]
        self.assertEqual(len(ids), len(set(ids)))
        for _, attributes in page.elements:
            if attributes.get("href", "").startswith("#"):
                self.assertIn(attributes["href"][1:], ids)
        # The one script is the one that the policy lets run.
        self.assertEqual(len(page.find("script")), 1)
        script = "".join(page.texts["script"]).encode()
        digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
        policy = page.find("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
        self.assertIn(f"script-src 'sha256-{digest}'", policy)
        self.assertIn("default-src 'none'", policy)
        self.assertTrue(page.find("meta", name="viewport"))


class Reports(Case):
    def test_a_run_with_hostile_texts(self):
        name = '<img src=x onerror=alert(1)>'
        self.run_file(CHAIN, "--name", name, "--note", "</style></script><b>\x01",
                      "--tag", 'k="v"=<i>')
        page = self.page("latest")
        self.assertEqual(page.find("img"), [])
        self.assertEqual(page.texts["h1"], [name])
        self.assertIn("</style></script><b>\ufffd", page.text)
        self.assertIn('alert("1")', page.sections["configuration"])
        self.assertIn("cifarpipe reproduce", page.sections["reproduce"])
        for section in ("curves", "stages", "numbers", "configuration", "environment", "reproduce"):
            self.assertIn(section, page.sections)
        self.assertIn("slow/loss", page.sections["curves"])
        self.assertIn("uses", page.sections["configuration"])
        self.assertEqual(len(page.find("circle")), 6)

    def test_a_failure_says_why(self):
        self.run_file(FAIL, expect=1)
        page = self.page("latest")
        self.assertIn("it cannot <work>", page.sections["trouble"])
        self.assertIn("What failed", page.sections["trouble"])
        self.assertIn("attempt 1 begins", page.sections["trouble"])  # Of the log.
        self.assertIn("cifarpipe run", page.sections["trouble"])
        self.assertIn("failed", page.sections["stages"])
        self.run_file(FAIL, expect=1)
        self.assertIn("2 attempts", self.page("latest").text)

    def test_what_is_no_number_is_shown(self):
        self.run_file(STRANGE, expect=1)
        page = self.page("latest")
        self.assertIn("step 1: NaN", page.raw)
        self.assertIn("step 2: ∞", page.raw)
        self.assertEqual(len(page.find("path", class_="odd")), 2)
        self.assertNotRegex(page.raw, r'(x|y|x1|y1|cx|cy|d|width|height)="[^"]*(nan|inf)')

    def test_a_sweep_is_a_table_of_its_cells(self):
        self.run_file(SWEEP)
        page = self.page("latest")
        cells = page.sections["cells"]
        for steps in (3, 4, 5):
            self.assertIn(f"steps={steps}", cells)
        self.assertNotIn("first.text", cells)  # Equal in all.
        self.assertTrue(page.find("table", class_="sortable"))
        self.assertEqual(len(page.find("path", class_="line")), 3)
        self.assertNotIn("stages", page.sections)  # The parent has none.
        cell = self.page(self.store.json("runs", "list")[0]["name"])
        self.assertIn("This is the cell", cell.text)

    def test_runs_compared_show_what_differs(self):
        self.run_file(CHAIN, "--name", "a")
        self.run_file(CHAIN, "--name", "b", "--set", "slow.steps=9")
        page = self.page("a", "b", "latest")  # The last is b again.
        self.assertIn("2 runs compared", page.text)
        self.assertIn("slow.steps", page.sections["differences"])
        self.assertNotIn("first.value", page.sections["differences"])
        self.assertEqual(len(page.find("article")), 3)
        self.assertIn("run-1-stages", page.sections)
        self.assertIn("run-2-stages", page.sections)

    def test_results_that_are_gone(self):
        self.run_file(CHAIN)
        whole = self.page("latest")
        shutil.rmtree(self.store.runs / "store" / self.key("slow")[:2] / self.key("slow"))
        folder = self.call("runs", "path", "latest").out.strip()
        shutil.rmtree(folder)
        bare = self.page("latest")
        self.assertIn("slow/loss", bare.sections["curves"])
        self.assertIn("first.text", bare.sections["configuration"])  # From the database.
        self.assertEqual(whole.sections["curves"], bare.sections["curves"])

    def key(self, stage):
        shown = self.store.json("runs", "show", "latest")
        return next(s["key"] for s in shown["stages"] if s["name"] == stage)

    def test_wrong_use_is_one_sentence(self):
        said = self.call("report", "x", expect=2).err
        self.assertRegex(said, r"^cifarpipe: error: no runs yet in .*\n$")
        self.assertIn("'cifarpipe report' needs RUN", self.call("report", expect=2).err)
        self.run_file(CHAIN)
        self.assertIn("nobody", self.call("report", "nobody", expect=2).err)
        (self.store.dir / "folder").mkdir()
        said = self.call("report", "latest", "-o", "folder", expect=2).err
        self.assertIn("'folder' is a folder; a file is wanted", said)
        said = self.call("report", "latest", "-o", "p.toml", expect=2).err
        self.assertIn("'p.toml' is there already and was not written by `cifarpipe report`", said)
        self.assertTrue((self.store.dir / "p.toml").read_text().startswith("\n[pipeline]"))
        said = self.call("report", "latest", "-o", "no/such/folder/r.html", expect=2).err
        self.assertEqual(said.count("\n"), 1)
        self.assertIn("there is no folder 'no/such/folder'", said)
        self.assertIn("name of the file to write is empty",
                      self.call("report", "latest", "-o", "", expect=2).err)
        said = self.call("report", "latest", "-o", "/proc/r.html", expect=3).err
        self.assertRegex(said, r"^cifarpipe: error: cannot write '/proc/r.html': [^\n]+\n$")

    def test_a_page_of_somebody_else_stays(self):
        self.run_file(CHAIN)
        mine = self.store.write("mine.html", "<!doctype html>\n<html lang=\"en\"><p>By hand.</p>\n")
        text = mine.read_text()
        self.assertIn("was not written by `cifarpipe report`",
                      self.call("report", "latest", "-o", "mine.html", expect=2).err)
        self.assertEqual(mine.read_text(), text)

    def test_default_name_overwriting_and_stdout(self):
        self.run_file(CHAIN)
        self.assertEqual(self.call("report", "latest").out, "report.html\n")
        first = (self.store.dir / "report.html").read_text()
        self.assertEqual(self.call("report", "latest").out, "report.html\n")
        printed = self.call("report", "latest", "-o", "-").out
        def undated(text):
            return re.sub(r"on [0-9-]+ [0-9:]+ UTC", "", text)
        self.assertEqual(undated(printed), undated(first))


class RealStages(Case):
    def test_every_section_of_a_training(self):
        self.call("run", TINY)
        page = self.page("latest")
        for section in ("curves", "judged-test", "data", "pictures", "stages", "numbers",
                        "configuration", "environment", "reproduce"):
            self.assertIn(section, page.sections)
        self.assertIn("test accuracy", page.text)
        self.assertRegex(page.text, r"95 %: [0-9.]+ to [0-9.]+\s%")
        judged = page.sections["judged-test"]
        for what in ("Confusion matrix", "Calibration", "Classes", "Mixed up most",
                     "The surest wrong answers", "64 images of the split “test”"):
            self.assertIn(what, judged)
        matrix = page.find("table", class_="confusion")
        self.assertEqual(len(matrix), 1)
        images = page.find("img")
        self.assertGreaterEqual(len(images), 3)  # Mistakes, contact sheet, mistakes by epoch.
        for image in images:
            data = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
            self.assertTrue(data.startswith(b"\x89PNG\r\n"))
        self.assertIn("train/loss", page.sections["curves"])
        self.assertIn("validation", page.sections["curves"])
        self.assertIn("32 × 32 pixels, 3 channels", page.sections["data"])
        digest = self.store.json("runs", "show", "latest")["stages"][0]["outputs"]["files"][0]
        self.assertIn(digest["sha256"], page.sections["numbers"])


if __name__ == "__main__":
    unittest.main()
