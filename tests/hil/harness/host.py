"""Runs cases as processes of this machine, on a simulator of their own or on a real function."""

import os
import shutil
import signal
import subprocess
import time

from report import Result
from simulator import Simulator


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


def run_on_simulator(cases, build, folder, on_result):
    """A simulator serves case after case; after one that hung, or that killed it, comes a new one."""
    simulator = None
    generation = 0
    try:
        for case in cases:
            if simulator is not None and (simulator.worn() or case.simulator != simulator.arguments):
                simulator.stop()
            if simulator is None or not simulator.alive():
                generation += 1
                simulator = Simulator(build, os.path.join(folder, f"simulator-{generation}"),
                                      case.simulator)
            began = time.time()
            result = run_case(case, build, os.path.join(folder, case.name),
                              {"TALUS_DEVICE": simulator.socket})
            if not simulator.alive() and not result.problem:
                result.problem = "the simulator ended during the case"
            if not result.failed:
                on_result(result, [])
                continue
            simulator.save_config()
            simulator.stop()  # who knows what state it is in; and a trace is whole once it has ended
            on_result(result, simulator.artifacts(began, time.time()))
            simulator = None
    finally:
        if simulator is not None:
            simulator.stop()


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
