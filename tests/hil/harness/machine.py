"""The virtual machine: Debian's kernel under QEMU's TCG, with an IOMMU, QEMU's `edu` device, and talus-sim
as a PCI function of the guest (-device vfio-user-pci). Cases run inside."""

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
import time

from initramfs import Archive
from report import Result
from simulator import Simulator

# Where QEMU puts the devices on its bus, given the command line below.
TALUS_BDF = "0000:01:00.0"
EDU_BDF = "0000:00:03.0"

MEMORY_MIB = 1536
HUGE_PAGES = 160  # of 2 MiB, for what the device reaches
# The guest may be silent this long: a boot or a case on a loaded machine takes its time.
SILENCE_SECONDS = 300

MODULES = ["irqbypass", "vfio", "vfio_virqfd", "vfio_iommu_type1", "vfio-pci-core", "vfio-pci"]


class Guest:
    """What boots: kernel and initramfs."""

    def __init__(self, downloads, build, source, folder):
        root = os.path.join(downloads, "guest", "root")
        boot = os.path.join(root, "boot")
        self.kernel = next(os.path.join(boot, name) for name in sorted(os.listdir(boot))
                           if name.startswith("vmlinuz"))
        self._root = root
        self._build = build
        self._source = source
        self._folder = folder

    def initramfs(self, cases, environment):
        archive = Archive()
        busybox = os.path.join(self._root, "bin", "busybox")
        archive.file(busybox, "/bin/busybox")
        archive.link("/bin/sh", "busybox")
        for folder in ("proc", "sys", "dev", "tmp", "run", "root"):
            archive.directory(folder)
        archive.file(os.path.join(self._source, "tests", "hil", "guest", "init"), "/init")
        self._add_modules(archive)
        for program in sorted({case.program for case in cases} | {"bin/talus-smi"} |
                              {"bin/talusd" for case in cases if case.daemon}):
            archive.program(os.path.join(self._build, program), self._build, "/talus")
        archive.file(os.path.join(self._build, "lib/talus/firmware/talus.img"),
                     "/talus/lib/talus/firmware/talus.img")
        archive.tree(os.path.join(self._build, "share/talus"), "/talus/share/talus")
        archive.data("/hil/environment", environment)
        for number, case in enumerate(cases):
            self._add_case(archive, f"/hil/cases/{number:04}", case)
        path = os.path.join(self._folder, "initramfs")
        archive.write(path)
        return path

    def _add_modules(self, archive):
        found = {}
        for folder, _, names in os.walk(os.path.join(self._root, "lib", "modules")):
            for name in names:
                if name.endswith(".ko"):
                    found[name] = os.path.join(folder, name)
        # What this kernel has built in is no module.
        names = [f"{module}.ko" for module in MODULES if f"{module}.ko" in found]
        for name in names:
            archive.file(found[name], f"/lib/modules/{name}")
        archive.data("/hil/modules", "\n".join(names).encode())

    @staticmethod
    def _add_case(archive, folder, case):
        lines = [f"cp /hil/files/{case.name}/{name} ." for name in case.files]
        lines += [f"export {name}={shlex.quote(value)}" for name, value in case.environment.items()]
        if case.daemon:
            lines += ["talusd --socket /tmp/talusd --device $TALUS_DEVICE >/tmp/talusd.out 2>talusd.log &",
                      "echo $! >/tmp/talusd.pid", "until grep -q ready /tmp/talusd.out; do",
                      "    kill -0 $(cat /tmp/talusd.pid) || { cat talusd.log; exit 1; }",
                      "    sleep 0.1", "done", "export TALUS_DEVICE=talusd:/tmp/talusd"]
        # The program takes the shell's place, so that the time limit kills it.
        lines.append("exec " + shlex.join(["/talus/" + case.program] + case.arguments))
        archive.data(f"{folder}/name", case.name.encode())
        archive.data(f"{folder}/limit", str(case.limit).encode())
        archive.data(f"{folder}/command", "\n".join(lines).encode())
        for name, source in case.files.items():
            archive.file(source, f"/hil/files/{case.name}/{name}")


