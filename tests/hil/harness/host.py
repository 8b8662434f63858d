"""Runs cases as processes of this machine, on a simulator of their own, as clients of a talusd, or on a real
function."""

import os
import shutil
import signal
import subprocess
import time

from daemon import Daemon
from report import Result
from simulator import FREE_CLOCK, Simulator


def run_case(case, build, folder, environment):
    """Runs a case in `folder` and kills its whole process group at the limit."""
    os.makedirs(folder, exist_ok=True)
    for name, source in case.files.items():
        shutil.copy(source, os.path.join(folder, name))
    began = time.monotonic()
    problem = ""
    with open(os.path.join(folder, "output.txt"), "w+b") as output:
        process = subprocess.Popen([os.path.join(build, case.program)] + case.arguments, cwd=folder,
                                   stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=subprocess.STDOUT, start_new_session=True,
                                   env={**os.environ, **environment, **case.environment})
        try:
            code = process.wait(case.limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
            problem = f"did not end within {case.limit} s and was killed"
        output.seek(0)
        text = output.read().decode(errors="replace")
    return Result(case.name, code, time.monotonic() - began, text, problem)


class _Target:
    """A simulator, and with `shared` a talusd that owns it, for one case after another."""

    def __init__(self, build, folder, arguments, shared):
        self.arguments = arguments
        self.simulator = Simulator(build, folder, (*arguments, *FREE_CLOCK) if shared else arguments)
        self.daemon = None
        if shared:
            try:
                self.daemon = Daemon(build, folder, self.simulator.socket)
            except RuntimeError:
                self.simulator.stop()
                raise

    @property
    def device(self):
        return self.daemon.device if self.daemon else self.simulator.socket

    def dead(self):
        """Which of the two has ended; "" if they live."""
        if not self.simulator.alive():
            return "the simulator"
        return "talusd" if self.daemon and not self.daemon.alive() else ""

    def stop(self):
        if self.daemon:
            self.daemon.stop()
        self.simulator.stop()

    def artifacts(self, since, until):
        logs = [self.daemon.log] if self.daemon and os.path.getsize(self.daemon.log) else []
        return logs + self.simulator.artifacts(since, until)


def run_on_simulator(cases, build, folder, on_result, shared=False):
    """A simulator serves case after case; after one that hung, or that killed it, comes a new one. With `shared`
    the cases are clients of a talusd that owns it."""
    target = None
    generation = 0
    try:
        for case in cases:
            if target is not None and (target.dead() or target.simulator.worn() or
                                       case.simulator != target.arguments):
                target.stop()
                target = None
            if target is None:
                generation += 1
                target = _Target(build, os.path.join(folder, f"simulator-{generation}"),
                                 case.simulator, shared)
            began = time.time()
            result = run_case(case, build, os.path.join(folder, case.name),
                              {"TALUS_DEVICE": target.device})
            if target.dead() and not result.problem:
                result.problem = f"{target.dead()} ended during the case"
            if not result.failed:
                on_result(result, [])
                continue
            target.simulator.save_config()
            target.stop()  # who knows what state it is in; and a trace is whole once it has ended
            on_result(result, target.artifacts(began, time.time()))
            target = None
    finally:
        if target is not None:
            target.stop()


def run_on_function(cases, build, folder, bdf, on_result):
    """A function of this machine. What a killed case leaves behind ends with its file of the device:
    the kernel resets the function when the last one closes."""
    smi = os.path.join(build, "bin", "talus-smi")
    bound = subprocess.run([smi, "bind", bdf], capture_output=True, text=True, check=False)
    if bound.returncode != 0:
        raise RuntimeError(bound.stderr.strip())
    try:
        for case in cases:
            case_folder = os.path.join(folder, case.name)
            result = run_case(case, build, case_folder, {"TALUS_DEVICE": bdf})
            artifacts = []
            if result.failed:
                for name, command in {"device.json": [smi, "info", "-d", bdf, "--json"],
                                      "firmware.log": [smi, "log", "-d", bdf],
                                      "pci.txt": ["lspci", "-vvvxxxx", "-s", bdf]}.items():
                    path = os.path.join(case_folder, name)
                    with open(path, "wb") as output:
                        try:
                            subprocess.run(command, stdout=output, stderr=subprocess.STDOUT,
                                           timeout=60, check=False)
                        except (OSError, subprocess.TimeoutExpired) as error:
                            output.write(str(error).encode())
                    artifacts.append(path)
            on_result(result, artifacts)
    finally:
        subprocess.run([smi, "unbind", bdf], capture_output=True, check=False)
