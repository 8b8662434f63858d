"""The harness itself: what it does with cases that fail or hang, with locks, and with a guest's files."""

import json
import os
import stat
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree as ElementTree

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import host  # noqa: E402
import machine  # noqa: E402
import report  # noqa: E402
from cases import Case  # noqa: E402
from initramfs import Archive  # noqa: E402
from report import Result  # noqa: E402


class Folder(unittest.TestCase):
    def setUp(self):
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = self._temporary.name

    def tearDown(self):
        self._temporary.cleanup()

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def script(self, text):
        with open(self.path("program"), "w", encoding="utf-8") as stream:
            stream.write("#!/bin/sh\n" + text)
        os.chmod(self.path("program"), 0o755)


class Cases(Folder):
    def run_case(self, text, limit=60, arguments=(), **more):
        self.script(text)
        case = Case("it", "program", list(arguments), limit, **more)
        return host.run_case(case, self.folder, self.path("work"), {"TALUS_DEVICE": "the-device"})

    def test_output_and_exit_code(self):
        result = self.run_case('echo "$TALUS_DEVICE $1"; exit 3\n', arguments=["argument"])
        self.assertEqual((result.code, result.output), (3, "the-device argument\n"))
        self.assertTrue(result.failed)

    def test_environment(self):
        result = self.run_case('echo "$TALUS_DEVICE $FAULT"\n', environment={"FAULT": "one"})
        self.assertEqual(result.output, "the-device one\n")

    def test_hung_case_ends_with_its_children(self):
        began = time.monotonic()
        result = self.run_case("sleep 600 & echo $! >child; sleep 600\n", limit=1)
        self.assertLess(time.monotonic() - began, 60)
        self.assertIn("was killed", result.problem)
        self.assertTrue(result.failed)
        with open(self.path("work", "child"), encoding="utf-8") as stream:
            child = int(stream.read())
        for _ in range(100):  # it may still be a zombie for a moment
            try:
                with open(f"/proc/{child}/stat", encoding="utf-8") as stream:
                    if stream.read().split(") ")[1][0] == "Z":
                        return
            except FileNotFoundError:
                return
            time.sleep(0.05)
        self.fail("the child lives")

    def test_exit_code_77_is_a_skip(self):
        result = self.run_case("exit 77\n")
        self.assertTrue(result.skipped)
        self.assertFalse(result.failed)


