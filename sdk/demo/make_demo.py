#!/usr/bin/env python3
"""Makes the demo data beside this file: a click log, its encoder, a DLRM trained on it as two ONNX
models, and PyTorch's prediction for every row.

The log is synthetic: every impression has a hidden user and item vector; counts (I1..I13) and
categories (C1..C26) are noisy views of them, categories follow a Zipf law, some fields are missing,
and a click is drawn from a logistic model of user, item and their product. It has Criteo's columns
(Id, Label, I1..I13, C1..C26) and nothing of Criteo's data. The last tenth of the rows is never trained on.

Needs PyTorch and NumPy (Debian: python3-torch python3-numpy). Users of Talus do not need it: what it
makes is committed. The same seed gives the same log; trained weights can differ in the last bits
between PyTorch builds.

    python3 make_demo.py [--rows 1000] [--train-rows 60000] [--seed 7] [--out DIR]
"""
import argparse
import csv
import json
import math
import os
import zlib

import numpy as np
import torch
from torch import nn

DENSE, SPARSE, WIDTH, BUCKETS = 13, 26, 16, 8
FIRST_KNOWN = 1 + BUCKETS  # 0 = missing, 1..8 = unknown values by hash


def value_name(column, rank):
    return f"{zlib.crc32(f'C{column + 1}:{rank}'.encode()):08x}"


def make_log(rows, rng):
    """Returns labels, dense (float, NaN = missing) and sparse (rank, -1 = missing)."""
    hidden = 6
    user, item = rng.normal(size=(rows, hidden)), rng.normal(size=(rows, hidden))
    both = np.concatenate([user, item], axis=1)
    score = -1.6 + 0.9 * (user * item).sum(axis=1) / math.sqrt(hidden) + 0.5 * user[:, 0] - 0.4 * item[:, 1]
    label = (rng.random(rows) < 1 / (1 + np.exp(-score))).astype(np.int64)
    mix = rng.normal(size=(2 * hidden, DENSE))
    counts = np.floor(np.exp(np.clip(both @ mix / 3 + rng.normal(scale=0.4, size=(rows, DENSE)) + 1.2, -3, 9)))
    counts[:, 1] -= 2  # Criteo's second count goes below zero as well
    counts[rng.random((rows, DENSE)) < 0.08] = np.nan
    sizes = np.geomspace(6, 300, SPARSE).astype(int)[rng.permutation(SPARSE)]
    sparse = np.zeros((rows, SPARSE), dtype=np.int64)
    for column, size in enumerate(sizes):
        direction = rng.normal(size=2 * hidden) / math.sqrt(2 * hidden)
        signal = 0.5 * (1 + np.vectorize(math.erf)((both @ direction + 0.3 * rng.normal(size=rows)) / math.sqrt(2.2)))
        cumulative = np.cumsum(1 / np.arange(1, size + 1))
        sparse[:, column] = np.searchsorted(cumulative / cumulative[-1], np.clip(signal, 0, 1 - 1e-12))
        sparse[rng.random(rows) < 0.03, column] = -1
    return label, counts, sparse


def make_encoder(counts, sparse):
    """Vocabulary: values seen at least five times in training rows; the rest goes by hash."""
    logs = np.log1p(np.maximum(np.nan_to_num(counts) + 1, 0)).astype(np.float32)
    vocabulary = []
    for column in range(SPARSE):
        ranks, seen = np.unique(sparse[:, column], return_counts=True)
        names = sorted(value_name(column, r) for r, n in zip(ranks, seen) if r >= 0 and n >= 5)
        vocabulary.append({name: FIRST_KNOWN + i for i, name in enumerate(names)})
    return {
        "dense": {
            "columns": [f"I{i + 1}" for i in range(DENSE)], "missing": 0.0,
            "transform": "log1p(max(x + 1, 0))",
            "mean": [float(v) for v in logs.mean(axis=0)], "std": [float(v) for v in logs.std(axis=0) + 1e-6],
        },
        "sparse": {
            "columns": [f"C{i + 1}" for i in range(SPARSE)], "missing_id": 0,
            "unknown": {"hash": "crc32 of the UTF-8 value (IEEE 802.3)", "buckets": BUCKETS, "first_id": 1},
            "vocabulary": vocabulary,
        },
    }


def encode(encoder, counts, sparse):
    x = np.log1p(np.maximum(np.nan_to_num(counts) + 1, 0))
    x = (x - np.array(encoder["dense"]["mean"])) / np.array(encoder["dense"]["std"])
    ids = np.zeros_like(sparse)
    for column, vocabulary in enumerate(encoder["sparse"]["vocabulary"]):
        for row, rank in enumerate(sparse[:, column]):
            if rank >= 0:
                name = value_name(column, rank)
                ids[row, column] = vocabulary.get(name, 1 + zlib.crc32(name.encode()) % BUCKETS)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(ids)


def mlp(sizes, last):
    layers = []
    for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
        layers += [nn.Linear(a, b), nn.ReLU() if i + 2 < len(sizes) else last]
    return nn.Sequential(*layers)


