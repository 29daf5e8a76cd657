#!/usr/bin/env python3
"""Makes checkpoints beside it with PyTorch, as the authors' programs save them, at a tiny geometry.

  make_weights.py [FOLDER]     needs torch 2.15 and safetensors 0.8

Names and shapes are written down here from the published models, apart from the program's own list. Element j of
the tensor `name` is ((j + length of the name) mod 251 - 125) / 128, which every element type holds.
"""
import argparse
import collections
import math
import pathlib
import sys

import safetensors.torch
import torch

WIDTH, HEADS, DEPTH, CLASSES, CODES, LATENT, SIDES, VQ_SCALES = 16, 2, 2, 5, 32, 8, (1, 2, 3), 4
LENGTH = sum(side * side for side in SIDES)


def filled(name, shape, dtype=torch.float32):
    values = (torch.arange(math.prod(shape)) + len(name)) % 251 - 125
    return (values / 128).to(dtype).reshape(shape)


def var_shapes():
    yield "pos_start", (1, 1, WIDTH)
    yield "pos_1LC", (1, LENGTH, WIDTH)
    yield "word_embed.weight", (WIDTH, LATENT)
    yield "word_embed.bias", (WIDTH,)
    yield "class_emb.weight", (CLASSES + 1, WIDTH)
    yield "lvl_embed.weight", (len(SIDES), WIDTH)
    for i in range(DEPTH):
        block = f"blocks.{i}"
        yield f"{block}.attn.scale_mul_1H11", (1, HEADS, 1, 1)
        for name in ("q_bias", "v_bias"):
            yield f"{block}.attn.{name}", (WIDTH,)
        yield f"{block}.attn.mat_qkv.weight", (3 * WIDTH, WIDTH)
        for name, rows, columns in (("attn.proj", WIDTH, WIDTH), ("ffn.fc1", 4 * WIDTH, WIDTH), ("ffn.fc2", WIDTH, 4 * WIDTH),
                                    ("ada_lin.1", 6 * WIDTH, WIDTH)):
            yield f"{block}.{name}.weight", (rows, columns)
            yield f"{block}.{name}.bias", (rows,)
    for name, rows in (("head_nm.ada_lin.1", 2 * WIDTH), ("head", CODES)):
        yield f"{name}.weight", (rows, WIDTH)
        yield f"{name}.bias", (rows,)


def var_state(dtype=torch.float32):
    state = collections.OrderedDict((name, filled(name, shape, dtype)) for name, shape in var_shapes())
    level = torch.cat([torch.full((side * side,), k) for k, side in enumerate(SIDES)]).view(1, LENGTH)
    state["lvl_1L"] = level
    state["attn_bias_for_masking"] = torch.where(level.T >= level, 0.0, -torch.inf).reshape(1, 1, LENGTH, LENGTH)
    for i in range(DEPTH):
        state[f"blocks.{i}.attn.zero_k_bias"] = torch.zeros(WIDTH)
    return state


def res_block(name, fan_in, fan_out):
    for norm, conv, channels in (("norm1", "conv1", fan_in), ("norm2", "conv2", fan_out)):
        yield f"{name}.{norm}.weight", (channels,)
        yield f"{name}.{norm}.bias", (channels,)
        yield f"{name}.{conv}.weight", (fan_out, channels, 3, 3)
        yield f"{name}.{conv}.bias", (fan_out,)
    if fan_in != fan_out:
        yield f"{name}.nin_shortcut.weight", (fan_out, fan_in, 1, 1)
        yield f"{name}.nin_shortcut.bias", (fan_out,)


def conv(name, fan_in, fan_out, side=3):
    yield f"{name}.weight", (fan_out, fan_in, side, side)
    yield f"{name}.bias", (fan_out,)


def attention(name, channels):
    yield f"{name}.norm.weight", (channels,)
    yield f"{name}.norm.bias", (channels,)
    yield from conv(f"{name}.qkv", channels, 3 * channels, 1)
    yield from conv(f"{name}.proj_out", channels, channels, 1)


def middle(name, channels):
    yield from res_block(f"{name}.block_1", channels, channels)
    yield from attention(f"{name}.attn_1", channels)
    yield from res_block(f"{name}.block_2", channels, channels)


