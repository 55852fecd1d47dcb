#!/usr/bin/env python3
"""Texts that people write, as they are shown: control characters reach no terminal, an endless value
no page, and what comes out for other programs is whole. Uses the stages of tests/plugins."""

import json
import os
import sys
import unittest

from harness import PluginCase, PROGRAM

EVIL = '[stages.a]\nuses = "emit"\nparams.text = "\\u001b[31mred\\nline"\n'


class Texts(PluginCase):
    def assert_tame(self, result):
        for text in (result.out, result.err):
            self.assertNotRegex(text, "[\x00-\x09\x0b-\x1f\x7f]", result)

    def test_control_characters_reach_no_terminal(self):
        file = self.store.write("w.toml", EVIL)
        self.assert_tame(self.run_("run", file, "--name", "one", expect=0))
        self.run_("run", file, "--set", "a.text=plain", "--name", "two", expect=0)
        tagged = self.run_("runs", "tag", "one", "new\nline=va\nlue\x1b[31mred", expect=0)
        self.assertEqual(tagged.out, "one has the tags new?line=va?lue?[31mred\n")
        self.run_("runs", "note", "one", "a\x1bb", expect=0)
        shown = self.run_("runs", "show", "one", expect=0)
        self.assertRegex(shown.out, r"(?m)^  tags +new\?line=va\?lue\?\[31mred$")
        self.assertRegex(shown.out, r"(?m)^  note +a\?b$")
        self.assertRegex(shown.out, r"(?m)^  a\.text +\?\[31mred\?line$")
        listed = self.run_("runs", "list", "--columns", "a.text", expect=0)
        self.assertRegex(listed.out, r"(?m)^one +\?\[31mred\?line$")
        for result in (shown, listed, self.run_("runs", "compare", "one", "two", expect=0),
                       self.run_("plan", file, "--set", "a.text=x", expect=0),
                       self.run_("config", file, expect=0),
                       self.run_("config", file, "--origin", expect=0)):
            self.assert_tame(result)
        shown = self.store.json("runs", "show", "one")  # Programs get what was written.
        self.assertEqual((shown["params"]["a.text"], shown["tags"]),
                         ("\x1b[31mred\nline", {"new\nline": "va\nlue\x1b[31mred"}))

    def test_a_very_long_text_is_not_shown_whole(self):
        file = self.store.write("w.toml", EVIL)
        long = 20_000 * "x"
        self.run_("run", file, "--set", "a.text=y", "--name", "one", expect=0)
        endless = self.store.write("e.toml", EVIL.replace("red", long))
        for result in (self.run_("plan", endless, expect=0),
                       self.run_("run", endless, "--name", 5_000 * "n", expect=0),
                       self.run_("runs", "list", expect=0)):
            lines = (result.out + result.err).splitlines()
            self.assertLess(max(map(len, lines)), 400, lines)
        rows = self.run_("runs", "list", expect=0).out.splitlines()
        self.assertLess(len(next(row for row in rows if row.startswith("one "))), 150, rows)
        self.assertLess(len(self.run_("runs", "show", "one", expect=0).out), 3_000)
        plan = self.run_("plan", file, "--json", "--set", "a.text=z" + long, expect=0).out
        self.assertIn("z" + long, json.loads(plan)[0]["reason"])

    def test_advice_that_can_be_followed(self):
        for text, said in [
            ('params.value = "nan"', "must be a number, not the string \"nan\"\n"),
            ('params.value = "0.5"', "; write 0.5 without quotes\n"),
            ('[pipeline]\nname = ""', "'name' = \"\" cannot name an experiment: it is empty\n"),
            ('[pipeline]\nname = "a\\nb"', "all characters may be in it but line breaks, tabs"),
        ]:
            file = self.store.write("w.toml", '[stages.a]\nuses = "emit"\n' + text + "\n")
            self.assertIn(said, self.run_("check", file, expect=2).err)

    def test_a_file_that_may_not_be_read(self):
        file = self.store.write("w.toml", EVIL)
        file.chmod(0)
        if os.access(file, os.R_OK):
            self.skipTest("nothing is forbidden to root")
        self.assertIn("w.toml: error: cannot be read: Permission denied\n",
                      self.run_("check", file, expect=2).err)

    def test_mermaid_of_cells_with_quotes(self):
        file = self.store.write("m.toml", '[stages.a]\nuses = "emit"\n'
                                          '[matrix]\na.text = ["x", "y z/ü"]\n')
        drawn = self.run_("plan", file, "--mermaid", expect=0).out
        self.assertIn('  j1["a<br/>a.text=#quot;y z/ü#quot;"]:::run\n', drawn)


if __name__ == "__main__":
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not there; build first")
    unittest.main(verbosity=1)
