"""A talusd process that owns a device for the cases."""

import os
import select
import subprocess

import processes


class Daemon:
    def __init__(self, build, folder, device):
        """`device`: what it owns, as its --device takes it. What it says goes to FOLDER/talusd.log."""
        os.makedirs(folder, exist_ok=True)
        socket = os.path.join(folder, "talusd")
        self.device = "talusd:" + socket
        self.log = os.path.join(folder, "talusd.log")
        self._log = open(self.log, "wb")
        self._process = subprocess.Popen(
            [os.path.join(build, "bin", "talusd"), "--socket", socket, "--device", device],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._log)
        if not select.select([self._process.stdout], [], [], 60)[0] or \
                not self._process.stdout.readline():
            self.stop()
            raise RuntimeError(f"talusd did not start; see {self.log}")

    def alive(self):
        return self._process.poll() is None

    def stop(self):
        processes.end(self._process, 20)
        self._log.close()