class Machine:
    """One boot. Ends by itself, or is killed."""

    def __init__(self, command, folder):
        self.console = os.path.join(folder, "console.log")
        self.results = os.path.join(folder, "results.log")
        self._errors = open(os.path.join(folder, "qemu.err"), "wb")
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                         stdout=self._errors, stderr=self._errors)
        self._read = 0
        self._rest = b""

    def lines(self):
        """New whole lines of the results."""
        if not os.path.exists(self.results):
            return []
        with open(self.results, "rb") as stream:
            stream.seek(self._read)
            data = stream.read()
        self._read += len(data)
        *lines, self._rest = (self._rest + data).replace(b"\r", b"").split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def sign_of_life(self):
        """Changes whenever the guest says something."""
        return tuple(os.path.getsize(path) if os.path.exists(path) else 0
                     for path in (self.console, self.results))

    def running(self):
        return self._process.poll() is None

    def stop(self):
        if self.running():
            self._process.kill()
        self._process.wait()
        self._errors.close()


def qemu_command(source, downloads, guest_kernel, initramfs, folder, socket, accelerator="tcg"):
    """`socket`: of the simulator, or None: only `edu`, under Debian 12's QEMU, which has no vfio-user."""
    talus = [] if socket is None else [
        # A port that reports whether its link is up reports it down after a hot reset, for which the
        # guest's kernel gives up. At 5 GT/s and without hotplug it does not report, and the kernel waits.
        "-device", "pcie-root-port,id=talus-port,bus=pcie.0,addr=2,chassis=1,slot=1,"
                   "x-speed=5,hotplug=off",
        "-device", json.dumps({"driver": "vfio-user-pci", "bus": "talus-port",
                               "socket": {"type": "unix", "path": socket}})]
    qemu = os.path.join(downloads, "qemu" if socket else "qemu-bookworm")
    return [os.path.join(source, "tests", "hil", "qemu"), qemu,
            "-machine", "q35,kernel-irqchip=split,memory-backend=m", "-m", f"{MEMORY_MIB}M",
            # Shared, so that the simulator maps the guest's memory.
            "-object", f"memory-backend-memfd,id=m,size={MEMORY_MIB}M,share=on",
            "-accel", accelerator, "-cpu", "max",
            "-device", "intel-iommu,intremap=on,caching-mode=on",
            "-nic", "none", "-nodefaults", "-vga", "none", "-display", "none", "-no-reboot",
            "-serial", "file:" + os.path.join(folder, "console.log"),
            "-serial", "file:" + os.path.join(folder, "results.log"),
            *talus,
            "-device", "edu,bus=pcie.0,addr=3",
            "-kernel", guest_kernel, "-initrd", initramfs,
            "-append", "console=ttyS0 quiet intel_iommu=on no_timer_check panic=-1 "
                       f"hugepages={HUGE_PAGES}"]


