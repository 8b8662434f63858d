#!/usr/bin/env python3
"""Writes first inputs for the fuzzer of messages: what QEMU sent, cut into pieces that each hold new kinds of
messages. usage: tests/fuzz/make_corpus.py TRANSCRIPT FOLDER"""

import os
import struct
import sys


def record(message, fds):
    spec = min(len(fds), 3) | (4 if "event" in fds else 0) | 8 | 16
    return struct.pack("<BH", spec, len(message)) + message


def main():
    transcript, folder = sys.argv[1:3]
    os.makedirs(folder, exist_ok=True)
    seen, piece, number = set(), b"", 0
    with open(transcript, encoding="utf-8") as stream:
        for line in stream:
            mark, text, *fds = line.split()
            message = bytes.fromhex(text)
            command, size = struct.unpack_from("<HI", message, 2)
            if mark != ">" or command == 1:
                continue
            # Kinds differ in command, size, region or interrupt index, and descriptors.
            kind = (command, size, message[24:28] if command in (9, 10) else message[16:28],
                    len(fds))
            if kind in seen:
                continue
            seen.add(kind)
            piece += record(message, [fd.split("=")[1] for fd in fds])
            if len(piece) > 400:
                with open(os.path.join(folder, f"qemu-{number:02}"), "wb") as out:
                    out.write(piece)
                piece, number = b"", number + 1
    if piece:
        with open(os.path.join(folder, f"qemu-{number:02}"), "wb") as out:
            out.write(piece)


if __name__ == "__main__":
    main()
