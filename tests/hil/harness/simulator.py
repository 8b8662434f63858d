"""A talus-sim process on a socket of its own, with everything that it writes kept."""

import os
import select
import subprocess
import time

import processes

# Packet sizes and tags are the host's choice, a guest's kernel makes another than the driver does by itself, and
# cycles are to be compared: what every host grants.
LINK = ["--set", "pcie.max_payload_bytes=128", "--set", "pcie.tags=32"]

# Of one that talusd owns, as where talusd starts it itself: no client's kernel keeps the others from being heard.
FREE_CLOCK = ("--host-clock", "free")

# Of one simulator: it writes no more of a trace than this, and 16 core files (sim/src/debug/README.md). One that has
# come near either is replaced where that is possible, so that the next case's find room.
TRACE_MIB = 256
ENOUGH_TRACE_MIB = 64
ENOUGH_CORES = 8


class Simulator:
    def __init__(self, build, folder, arguments=()):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.socket = os.path.join(folder, "socket")
        self.uart = os.path.join(folder, "uart.log")
        self.log = os.path.join(folder, "simulator.log")
        self.trace = os.path.join(folder, "trace.pftrace")
        self.crashes = os.path.join(folder, "crashes")
        os.makedirs(self.crashes, exist_ok=True)
        self.sysfs = os.path.join(folder, "sysfs")
        self.pci = os.path.join(folder, "pci.txt")
        self._stderr = open(os.path.join(folder, "simulator.err"), "wb")
        self._process = subprocess.Popen(
            [os.path.join(build, "bin", "talus-sim"), "--socket", self.socket, "--uart", self.uart,
             "--log", self.log, "--verbose", "--sysfs", self.sysfs, "--trace", self.trace, "--trace-limit", str(TRACE_MIB),
             "--crash-dir", self.crashes, *LINK, *arguments],
            stdout=subprocess.PIPE, stderr=self._stderr)
        self._await_readiness(60)

    def _await_readiness(self, seconds):
        deadline = time.monotonic() + seconds
        line = b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                self.stop()
                raise RuntimeError(f"talus-sim was not ready within {seconds} s")
            byte = os.read(self._process.stdout.fileno(), 1)
            if not byte:
                self.stop()
                raise RuntimeError(f"talus-sim did not start; see {self.folder}/simulator.err")
            line += byte

    def alive(self):
        return self._process.poll() is None

    def stop(self):
        processes.end(self._process, 10)
        self._stderr.close()

    def save_config(self):
        """Writes the function's config space down, as `lspci -xxxx` prints it."""
        with open(self.pci, "w", encoding="ascii") as output:
            for folder, _, names in sorted(os.walk(self.sysfs)):
                if "config" in names:
                    with open(os.path.join(folder, "config"), "rb") as stream:
                        data = stream.read()
                    output.write(os.path.basename(folder) + "\n" + "".join(
                        f"{at:02x}: {data[at:at + 16].hex(' ')}\n" for at in range(0, len(data), 16)))

    def worn(self):
        """Whether another one should serve the next case."""
        return (os.path.exists(self.trace) and os.path.getsize(self.trace) > ENOUGH_TRACE_MIB << 20) or \
            len(self._cores()) >= ENOUGH_CORES

    def _cores(self):
        return sorted(os.path.join(self.crashes, name) for name in os.listdir(self.crashes)) \
            if os.path.isdir(self.crashes) else []

    def artifacts(self, since, until):
        """What it has written so far; of core files those of that time (seconds since the epoch). The trace is whole
        once it has been stopped."""
        paths = [self.uart, self.log, os.path.join(self.folder, "simulator.err"), self.trace,
                 self.pci]
        paths += [path for path in self._cores() if since <= os.path.getmtime(path) <= until]
        return [path for path in paths if os.path.exists(path) and os.path.getsize(path)]
