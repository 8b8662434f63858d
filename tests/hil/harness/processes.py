"""Ends what the harness has started."""

import subprocess


def end(process, seconds):
    """Asks `process` to end, kills it if it has not within `seconds`, and closes its output."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    process.stdout.close()
