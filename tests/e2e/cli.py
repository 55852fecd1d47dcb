#!/usr/bin/env python3
"""The command line, the checks and the shipped files with the real plugins: what is said, where it
goes (stdout or stderr), which exit code, how long it takes. Runs no pipeline."""

import json
import os
import re
import sqlite3
import subprocess
import tomllib
import unittest

from harness import PROGRAM, ROOT, Store, TEST_PLUGINS

CONFIGS = ROOT / "configs"
SHIPPED = sorted(CONFIGS.glob("*.toml")) + sorted((ROOT / "tests/configs").glob("*.toml"))


class Cli(unittest.TestCase):
    def setUp(self):
        self.store = Store()
        self.addCleanup(self.store.__exit__)

    def call(self, *arguments, expect=0, **options):
        return self.store.run(*arguments, expect=expect, **options)

    def test_version_and_help(self):
        self.assertRegex(self.call("--version").out, r"^cifarpipe \d+\.\d+\.\d+\n$")
        front = self.call("--help").out
        commands = re.findall(r"^  ([a-z]+) {2,}", front, re.M)
        for command in ("run", "plan", "check", "config", "stages", "init", "completion"):
            self.assertIn(command, commands)
        for command in commands:
            page = self.call(command, "--help").out
            self.assertIn(f"usage: cifarpipe {command}", page)
            self.assertTrue(all(len(line) <= 100 for line in page.splitlines()), page)

    def test_what_cannot_be_understood(self):
        for arguments, said in [
            (["rnu", "x"], "unknown command 'rnu'; did you mean 'run'?"),
            (["check", "x", "--sett=a.b=1"], "no option '--sett'; did you mean '--set'?"),
            (["check", "--sett", "a.b=1"], "no option '--sett'; did you mean '--set'?"),
            (["check"], "'cifarpipe check' needs FILE"),
            (["check", "a", "b"], "does not know what to do with 'b'"),
            (["completion", "tcsh"], "'tcsh' is not bash, zsh or fish"),
        ]:
            result = self.call(*arguments, expect=2)
            self.assertEqual(result.out, "")
            self.assertTrue(result.err.startswith("cifarpipe: error: "), result)
            self.assertIn(said, result.err)
        self.assertIn("usage: cifarpipe COMMAND", self.call(expect=2).err)

    def test_shipped_files_are_right(self):
        for file in SHIPPED:
            result = self.call("check", file)
            self.assertRegex(result.out, r": ok: \d+ stages(, \d+ cells)?\n$")
            self.assertEqual(result.err, "")

    def test_the_manual_shows_the_true_defaults(self):
        """Every parameter of the reference recipe's stages stands in train.toml, once; uncommented,
        nothing changes. What finetune has as train has it need not stand there again."""
        text = (CONFIGS / "train.toml").read_text()
        skipped = ("extends", "experiment", "paths", "uri", "description", "inputs.files")
        lines = []
        for line in text.splitlines():
            match = re.match(r"# ([a-z0-9_.]+) = ", line)
            lines.append(line[2:] if match and match[1] not in skipped else line)
        uncommented = self.store.write("train.toml", "\n".join(lines) + "\n")
        self.assertEqual(self.call("config", uncommented).out,
                         self.call("config", CONFIGS / "train.toml").out)
        tables = tomllib.loads(uncommented.read_text())["stages"]
        explained = {}
        for name, stage in tables.items():
            listed = [n for n in stage.get("params", {}) if n != "groups"]
            known = json.loads(self.call("stages", stage["uses"], "--json").out)["params"]
            wanted = {p["name"]: p for p in known if p["name"] != "groups"}
            if name != "test" and stage["uses"] in explained:
                self.assertEqual(listed, [], name)
                continue
            same = explained.get("train", {}) if stage["uses"] == "finetune" else {}
            self.assertEqual([n for n, p in wanted.items() if p != same.get(n)], listed, name)
            explained[stage["uses"]] = wanted

    def test_all_errors_at_once_with_places(self):
        text = (CONFIGS / "quickstart.toml").read_text().replace("[pipeline]", "[pipelin]")
        file = self.store.write("bad.toml", text.replace("\nepochs = ", "\nepocs = "))
        result = self.call("check", file, "--set", "train.lr=-1", expect=2)
        self.assertEqual(result.out, "")
        self.assertRegex(result.err, r"bad.toml:\d+:2: error: unknown key 'pipelin' in the file; did")
        self.assertRegex(result.err, r"bad.toml:\d+:1: error: unknown parameter 'epocs' of stage 'train'")
        self.assertIn("--set 1:10: error: 'lr' = -1 is outside [1e-08, 100]\n    1 | train.lr=-1\n"
                      "      |          ^~\n", result.err)

    def test_config_resolves_and_tells_origins(self):
        sweep = CONFIGS / "sweep.toml"
        many = self.call("config", sweep, expect=2)
        self.assertIn("choose one with --cell", many.err)
        cell = re.search(r"\n  (\S+)", many.err)[1]
        resolved = self.store.write("r.toml", self.call("config", sweep, "--cell", cell).out)
        tomllib.loads(resolved.read_text())
        self.assertEqual(self.call("config", resolved).out, resolved.read_text())
        wrong = self.call("config", sweep, "--cell", cell[:-1], expect=2)
        self.assertIn(f"did you mean '{cell}'?", wrong.err)
        lines = self.call("config", sweep, "--cell", cell, "--origin", "--set", "train.flip=0").out
        self.assertRegex(lines, r"(?m)^train\.lr += .* # .*sweep\.toml:\d+:\d+$")
        self.assertRegex(lines, r"(?m)^download\.source += .* # .*quickstart\.toml:\d+:\d+$")
        self.assertRegex(lines, r"(?m)^train\.flip += 0\.0 +# --set 1:12$")
        self.assertRegex(lines, r"(?m)^train\.weight_decay += .* # default$")

    def test_the_readme_shows_real_messages(self):
        (self.store.dir / "configs").mkdir()
        self.store.write("configs/mine.toml", """\
# My own.
[stages.download]
uses = "download"

[stages.data]
uses = "preproces"

[stages.train]
uses = "train"
params.optimiser = "adam"
params.precision = "fp8"
params.epochs = "20"
""")
        readme = (ROOT / "README.md").read_text()
        self.assertIn(f"```\n{self.call('check', 'configs/mine.toml', expect=2).err}```", readme)

    def test_stages(self):
        listed = [line.split()[0] for line in self.call("stages").out.splitlines()]
        self.assertEqual(listed, sorted(listed))
        everything = json.loads(self.call("stages", "--json").out)
        self.assertEqual([s["name"] for s in everything], listed)
        page = self.call("stages", "train").out
        self.assertIn("adam | adamw | sgd", page)
        table = page.split("\nparameters:\n")[1].split("\nmetrics:\n")[0]
        self.assertRegex(table, r"(?m)^ {40,}fastnet_wide: The same with groups")
        self.assertRegex(table, r"(?m)^ {20,}\| resnet18 ")  # Long choices go on below.
        self.assertLessEqual(max(map(len, table.splitlines())), 130)
        self.assertIn("| `lr` | number | 0.001 |", self.call("stages", "train", "--markdown").out)
        self.assertIn("did you mean 'train'?", self.call("stages", "trian", expect=2).err)
        schema = json.loads(self.call("stages", "--json-schema").out)
        self.assertEqual(schema["$defs"]["train"]["properties"]["lr"]["default"], 0.001)
        self.assertEqual(schema["$defs"]["train"]["properties"]["device"]["pattern"],
                         "^(auto|cpu|cuda|cuda:[0-9]{1,4})$")
        self.assertEqual(schema["additionalProperties"], False)

    def test_a_folder_of_plugins_that_is_not_there(self):
        file = CONFIGS / "quickstart.toml"
        for words in (["stages"], ["check", file], ["plan", file]):
            self.assertIn("--plugin-path /nope: there is no such folder",
                          self.call(*words, "--plugin-path", "/nope", expect=2).err)

    def test_a_plugin_that_is_refused_is_named(self):
        said = self.call("stages", "--plugin-path", TEST_PLUGINS / "refused")
        self.assertIn("train ", said.out)
        self.assertIn("cifarpipe: warning: ", said.err)
        self.assertIn("SDK API 999", said.err)

    def test_asking_makes_no_store(self):
        for words in (["gc"], ["gc", "--apply"], ["verify"]):
            said = self.call(*words, expect=2).err
            self.assertEqual(said, f"cifarpipe: error: no runs yet in {self.store.runs}\n")
        self.assertFalse(self.store.runs.exists())

    def test_init_writes_a_good_file_and_overwrites_none(self):
        self.call("init", "mine.toml")
        self.assertIn("ok: 4 stages", self.call("check", "mine.toml").out)
        self.assertIn("overwrites nothing", self.call("init", "mine.toml", expect=2).err)
        self.assertIn("its folder is not there", self.call("init", "no/x.toml", expect=2).err)
        self.assertIn("cannot write /proc/x.toml", self.call("init", "/proc/x.toml", expect=3).err)
        text = (self.store.dir / "mine.toml").read_text()
        self.assertFalse([line for line in text.splitlines() if line.endswith(" ")])
        # Every commented value is a default: uncommented, they change nothing.
        head = text[:text.index("# A matrix makes")]
        opened = re.sub(r"(?m)^# ([a-z0-9_]+ = )", r"\1", head)
        self.store.write("open.toml", opened)
        self.assertEqual(self.call("config", "open.toml").out, self.call("config", "mine.toml").out)

    def test_empty_names(self):
        said = "cifarpipe: error: the name of the pipeline file is empty\n"
        self.assertEqual(self.call("check", "", expect=2).err, said)
        self.assertIn("file to write is empty", self.call("init", "", expect=2).err)
        for words in (["runs", "list"], ["doctor"], ["plan", CONFIGS / "quickstart.toml"]):
            self.assertEqual(self.call(*words, "--runs", "", expect=2).err,
                             "cifarpipe: error: --runs wants a folder, and its name is empty\n")

    def test_init_quotes_what_it_says(self):
        said = self.call("init", "a b.toml").out
        self.assertEqual(said, "wrote a b.toml; next: cifarpipe check 'a b.toml'\n")

    def test_a_file_instead_of_the_runs(self):
        file = self.store.write("w.txt", "x")
        for words in (["runs", "list"], ["doctor"], ["run", CONFIGS / "quickstart.toml"], ["gc"]):
            self.assertEqual(self.call(*words, "--runs", file, expect=2).err,
                             f"cifarpipe: error: {file} is a file; --runs wants a folder\n")

    def test_a_working_folder_that_is_gone(self):
        script = 'mkdir gone && cd gone && rmdir ../gone && "$0" "$@" --runs runs'
        for words in (["run", CONFIGS / "quickstart.toml"], ["doctor"]):
            said = subprocess.run(["bash", "-c", script, PROGRAM, *words], capture_output=True,
                                  text=True, cwd=self.store.dir, check=False)
            self.assertEqual(said.returncode, 3, said)
            self.assertIn("'runs' cannot be found: the working folder is not there any more",
                          said.stderr + said.stdout)

    def test_doctor_finds_a_database_that_nobody_can_open(self):
        self.store.runs.mkdir()
        file = self.store.runs / "cifarpipe.db"
        with sqlite3.connect(file) as db:
            db.execute("PRAGMA user_version = 1")
        self.assertRegex(self.call("doctor").out, r"(?m)^database +/")
        with sqlite3.connect(file) as db:
            db.execute("PRAGMA user_version = 99")
        self.assertRegex(self.call("doctor", expect=3).out,
                         r"(?m)^database +problem: .* was written by a newer cifarpipe")
        file.write_bytes(4096 * b"no database ")
        self.assertRegex(self.call("doctor", expect=3).out,
                         r"(?m)^database +problem: .* is not a whole database .*; move it away")
        self.store.write("x.stage.so", "x")
        self.assertRegex(self.call("doctor", "--plugin-path", self.store.dir, expect=3).out,
                         r"(?m)^plugin +problem: .*/x.stage.so is not a shared library")

    def words(self, *words):
        return self.call("completion", "words", "--", *words).out.split()

    def test_completion(self):
        self.assertIn("run", self.words("r"))
        self.assertIn("--set", self.words("check", "--s"))
        self.assertIn("--plugin-path", self.words("check", "--p"))
        self.assertEqual(self.words("check", ""), ["FILES"])
        self.assertIn("train", self.words("stages", ""))
        file = str(CONFIGS / "quickstart.toml")
        self.assertIn("train.lr=", self.words("run", file, "--set", "train."))
        self.assertEqual(self.words("run", file, "--set", "train.optimizer=adam"),
                         ["train.optimizer=adam", "train.optimizer=adamw"])
        self.assertEqual(self.words("run", file, "--force", "te"), ["test"])
        for shell in ("bash", "zsh", "fish"):
            self.assertIn("cifarpipe", self.call("completion", shell).out)
        script = (f'PATH={PROGRAM.parent}:$PATH; source <(cifarpipe completion bash)\n'
                  f'COMP_WORDS=(cifarpipe ru); COMP_CWORD=1; COMP_LINE="cifarpipe ru"; COMP_POINT=12\n'
                  f'_cifarpipe; echo "${{COMPREPLY[@]}}"')
        out = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
        self.assertIn("run", out.stdout.split(), out)

    def test_a_reader_that_leaves_is_no_error(self):
        program = subprocess.run(f"'{PROGRAM}' stages --json-schema | head -n 1", shell=True,
                                 capture_output=True, text=True, check=True)
        self.assertEqual(program.stderr, "")
        if os.path.exists("/dev/full"):
            for words, said in [(["stages"], "No space left"),
                                (["stages", "--json-schema"], "is the disk full?")]:
                with open("/dev/full", "w") as full:
                    full_disk = subprocess.run([PROGRAM, *words], stdout=full, text=True,
                                               stderr=subprocess.PIPE, check=False)
                self.assertEqual(full_disk.returncode, 3, full_disk)
                self.assertIn(said, full_disk.stderr)
                self.assertEqual(full_disk.stderr.count("\n"), 1)

    def test_a_thousand_cells(self):
        file = self.store.write("big.toml", f'extends = "{os.path.relpath(CONFIGS, self.store.dir)}/'
                                'quickstart.toml"\n[matrix]\npipeline.seed = [' +
                                ",".join(map(str, range(100))) + "]\ntrain.batch_size = [" +
                                ",".join(map(str, range(16, 26))) + "]\n")
        self.assertIn("1000 cells", self.call("check", file).out)


if __name__ == "__main__":
    unittest.main()