class Artifacts(Folder):
    """A case that fails by intent, after a kernel's trap, on a simulator."""

    def setUp(self):
        super().setUp()
        self.build = os.environ.get("TALUS_BUILD")
        if not self.build:
            self.skipTest("TALUS_BUILD names no build tree")

    def test_failed_case_leaves_what_its_simulator_knows(self):
        test = os.path.join(self.build, "tests", "talus_device_test")
        trap = f"{test} --gtest_filter=DeviceFault.IllegalInstructionLeavesAFaultRecord"
        kept = {}

        def on_result(result, artifacts):
            kept[result.name] = (result.failed, {os.path.basename(path): path for path in artifacts})

        host.run_on_simulator([Case("good", "/bin/sh", ["-c", trap], 120),
                               Case("bad", "/bin/sh", ["-c", trap + "; exit 3"], 120),
                               Case("after", "/bin/sh", ["-c", trap], 120)],
                              self.build, self.folder, on_result)
        self.assertEqual(kept["good"], (False, {}))
        self.assertEqual(kept["after"], (False, {}))
        failed, files = kept["bad"]
        self.assertTrue(failed)
        for name in ("uart.log", "simulator.log", "trace.pftrace", "pci.txt"):
            self.assertIn(name, files)
        with open(files["pci.txt"], encoding="ascii") as stream:
            lines = stream.read().splitlines()
        self.assertEqual(lines[1][:15], "00: f4 1a f1 10")  # vendor and device
        self.assertEqual(len(lines), 1 + 4096 // 16)
        # The first case's trap has filled the first simulator's crash folder: this one had another.
        cores = [path for name, path in files.items() if name.startswith("core.")]
        self.assertTrue(cores, files)
        self.assertTrue(all("simulator-2" in path for path in cores), files)
        for path in cores:
            with open(path, "rb") as stream:
                header = stream.read(20)
            self.assertEqual((header[:4], header[16], header[18]), (b"\x7fELF", 4, 243))  # ET_CORE, RISC-V
        with open(files["trace.pftrace"], "rb") as stream:
            self.assertGreater(len(stream.read()), 1000)


class Report(Folder):
    def test_junit(self):
        path = self.path("results.xml")
        report.write_junit(path, "sim", [
            Result("good", 0, 1.5, "text"), Result("bad", 1, 0.5, "why <&>\x01"),
            Result("not now", 0, 0.0, "a.cpp:1: Skipped\nnot today\n[  SKIPPED ] 1 test, listed"),
            Result("not here", 77, 0.0, ""), Result("hung", -9, 2.0, "", "was killed")])
        suite = ElementTree.parse(path).getroot()
        self.assertEqual((suite.get("tests"), suite.get("failures"), suite.get("skipped")),
                         ("5", "2", "2"))
        failures = {case.get("name"): case.find("failure") for case in suite}
        self.assertEqual([case.find("skipped").get("message") for case in suite
                          if case.find("skipped") is not None], ["not today", ""])
        self.assertIsNone(failures["good"])
        self.assertEqual(failures["bad"].text, "why <&>?")
        self.assertEqual(failures["hung"].get("message"), "was killed")

    def test_fault_table(self):
        rows = report.fault_rows('noise\n@fault {"fault": "it \\"broke\\"", "injected": "a", "seen": "b", '
                                 '"recovery": "c", "seconds": 0.0125}\n@fault is a word\n')
        report.write_faults(self.folder, rows)
        with open(self.path("faults.json"), encoding="utf-8") as stream:
            self.assertEqual(json.load(stream)["faults"][0]["fault"], 'it "broke"')
        with open(self.path("faults.txt"), encoding="utf-8") as stream:
            lines = stream.read().splitlines()
        self.assertEqual(len(lines), 3)
        self.assertEqual(lines[2], '| it "broke" | a           | b       | c        | 0.013 s |')
        self.assertEqual(len({len(line) for line in lines}), 1)

    def test_lock_names_its_holder_and_ends_with_it(self):
        path = self.path("locks", "device.lock")
        code = ("import sys, time; sys.path.insert(0, sys.argv[1]); import report\n"
                "with report.lock(sys.argv[2], 0): print('held', flush=True); time.sleep(600)")
        holder = subprocess.Popen([sys.executable, "-B", "-c", code,
                                   os.path.dirname(os.path.abspath(__file__)), path],
                                  stdout=subprocess.PIPE)
        self.assertEqual(holder.stdout.readline(), b"held\n")
        with self.assertRaisesRegex(report.Held, f"pid {holder.pid}, user "):
            with report.lock(path, 0.3):
                pass
        holder.kill()
        holder.wait()
        holder.stdout.close()
        with report.lock(path, 10):
            pass


class Guest(Folder):
    def test_initramfs_holds_what_was_put_in(self):
        archive = Archive()
        self.script("exit 0\n")
        archive.file(self.path("program"), "/deep/down/program")
        archive.link("/bin/sh", "busybox")
        archive.data("/text", b"abc")
        archive.write(self.path("one"))
        archive.write(self.path("two"))
        with open(self.path("one"), "rb") as one, open(self.path("two"), "rb") as two:
            content = one.read()
            self.assertEqual(content, two.read())
        entries = dict(self.read_cpio(content))
        self.assertEqual(stat.S_IFMT(entries["deep/down"][0]), stat.S_IFDIR)
        self.assertEqual(entries["deep/down/program"], (stat.S_IFREG | 0o755, b"#!/bin/sh\nexit 0\n"))
        self.assertEqual(entries["bin/sh"], (stat.S_IFLNK | 0o777, b"busybox"))
        self.assertEqual(entries["text"], (stat.S_IFREG | 0o644, b"abc"))

    def read_cpio(self, data):
        """The "newc" format as the kernel's documentation has it."""
        at = 0
        while True:
            self.assertEqual(data[at:at + 6], b"070701")
            fields = [int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
            name = data[at + 110:at + 110 + fields[11] - 1].decode()
            at += 110 + fields[11] + -(110 + fields[11]) % 4
            if name == "TRAILER!!!":
                return
            yield name, (fields[1], data[at:at + fields[6]])
            at += fields[6] + -fields[6] % 4


class Boot(Folder):
    """What a guest says is followed; a guest that dies or falls silent costs one case."""

    def follow(self, script, names):
        self.script(script)
        os.makedirs(self.path("boot"), exist_ok=True)
        guest = machine.Machine([self.path("program"), self.path("boot", "results.log")],
                                self.path("boot"))
        results = []
        cases = [Case(name, "program", [], 60) for name in names]
        try:
            done = machine._follow(guest, cases, self.path("cases"),
                                   self.path("boot"), lambda result, _: results.append(result), {})
        finally:
            guest.stop()
        return done, {result.name: result for result in results}

    def test_results_and_files(self):
        done, results = self.follow(
            'exec >"$1"\n'
            'echo "@begin a"; echo "@file a output.txt"; echo aGVsbG8=; echo "@eof"\n'
            'echo "@end a 0 1.25"; echo "@begin b"; echo "@end b 137 60.00"; echo "@done"\n',
            ["a", "b"])
        self.assertEqual(done, 2)
        self.assertEqual((results["a"].output, results["a"].seconds), ("hello", 1.25))
        self.assertFalse(results["a"].failed)
        self.assertIn("was killed", results["b"].problem)

    def test_guest_that_dies_costs_the_case_that_ran(self):
        done, results = self.follow(
            'exec >"$1"; echo "@begin a"; echo "@end a 0 1.00"; echo "@begin b"; exit 1\n',
            ["a", "b", "c"])
        self.assertEqual(done, 2)  # c is for the next boot
        self.assertIn("the virtual machine ended", results["b"].problem)
        self.assertNotIn("c", results)

    def test_silent_guest_is_killed(self):
        before, machine.SILENCE_SECONDS = machine.SILENCE_SECONDS, 1
        try:
            done, results = self.follow('echo "@begin a" >"$1"; exec sleep 600\n', ["a", "b"])
        finally:
            machine.SILENCE_SECONDS = before
        self.assertEqual(done, 1)
        self.assertIn("said nothing", results["a"].problem)

    def test_guest_that_never_boots_is_one_failure(self):
        done, results = self.follow("exit 1\n", ["a", "b"])
        self.assertEqual(done, 2)
        self.assertEqual(list(results), ["boot"])


if __name__ == "__main__":
    unittest.main()
