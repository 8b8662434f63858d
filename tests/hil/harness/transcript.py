"""A relay between a vfio-user client and its server that writes down every message: how the transcripts of
tests/unit/sim_pci/transcripts are made.

    python3 tests/hil/harness/transcript.py LISTEN SERVER FILE [LIMIT]

A line is `>` (client) or `<` (server), the message in hexadecimal, and its descriptors: `fd=SIZE` for a file,
`fd=event` for an eventfd. Payload beyond 256 bytes is not kept; the header says how much there was. Ends
with the client, or writes nothing more after LIMIT lines."""

import array
import os
import select
import socket
import stat
import struct
import sys

HEADER = 16
KEEP = 256


def receive(sock, size, fds):
    data = b""
    while len(data) < size:
        part, control, _, _ = sock.recvmsg(size - len(data), socket.CMSG_SPACE(64 * 4))
        for level, kind, payload in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received = array.array("i")
                received.frombytes(payload[:len(payload) - len(payload) % received.itemsize])
                fds += received
        if not part:
            return None
        data += part
    return data


def describe(fd):
    status = os.fstat(fd)
    return f"fd={status.st_size}" if stat.S_ISREG(status.st_mode) else "fd=event"


def relay(source, target, mark, write):
    """One message; False when `source` has closed."""
    fds = array.array("i")
    header = receive(source, HEADER, fds)
    if header is None:
        return False
    size = struct.unpack_from("<I", header, 4)[0]
    payload = receive(source, size - HEADER, fds)
    if payload is None:
        return False
    write(" ".join([mark, (header + payload[:KEEP]).hex()] + [describe(fd) for fd in fds]))
    target.sendmsg([header + payload],
                   [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if fds else [])
    for fd in fds:
        os.close(fd)
    return True


def main():
    listen_path, server_path, file = sys.argv[1:4]
    limit = int(sys.argv[4]) if len(sys.argv) > 4 else 1 << 30
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(listen_path)
    listener.listen(1)
    client = listener.accept()[0]
    server = socket.socket(socket.AF_UNIX)
    server.connect(server_path)
    with open(file, "w", encoding="utf-8") as out:
        lines = 0

        def write(line):
            nonlocal lines
            lines += 1
            if lines <= limit:
                out.write(line + "\n")
                out.flush()

        while True:
            ready = select.select([client, server], [], [])[0]
            if client in ready and not relay(client, server, ">", write):
                break
            if server in ready and not relay(server, client, "<", write):
                break


if __name__ == "__main__":
    main()