class Dlrm(nn.Module):
    """DLRM with dot interaction; tables as nn.Embedding."""

    def __init__(self, rows):
        super().__init__()
        self.bot = mlp([DENSE, 64, 32, WIDTH], nn.ReLU())
        self.emb = nn.ModuleList(nn.Embedding(n, WIDTH) for n in rows)
        for table in self.emb:
            nn.init.normal_(table.weight, std=1 / math.sqrt(WIDTH))
        features = SPARSE + 1
        i, j = torch.tril_indices(features, features, offset=-1)
        self.register_buffer("tri", i * features + j)
        self.top = mlp([WIDTH + len(self.tri), 128, 64, 1], nn.Sigmoid())

    def lookup(self, sparse):
        return [table(sparse[:, t]) for t, table in enumerate(self.emb)]

    def forward(self, dense, *sparse):
        x = self.bot(dense)
        t = torch.cat([x] + self.lookup(*sparse), dim=1).reshape(-1, SPARSE + 1, WIDTH)
        z = torch.flatten(torch.matmul(t, t.transpose(1, 2)), 1)
        return self.top(torch.cat([x, torch.index_select(z, 1, self.tri)], dim=1))


class DlrmBag(Dlrm):
    """The same with nn.EmbeddingBag: inputs idx0, off0, idx1, off1, ..."""

    def __init__(self, other):
        super().__init__([t.num_embeddings for t in other.emb])
        self.load_state_dict(other.state_dict())
        self.emb = nn.ModuleList(
            nn.EmbeddingBag.from_pretrained(t.weight.detach().clone(), mode="sum") for t in other.emb)

    def lookup(self, *bags):
        return [table(bags[2 * t], bags[2 * t + 1]) for t, table in enumerate(self.emb)]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1000, help="rows in clicks.csv")
    options.add_argument("--train-rows", type=int, default=60000)
    options.add_argument("--epochs", type=int, default=2)
    options.add_argument("--seed", type=int, default=7)
    options.add_argument("--out", default=os.path.dirname(os.path.abspath(__file__)))
    args = options.parse_args()
    rng = np.random.default_rng(args.seed)
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)

    label, counts, sparse = make_log(args.train_rows, rng)
    validation = np.arange(args.train_rows) >= args.train_rows * 9 // 10
    encoder = make_encoder(counts[~validation], sparse[~validation])
    dense, ids = encode(encoder, counts, sparse)
    target = torch.tensor(label, dtype=torch.float32)
    model = Dlrm([FIRST_KNOWN + len(v) for v in encoder["sparse"]["vocabulary"]])
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-6)
    train = torch.tensor(np.flatnonzero(~validation))
    for epoch in range(args.epochs):
        order = train[torch.randperm(len(train))]
        total = 0.0
        for batch in order.split(128):
            optimiser.zero_grad()
            loss = nn.functional.binary_cross_entropy(model(dense[batch], ids[batch])[:, 0], target[batch])
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) * len(batch)
        print(f"epoch {epoch}: log loss {total / len(train):.4f}")

    # The log that ships: half of it from the rows that were trained on, half from the others.
    pick = np.concatenate([np.flatnonzero(~validation)[: args.rows // 2],
                           np.flatnonzero(validation)[: args.rows - args.rows // 2]])
    model.eval()
    with torch.no_grad():
        probability = model(dense[pick], ids[pick])[:, 0].numpy()

    def path(name):
        return os.path.join(args.out, name)

    with open(path("encoder.json"), "w", encoding="utf-8") as file:
        json.dump(encoder, file, separators=(",", ":"))
        file.write("\n")
    with open(path("clicks.csv"), "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["Id", "Label"] + encoder["dense"]["columns"] + encoder["sparse"]["columns"])
        for i, row in enumerate(pick):
            writer.writerow([i, label[row]] + ["" if math.isnan(v) else int(v) for v in counts[row]] +
                            ["" if r < 0 else value_name(c, r) for c, r in enumerate(sparse[row])])
    with open(path("expected.csv"), "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", "split", "label", "probability"])
        for i, row in enumerate(pick):
            writer.writerow([i, "validation" if validation[row] else "train", label[row], f"{probability[i]:.9g}"])

    torch.onnx.export(model, (dense[:4], ids[:4]), path("model.onnx"), opset_version=13,
                      input_names=["dense", "sparse"], output_names=["prob"],
                      dynamic_axes={"dense": {0: "batch"}, "sparse": {0: "batch"}, "prob": {0: "batch"}})
    bag = DlrmBag(model).eval()
    names, inputs, axes = ["dense"], [dense[:4]], {"dense": {0: "batch"}, "prob": {0: "batch"}}
    for t in range(SPARSE):
        names += [f"idx{t}", f"off{t}"]
        inputs += [ids[:4, t].contiguous(), torch.arange(4)]
        axes |= {f"idx{t}": {0: f"n{t}"}, f"off{t}": {0: "batch"}}
    with torch.no_grad():
        difference = (bag(*inputs) - model(dense[:4], ids[:4])).abs().max()
    assert difference < 1e-6, difference
    torch.onnx.export(bag, tuple(inputs), path("model_bag.onnx"), opset_version=13,
                      input_names=names, output_names=["prob"], dynamic_axes=axes)

    def auc(y, p):
        rank = np.argsort(np.argsort(p)) + 1
        ones = y.sum()
        return (rank[y == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(y) - ones))

    half = args.rows // 2
    print(f"AUC of clicks.csv: all {auc(label[pick], probability):.4f}, trained on "
          f"{auc(label[pick][:half], probability[:half]):.4f}, others {auc(label[pick][half:], probability[half:]):.4f}")


if __name__ == "__main__":
    main()
