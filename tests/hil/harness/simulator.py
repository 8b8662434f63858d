"""A talus-sim process on a socket of its own, with everything that it writes kept."""

import os
import select
import subprocess
import time


# Packet sizes and tags are the host's choice, a guest's kernel makes another than the driver does by itself, and
# cycles are to be compared: what every host grants.
LINK = ["--set", "pcie.max_payload_bytes=128", "--set", "pcie.tags=32"]


class Simulator:
    def __init__(self, build, folder):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.socket = os.path.join(folder, "socket")
        self.uart = os.path.join(folder, "uart.log")
        self.log = os.path.join(folder, "simulator.log")
        self._stderr = open(os.path.join(folder, "simulator.err"), "wb")
        self._process = subprocess.Popen(
            [os.path.join(build, "bin", "talus-sim"), "--socket", self.socket, "--uart", self.uart,
             "--log", self.log, "--verbose", *LINK],
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
        if self.alive():
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process.stdout.close()
        self._stderr.close()

    def artifacts(self):
        return [path for path in (self.uart, self.log, os.path.join(self.folder, "simulator.err"))
                if os.path.exists(path) and os.path.getsize(path)]
