"""What hardware in the loop runs: the same programs, with the same arguments, on every kind of device."""

import dataclasses
import os
import re
import subprocess

from simulator import FREE_CLOCK

# GoogleTest programs of the build tree. {device} = a Talus device; {edu} = QEMU's teaching device.
DEVICE_TESTS = ["talus_device_test"]
VFIO_TESTS = ["talus_vfio_test"]
# Of simulators that the tests start themselves: faults that only a simulator can have.
SIM_TESTS = {"talus_driver_sim_test": r"DriverSimFailure\.|HostClock\.RecoveryAbortsTheJobAlone"}
EDU_TESTS = ["talus_edu_test"]
# On a simulated device: case -> what its simulator does wrong, and what says so to the case.
FAULTY = {"DeviceFault.LostInterruptsAreNoticedWithoutAReset":
          (("--inject", "msix-drop:vector={queue}:count=20"), {"TALUS_TEST_LOST_INTERRUPTS": "1"})}

# What a virtual machine repeats through talusd, which then owns a function behind vfio-pci.
THROUGH_TALUSD = r"Device\.Roads\..*\.Shadow|DeviceFault\.(KilledClient|RecoveryEnds)|DeviceLimits\."


@dataclasses.dataclass
class Case:
    name: str
    program: str  # in the build tree
    arguments: list
    limit: int  # seconds of wall clock; generous, for it only ends what hangs
    files: dict = dataclasses.field(default_factory=dict)  # name in the folder that it runs in -> source
    # A fault of the simulator that is this case's alone: more arguments of its talus-sim, and what tells the case.
    simulator: tuple = ()
    environment: dict = dataclasses.field(default_factory=dict)
    daemon: bool = False  # in a virtual machine: as a client of a talusd that owns the function meanwhile


def tests_of(build, program, limit):
    """One case for each test of a GoogleTest program."""
    listing = subprocess.run([os.path.join(build, "tests", program), "--gtest_list_tests"],
                             capture_output=True, text=True, check=True).stdout
    suite = ""
    for line in listing.splitlines():
        text = line.split("#")[0].rstrip()
        if not text.startswith(" "):
            suite = text.strip()
        elif "DISABLED_" not in suite + text:
            test = suite + text.strip()
            yield Case(test.replace("/", "."), f"tests/{program}", [f"--gtest_filter={test}"], limit)


def model_case(name, source, model):
    folder = os.path.join(source, "sdk", "demo")
    files = {each: os.path.join(folder, each) for each in (model, "clicks.csv", "encoder.json")}
    arguments = ["--model", model, "--data", "clicks.csv", "--encoder", "encoder.json", "--target",
                 "talus", "--output", "predictions.csv", "--json", "summary.json"]
    return Case(name, "bin/talus-run", arguments, 300, files)


def talus_cases(build, source, kind):
    """Cases for a Talus device of a kind: sim, talusd, vm or vfio."""
    cases = [Case("smi.info", "bin/talus-smi", ["info", "--boot"], 120)]
    for program in DEVICE_TESTS + (VFIO_TESTS if kind in ("vm", "vfio") else []):
        cases += tests_of(build, program, 240)
    if kind == "sim":
        for program, wanted in SIM_TESTS.items():
            cases += [case for case in tests_of(build, program, 240) if re.match(wanted, case.name)]
    for case in cases:
        if kind != "vfio" and case.name in FAULTY:
            arguments, case.environment = FAULTY[case.name]
            queue = 2 if kind == "talusd" else 1  # of a process's first queue; talusd has one itself
            case.simulator = tuple(each.format(queue=queue) for each in arguments)
    cases += [model_case("run.dlrm", source, "model.onnx"),
              model_case("run.embedding-bag", source, "model_bag.onnx")]
    if kind == "vm":
        cases += [dataclasses.replace(case, name="talusd." + case.name, daemon=True,
                                      simulator=FREE_CLOCK)
                  for case in cases if re.match(THROUGH_TALUSD, case.name)]
    return cases


def edu_cases(build):
    return [case for program in EDU_TESTS for case in tests_of(build, program, 120)]