def run_in_machine(cases, build, source, downloads, folder, on_result, with_talus):
    """Boots, runs the cases, and boots again for what is left if the guest hangs or dies, and for cases whose
    simulator is another."""
    remaining = sorted(cases, key=lambda case: case.simulator)
    boot = 0
    while remaining:
        boot += 1
        boot_folder = os.path.join(folder, f"boot-{boot}")
        os.makedirs(boot_folder)
        guest = Guest(downloads, build, source, boot_folder)
        arguments = remaining[0].simulator
        together = [case for case in remaining if case.simulator == arguments]
        environment = f"export EDU_DEVICE={EDU_BDF}\n"
        if with_talus:
            environment += f"export TALUS_DEVICE={TALUS_BDF}\nHIL_BIND='{TALUS_BDF} {EDU_BDF}'\n"
        else:
            environment += f"HIL_BIND={EDU_BDF}\n"
        initramfs = guest.initramfs(together, environment.encode())
        simulator = Simulator(build, os.path.join(boot_folder, "simulator"), arguments) \
            if with_talus else None
        machine = Machine(qemu_command(source, downloads, guest.kernel, initramfs, boot_folder,
                                       simulator.socket if simulator else None), boot_folder)
        failed = {}
        try:
            done = _follow(machine, together, folder, boot_folder, on_result, failed)
        finally:
            machine.stop()
            if simulator:
                simulator.stop()
            os.unlink(initramfs)
        # What is whole only now, as the trace is.
        for name, when in failed.items():
            for path in simulator.artifacts(*when) if simulator else []:
                shutil.copy(path, os.path.join(folder, name))
        remaining = remaining[done:]


def _follow(machine, cases, folder, boot_folder, on_result, failed):
    """Takes results until the guest is done, silent for too long, or dead. Returns how many cases
    are settled; at least one, so that whoever calls again ends. `failed` gets the failed ones, and when they
    began and ended in seconds since the epoch."""
    settled = 0
    current = None
    current_began = time.time()
    began = time.monotonic()
    last_sign, changed = machine.sign_of_life(), time.monotonic()
    collector = _Files(folder)

    def common():
        paths = [machine.console, os.path.join(boot_folder, "qemu.err")]
        return [path for path in paths if os.path.exists(path) and os.path.getsize(path)]

    while True:
        running = machine.running()
        for line in machine.lines():
            if collector.take(line):
                continue
            if line.startswith("@begin "):
                if current is None:
                    print(f"booted in {time.monotonic() - began:.1f} s", flush=True)
                current = line.split(" ", 1)[1]
                current_began = time.time() - 1  # we hear of it a little later
            elif match := re.fullmatch(r"@end (\S+) (\d+) ([0-9.]+)", line):
                name, code = match[1], int(match[2])
                output = collector.text(name, "output.txt")
                result = Result(name, code, float(match[3]), output)
                if code == 137:
                    result.problem = "did not end within its limit and was killed"
                settled += 1
                if result.failed:
                    failed[name] = (current_began, time.time())
                on_result(result, common() if result.failed else [])
            elif line == "@done":
                return len(cases)
        if not running:
            problem = "the virtual machine ended"
            break
        sign = machine.sign_of_life()
        if sign != last_sign:
            last_sign, changed = sign, time.monotonic()
        if time.monotonic() - changed > SILENCE_SECONDS:
            problem = f"the virtual machine said nothing for {SILENCE_SECONDS} s and was killed"
            machine.stop()
            break
        time.sleep(0.1)
    # The case that was running is at fault; before the first one, the boot is, and no case runs.
    if current is None:
        failed["boot"] = (0.0, time.time())
        on_result(Result("boot", 1, time.monotonic() - began, "", problem), common())
        return len(cases)
    case = cases[settled]
    failed[case.name] = (current_began, time.time())
    on_result(Result(case.name, 1, time.monotonic() - changed, "", problem), common())
    return settled + 1


class _Files:
    """Files that come over the results line, into FOLDER/CASE/NAME."""

    def __init__(self, folder):
        self._folder = folder
        self._open = None
        self._lines = []

    def take(self, line):
        if match := re.fullmatch(r"@file (\S+) ([\w.-]+)", line):
            self._open = (match[1], match[2])
            self._lines = []
        elif self._open is None:
            return False
        elif line == "@eof":
            case, name = self._open
            os.makedirs(os.path.join(self._folder, case), exist_ok=True)
            with open(os.path.join(self._folder, case, name), "wb") as stream:
                stream.write(base64.b64decode("".join(self._lines)))
            self._open = None
        else:
            self._lines.append(line)
        return True

    def text(self, case, name):
        path = os.path.join(self._folder, case, name)
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
