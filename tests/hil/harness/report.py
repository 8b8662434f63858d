"""Results of cases, JUnit XML, and the lock on a device."""

import contextlib
import dataclasses
import fcntl
import getpass
import json
import os
import re
import time
import xml.etree.ElementTree as ElementTree

SKIPPED = 77  # a case's exit code: it does not apply to this device


@dataclasses.dataclass
class Result:
    name: str
    code: int  # exit code; negative = ended by that signal
    seconds: float
    output: str
    problem: str = ""  # what the runner has to say beside the output

    @property
    def skipped(self):
        return self.code == SKIPPED or (self.code == 0 and "[  SKIPPED ] 1 test" in self.output)

    @property
    def failed(self):
        return not self.skipped and (self.code != 0 or self.problem != "")

    @property
    def reason(self):
        """Why it failed, or does not apply; "" if it passed."""
        if self.skipped:
            match = re.search(r": Skipped\n(.+)", self.output)
            return match[1] if match else ""
        return (self.problem or f"exit code {self.code}") if self.failed else ""


def write_junit(path, device, results):
    suite = ElementTree.Element(
        "testsuite", name=f"hil.{device}", tests=str(len(results)),
        failures=str(sum(r.failed for r in results)), skipped=str(sum(r.skipped for r in results)),
        time=f"{sum(r.seconds for r in results):.2f}")
    for result in results:
        case = ElementTree.SubElement(suite, "testcase", classname=f"hil.{device}",
                                      name=result.name, time=f"{result.seconds:.2f}")
        if result.skipped:
            ElementTree.SubElement(case, "skipped", message=_printable(result.reason))
        elif result.failed:
            failure = ElementTree.SubElement(case, "failure", message=result.reason)
            failure.text = _printable(result.output[-20000:])
    ElementTree.indent(suite)
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def fault_rows(output):
    """Rows of the fault table in a test's output (device_test::report_fault)."""
    return [json.loads(line.split(" ", 1)[1]) for line in output.splitlines()
            if line.startswith("@fault {")]


def fault_table(rows):
    """The table as text, which is also Markdown."""
    lines = [("fault", "injected by", "seen as", "recovery", "time")]
    lines += [(row["fault"], row["injected"], row["seen"], row["recovery"], f"{row['seconds']:.3f} s") for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    lines.insert(1, tuple("-" * width for width in widths))
    return "".join("| " + " | ".join(text.ljust(width) for text, width in zip(line, widths)) + " |\n"
                   for line in lines)


def write_faults(folder, rows):
    """faults.json and faults.txt."""
    with open(os.path.join(folder, "faults.json"), "w", encoding="utf-8") as stream:
        json.dump({"faults": rows}, stream, indent=2)
    with open(os.path.join(folder, "faults.txt"), "w", encoding="utf-8") as stream:
        stream.write(fault_table(rows))


def _printable(text):
    return "".join(c if c in "\n\t" or 32 <= ord(c) < 0xd800 else "?" for c in text)


class Held(Exception):
    """Somebody else has the device."""


@contextlib.contextmanager
def lock(path, wait_seconds):
    """An exclusive lock that says who holds it, and that ends with its holder however that ends."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "a+", encoding="utf-8") as stream:
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    stream.seek(0)
                    raise Held(f"{path} is held by {stream.read().strip() or 'an unnamed process'}") \
                        from None
                time.sleep(0.2)
        stream.seek(0)
        stream.truncate()
        stream.write(f"pid {os.getpid()}, user {getpass.getuser()}, since "
                     f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}\n")
        stream.flush()
        try:
            yield
        finally:
            stream.seek(0)
            stream.truncate()