def vq_shapes():
    """Base width 4, multipliers (1, 2), one residual block a level, four groups of channels."""
    yield from conv("encoder.conv_in", 3, 4)
    yield from res_block("encoder.down.0.block.0", 4, 4)
    yield from conv("encoder.down.0.downsample.conv", 4, 4)
    yield from res_block("encoder.down.1.block.0", 4, 8)
    yield from attention("encoder.down.1.attn.0", 8)
    yield from middle("encoder.mid", 8)
    yield from [("encoder.norm_out.weight", (8,)), ("encoder.norm_out.bias", (8,))]
    yield from conv("encoder.conv_out", 8, LATENT)
    yield from conv("decoder.conv_in", LATENT, 8)
    yield from middle("decoder.mid", 8)
    for block in range(2):
        yield from res_block(f"decoder.up.1.block.{block}", 8, 8)
        yield from attention(f"decoder.up.1.attn.{block}", 8)
    yield from conv("decoder.up.1.upsample.conv", 8, 8)
    yield from res_block("decoder.up.0.block.0", 8, 4)
    yield from res_block("decoder.up.0.block.1", 4, 4)
    yield from [("decoder.norm_out.weight", (4,)), ("decoder.norm_out.bias", (4,))]
    yield from conv("decoder.conv_out", 4, 3)
    yield "quantize.embedding.weight", (CODES, LATENT)
    yield "quantize.ema_vocab_hit_SV", (VQ_SCALES, CODES)
    for i in range(4):
        yield from conv(f"quantize.quant_resi.qresi_ls.{i}", LATENT, LATENT)
    yield from conv("quant_conv", LATENT, LATENT)
    yield from conv("post_quant_conv", LATENT, LATENT)


def dit_shapes():
    """Patches of 2 on latents 4x8x8: 16 of them, with 2*2*8 outputs each."""
    yield from conv("x_embedder.proj", 4, WIDTH, 2)
    for name, columns in (("t_embedder.mlp.0", 256), ("t_embedder.mlp.2", WIDTH)):
        yield f"{name}.weight", (WIDTH, columns)
        yield f"{name}.bias", (WIDTH,)
    yield "y_embedder.embedding_table.weight", (CLASSES + 1, WIDTH)
    for i in range(DEPTH):
        for name, rows, columns in (("attn.qkv", 3 * WIDTH, WIDTH), ("attn.proj", WIDTH, WIDTH), ("mlp.fc1", 4 * WIDTH, WIDTH),
                                    ("mlp.fc2", WIDTH, 4 * WIDTH), ("adaLN_modulation.1", 6 * WIDTH, WIDTH)):
            yield f"blocks.{i}.{name}.weight", (rows, columns)
            yield f"blocks.{i}.{name}.bias", (rows,)
    for name, rows in (("final_layer.linear", 32), ("final_layer.adaLN_modulation.1", 2 * WIDTH)):
        yield f"{name}.weight", (rows, WIDTH)
        yield f"{name}.bias", (rows,)


def dit_positions(side):
    """Element by element, from the formula."""
    def code(position):
        angles = [position / 10000 ** (i / (WIDTH // 4)) for i in range(WIDTH // 4)]
        return [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
    return torch.tensor([[code(column) + code(row) for row in range(side) for column in range(side)]])


def dit_state(dtype=torch.float32):
    """As Module.state_dict() gives it: with the attribute _metadata."""
    state = collections.OrderedDict({"pos_embed": dit_positions(4).to(dtype)})
    state.update((name, filled(name, shape, dtype)) for name, shape in dit_shapes())
    state._metadata = collections.OrderedDict({"": {"version": 1}, "x_embedder.proj": {"version": 1}})
    return state


def llamagen_shapes():
    hidden = 256
    yield "cls_embedding.embedding_table.weight", (CLASSES + 1, WIDTH)
    yield "tok_embeddings.weight", (CODES, WIDTH)
    for name, rows, columns in (("attention.wqkv", 3 * WIDTH, WIDTH), ("attention.wo", WIDTH, WIDTH),
                                ("feed_forward.w1", hidden, WIDTH), ("feed_forward.w3", hidden, WIDTH),
                                ("feed_forward.w2", WIDTH, hidden)):
        yield f"layers.0.{name}.weight", (rows, columns)
    for name in ("layers.0.attention_norm", "layers.0.ffn_norm", "norm"):
        yield f"{name}.weight", (WIDTH,)
    yield "output.weight", (CODES, WIDTH)


def save_dit(folder):
    torch.save(dit_state(), folder / "dit.pt")
    safetensors.torch.save_file(dict(dit_state(torch.bfloat16)), folder / "dit.safetensors")


def save_llamagen(folder):
    state = collections.OrderedDict((name, filled(name, shape)) for name, shape in llamagen_shapes())
    torch.save({"model": state, "steps": 7, "args": argparse.Namespace(gpt_model="GPT-B")}, folder / "llamagen.pt")
    weights = {name: filled(name, shape, torch.float16) for name, shape in llamagen_shapes()}
    safetensors.torch.save_file(weights, folder / "llamagen.safetensors")


def main(folder):
    save_dit(folder)
    save_llamagen(folder)
    torch.save(var_state(), folder / "var.pth")
    torch.save(collections.OrderedDict((name, filled(name, shape)) for name, shape in vq_shapes()), folder / "vq.pth")
    weights = {name: filled(name, shape, torch.bfloat16) for name, shape in var_shapes()}
    safetensors.torch.save_file(weights, folder / "var.safetensors")
    ema, raw = var_state(torch.float16), {"head.weight": filled("head.weight", (CODES, WIDTH))}
    training = {"model": raw, "ema": ema, "opt": {"state": {0: {"step": torch.tensor(7.0)}}}, "args": argparse.Namespace(depth=DEPTH)}
    torch.save(training, folder / "var_training.pt")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent)
