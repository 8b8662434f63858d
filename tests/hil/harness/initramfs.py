"""Builds an initramfs: a "newc" cpio archive, as the kernel's Documentation/driver-api/early-userspace
describes it. No root and no cpio program needed; the same input gives the same bytes."""

import os
import re
import stat
import subprocess


class Archive:
    """Files of the guest by their path there. Parents are made as they are needed."""

    def __init__(self):
        self._entries = {}  # path -> (mode, content)

    def directory(self, path):
        path = path.strip("/")
        if path and path not in self._entries:
            self.directory(os.path.dirname(path))
            self._entries[path] = (stat.S_IFDIR | 0o755, b"")

    def data(self, path, content, mode=0o644):
        path = path.strip("/")
        self.directory(os.path.dirname(path))
        self._entries[path] = (stat.S_IFREG | mode, content)

    def file(self, source, path):
        with open(source, "rb") as stream:
            content = stream.read()
        self.data(path, content, 0o755 if os.access(source, os.X_OK) else 0o644)

    def link(self, path, target):
        path = path.strip("/")
        self.directory(os.path.dirname(path))
        self._entries[path] = (stat.S_IFLNK | 0o777, target.encode())

    def tree(self, source, path):
        for folder, _, names in os.walk(source):
            for name in names:
                full = os.path.join(folder, name)
                self.file(full, os.path.join(path, os.path.relpath(full, source)))

    def program(self, source, build, prefix):
        """A program of the build tree with every library that it loads. What is in `build` stands
        below `prefix` in the guest (programs find their libraries relative to themselves), system
        libraries where they are here."""

        def place(path):
            inside = os.path.relpath(path, build)
            return path if inside.startswith("..") else os.path.join(prefix, inside)

        for path in [source] + libraries(source):
            if place(path).strip("/") not in self._entries:
                self.data(place(path), _stripped(path), 0o755)

    def write(self, target):
        with open(target, "wb") as out:
            for number, (path, (mode, content)) in enumerate(sorted(self._entries.items()), 1):
                _write_entry(out, number, path, mode, content)
            _write_entry(out, 0, "TRAILER!!!", 0, b"")


def libraries(program):
    """Absolute paths of the shared objects that the loader would map, itself included."""
    listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    missing = re.findall(r"(\S+) => not found", listing)
    if missing:
        raise RuntimeError(f"{program} needs {', '.join(missing)}, which is not there")
    return re.findall(r"(/\S+) \(0x", listing)


def _stripped(path):
    result = subprocess.run(["strip", "-o", "/dev/stdout", path], capture_output=True, check=False)
    if result.returncode == 0 and result.stdout:
        return result.stdout
    with open(path, "rb") as stream:
        return stream.read()


def _write_entry(out, number, path, mode, content):
    name = path.encode() + b"\0"
    fields = [number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0]
    out.write(b"070701" + b"".join(b"%08x" % field for field in fields) + name)
    out.write(b"\0" * (-(110 + len(name)) % 4))
    out.write(content + b"\0" * (-len(content) % 4))
