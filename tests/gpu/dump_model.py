#!/usr/bin/env python3
"""Writes a DLRM and encoded inputs as one flat file for model_check, which runs where there is no ONNX.

    dump_model.py MODEL.onnx OUT.dlrm --clicks CLICKS.csv --encoder ENC.json --expected EXPECTED.csv
    dump_model.py MODEL.onnx OUT.dlrm --test-data FOLDER

The model is the one-hot DLRM that PyTorch exports: Gemm layers with weights bot.* and top.* and tables
emb.*. Needs nothing but Python. All numbers are little-endian:

    "TDLRM1\\0\\0"; int32 batch, dense columns, tables, width, bottom layers, top layers
    per layer: int32 n, k, activation (0 none, 1 ReLU, 2 sigmoid); float32 W[n][k], bias[n]
    per table: int32 rows; float32 table[rows][width]
    float32 dense[batch][columns]; int64 indices[batch][tables]; float32 expected[batch]
"""

import argparse
import array
import csv
import json
import math
import os
import re
import struct
import sys
import zlib


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(data):
    """(field number, value) of a protobuf message; bytes for length-delimited fields."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 1:
            value, at = data[at : at + 8], at + 8
        elif key & 7 == 5:
            value, at = data[at : at + 4], at + 4
        else:
            size, at = varint(data, at)
            value, at = data[at : at + size], at + size
        yield key >> 3, value


def tensor(data):
    """(name, dims, values) of a TensorProto of float32 or int64 in raw or typed data."""
    dims, name, kind, raw = [], "", 0, b""
    for number, value in fields(data):
        if number == 1:
            dims += [value] if isinstance(value, int) else packed(value)
        elif number == 2:
            kind = value
        elif number == 8:
            name = value.decode()
        elif number == 9:
            raw = value
        elif number == 4:
            raw += value
    code = {1: "f", 7: "q"}.get(kind)
    if code is None:
        return name, dims, None
    values = array.array(code)
    values.frombytes(raw)
    return name, dims, values


def packed(data):
    values, at = [], 0
    while at < len(data):
        value, at = varint(data, at)
        values.append(value)
    return values


def load_model(path):
    with open(path, "rb") as file:
        graph = dict(fields(file.read()))[7]
    tensors, gemms, activations = {}, [], {}
    for number, value in fields(graph):
        if number == 5:
            name, dims, values = tensor(value)
            tensors[name] = (dims, values)
        elif number == 1:
            inputs, outputs, op = [], [], ""
            for part, content in fields(value):
                if part == 1:
                    inputs.append(content.decode())
                elif part == 2:
                    outputs.append(content.decode())
                elif part == 4:
                    op = content.decode()
            if op == "Gemm":
                gemms.append((inputs[1], inputs[2], outputs[0]))
            elif op in ("Relu", "Sigmoid"):
                activations[inputs[0]] = 1 if op == "Relu" else 2
    layers = {"bot": [], "top": []}
    for weight, bias, output in gemms:
        (n, k), w = tensors[weight]
        layers[weight[:3]].append((n, k, activations.get(output, 0), w, tensors[bias][1]))
    tables = sorted(
        ((int(re.findall(r"\d+", name)[0]), *tensors[name]) for name in tensors
         if re.fullmatch(r"emb\.\d+\.weight", name)))
    return layers["bot"], layers["top"], [(dims[0], dims[1], w) for _, dims, w in tables]


def encode(clicks, encoder_path):
    """Dense and sparse inputs of every row, as the encoder's file describes them."""
    with open(encoder_path, encoding="utf-8") as file:
        encoder = json.load(file)
    dense, sparse = array.array("f"), array.array("q")
    columns = encoder["dense"]["columns"]
    vocabularies = encoder["sparse"]["vocabulary"]
    with open(clicks, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for column, mean, std in zip(columns, encoder["dense"]["mean"], encoder["dense"]["std"]):
                x = float(row[column]) if row[column] else encoder["dense"]["missing"]
                dense.append((math.log1p(max(x + 1, 0)) - mean) / std)
            for column, vocabulary in zip(encoder["sparse"]["columns"], vocabularies):
                value = row[column]
                sparse.append(
                    0 if not value else vocabulary.get(value, 1 + zlib.crc32(value.encode()) % 8))
    return dense, sparse


def test_data(folder):
    def load(name):
        with open(os.path.join(folder, name), "rb") as file:
            return tensor(file.read())[2]

    return load("input_0.pb"), load("input_1.pb"), load("output_0.pb")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("out")
    parser.add_argument("--clicks")
    parser.add_argument("--encoder")
    parser.add_argument("--expected")
    parser.add_argument("--test-data")
    options = parser.parse_args()
    bottom, top, tables = load_model(options.model)
    if options.test_data:
        dense, sparse, expected = test_data(options.test_data)
    else:
        dense, sparse = encode(options.clicks, options.encoder)
        with open(options.expected, encoding="utf-8", newline="") as file:
            expected = array.array("f", (float(r["probability"]) for r in csv.DictReader(file)))
    batch, width = len(expected), tables[0][1]
    columns = bottom[0][1]
    if len(dense) != batch * columns or len(sparse) != batch * len(tables):
        sys.exit(f"{options.model}: inputs and expected output differ in their number of rows")
    with open(options.out, "wb") as out:
        out.write(b"TDLRM1\0\0")
        out.write(struct.pack("<6i", batch, columns, len(tables), width, len(bottom), len(top)))
        for n, k, activation, weight, bias in bottom + top:
            out.write(struct.pack("<3i", n, k, activation) + weight.tobytes() + bias.tobytes())
        for rows, _, table in tables:
            out.write(struct.pack("<i", rows) + table.tobytes())
        out.write(dense.tobytes() + sparse.tobytes() + expected.tobytes())


if __name__ == "__main__":
    main()
