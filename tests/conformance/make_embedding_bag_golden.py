#!/usr/bin/env python3
"""Writes embedding_bag.golden: results of PyTorch's nn.EmbeddingBag that the conformance test compares
every target with.

    apt-get install python3-torch
    /usr/bin/python3 tests/conformance/make_embedding_bag_golden.py tests/conformance/embedding_bag.golden

The file is text, numbers in order, so that a machine with nothing but a C++ compiler can read it:
per case "mode rows width batch indices", then the table, the indices, the offsets (batch + 1) and the
expected output. Table entries are multiples of 1/64 below 8: binary16 holds them exactly.
"""

import sys

import torch


def bags(generator, rows, lengths, kind):
    """Indices and offsets of bags with these lengths."""
    indices = []
    offsets = [0]
    for bag, length in enumerate(lengths):
        drawn = torch.randint(0, rows, (length,), generator=generator).tolist()
        if kind == "repeated" and length > 1:
            drawn = [drawn[0]] * length
        elif kind == "shared":  # every bag starts with the same rows
            drawn = [(position * 7) % rows for position in range(length)]
        elif kind == "edges" and length > 1:
            drawn[0], drawn[-1] = rows - 1, 0
        indices += drawn
        offsets.append(len(indices))
    return indices, offsets


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    generator = torch.Generator().manual_seed(20240921)
    cases = []
    for mode in ("sum", "mean", "max"):
        for kind in ("random", "repeated", "shared", "edges"):
            for rows, width, lengths in (
                (1, 1, [0]),
                (1, 3, [1, 0, 4]),
                (11, 16, [0, 1, 2, 0, 5, 31, 0]),
                (37, 5, [1] * 9),
                (64, 33, [3, 0, 0, 65, 1]),
            ):
                table = torch.randint(-511, 512, (rows, width), generator=generator) / 64.0
                indices, offsets = bags(generator, rows, lengths, kind)
                bag = torch.nn.EmbeddingBag(rows, width, mode=mode, include_last_offset=True)
                with torch.no_grad():
                    bag.weight.copy_(table)
                    expected = bag(
                        torch.tensor(indices, dtype=torch.long),
                        torch.tensor(offsets, dtype=torch.long),
                    )
                cases.append((mode, rows, width, table, indices, offsets, expected))
    with open(sys.argv[1], "w", encoding="ascii") as out:
        out.write(f"# torch.nn.EmbeddingBag of PyTorch {torch.__version__}, by "
                  "tests/conformance/make_embedding_bag_golden.py\n")
        out.write(f"{len(cases)}\n")
        for mode, rows, width, table, indices, offsets, expected in cases:
            out.write(f"{mode} {rows} {width} {len(offsets) - 1} {len(indices)}\n")
            for numbers in (table.flatten().tolist(), indices, offsets,
                            expected.flatten().tolist()):
                out.write(" ".join(f"{number:.9g}" for number in numbers) + "\n")


if __name__ == "__main__":
    main()
