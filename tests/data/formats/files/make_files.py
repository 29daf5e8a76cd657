#!/usr/bin/env python3
"""Makes the files beside it with the programs that other people use: PyTorch, and the packages safetensors and gguf.

  make_files.py [FOLDER]     needs torch 2.15, safetensors 0.8, gguf 0.19, numpy; the folder of this script without argument

For each NAME.pth that bitlaw reads, NAME.expected.safetensors holds the same tensors, contiguous, by the names that
data::TorchArchive gives them.
"""
import argparse
import collections
import pathlib
import pickle
import sys

import gguf
import numpy
import safetensors.torch
import torch


def counted(shape, dtype):
    """Values 0, 1, 2, ... less seven, in a row-major tensor: every element tells its place."""
    count = int(numpy.prod(shape))
    values = torch.arange(count, dtype=torch.float64).reshape(shape)
    return (values % 2 if dtype == torch.bool else values if dtype.is_floating_point is False and dtype.is_signed is False
            else values - 7).to(dtype)


def plain():
    dtypes = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
              torch.int8, torch.uint8, torch.bool]
    state = collections.OrderedDict((f"blocks.{i}.{str(t).split('.')[1]}", counted((3, 4), t)) for i, t in enumerate(dtypes))
    state["scalar"] = torch.tensor(2.5)
    state["empty"] = torch.zeros(0, 3)
    state._metadata = {"": {"version": 1}}
    return state


def nested():
    layer = lambda bias: {"head.weight": counted((2, 3), torch.bfloat16), "head.bias": torch.full((2,), bias)}
    parameter = torch.nn.Parameter(counted((2, 2), torch.float32))
    optimizer = torch.optim.AdamW([parameter], lr=1e-3)
    parameter.sum().backward()
    optimizer.step()
    return {"model": layer(1.0), "ema": layer(2.0), "trainer": {"var_wo_ddp": layer(3.0)}, "opt": optimizer.state_dict(),
            "parameter": parameter, "list": [torch.ones(1), {"x": torch.zeros(1)}], "epoch": 3, "lr": 1e-4, "wide": 2**70,
            "shape": parameter.shape, "dtype": torch.float32, "device": torch.device("cpu"), "seen": {1, 2}, "none": None,
            "args": argparse.Namespace(depth=16, betas=(0.9, 0.95), mean=torch.full((2,), 0.5))}


def views():
    base = counted((4, 6), torch.float32)
    image = counted((2, 3, 4, 5), torch.float16)
    return {"base": base, "transposed": base.t(), "column": base[:, 2], "every_second": base[::2, 1::2], "narrow": base[1:3],
            "repeated": torch.tensor([1.5, -2.0])[:, None].expand(2, 3), "channels_last": image.to(memory_format=torch.channels_last),
            "permuted": image.permute(3, 0, 2, 1), "one": base[2:3, 3:4]}


def newer():
    eights = [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e8m0fnu, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz]
    state = {str(t).split(".")[1]: torch.tensor([1.0, 0.5, 2.0, 4.0]).to(t) for t in eights}
    state |= {str(t).split(".")[1]: counted((5,), t) for t in (torch.uint16, torch.uint32, torch.uint64)}
    return state


def flattened(value, path=""):
    if isinstance(value, torch.Tensor):
        yield path or "tensor", value
    elif isinstance(value, argparse.Namespace):
        yield from flattened(vars(value), path)
    elif isinstance(value, (dict, list, tuple)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from flattened(item, f"{path}/{key}" if path else str(key))


class Command:
    """What a hostile pickle would run."""
    def __reduce__(self):
        return print, ("this must never be printed",)


def make_torch(folder):
    for name, state, options in [("plain", plain(), {}), ("nested", nested(), {}), ("views", views(), {}), ("newer", newer(), {}),
                                 ("protocol4", nested(), {"pickle_protocol": 4}), ("tensor", counted((3,), torch.int16), {})]:
        torch.save(state, folder / f"{name}.pth", **options)
        tensors = {key: tensor.detach().contiguous().clone() for key, tensor in flattened(state)}
        safetensors.torch.save_file(tensors, folder / f"{name}.expected.safetensors", metadata={"format": "pt"})
    torch.serialization.set_crc32_options(False)
    torch.save({"x": counted((3,), torch.float32)}, folder / "without_crc.pth")
    torch.serialization.set_crc32_options(True)
    torch.save({"x": counted((3,), torch.float32)}, folder / "refused_old.pth", _use_new_zipfile_serialization=False)
    torch.save({"a": 1, "m": torch.nn.ReLU()}, folder / "refused_module.pth")
    torch.save({"a": 1, "run": Command()}, folder / "refused_command.pth")
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), folder / "refused_script.pt")
    (folder / "refused_bare.pth").write_bytes(pickle.dumps({"a": 1}, protocol=2))


def make_gguf(folder):
    writer = gguf.GGUFWriter(folder / "peer.gguf", "var")
    writer.add_name("peer")
    writer.add_uint8("t.u8", 200)
    writer.add_int8("t.i8", -100)
    writer.add_uint16("t.u16", 60000)
    writer.add_int16("t.i16", -30000)
    writer.add_uint32("t.u32", 4000000000)
    writer.add_int32("t.i32", -2000000000)
    writer.add_float32("t.f32", 0.5)
    writer.add_bool("t.bool", True)
    writer.add_uint64("t.u64", 2**63 + 1)
    writer.add_int64("t.i64", -2**62)
    writer.add_float64("t.f64", -0.25)
    writer.add_array("t.words", ["", "a", "ä\u0416"])
    writer.add_array("t.numbers", [3, -4, 5])
    writer.add_tensor("plain", numpy.arange(6, dtype=numpy.float32).reshape(2, 3))
    ramp = ((numpy.arange(32, dtype=numpy.float32) - 16) / 8).reshape(1, 32)
    for kind in (gguf.GGMLQuantizationType.Q4_0, gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.MXFP4):
        writer.add_tensor(kind.name.lower(), gguf.quants.quantize(ramp, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent
    torch.manual_seed(0)
    make_torch(target)
    make_gguf(target)
