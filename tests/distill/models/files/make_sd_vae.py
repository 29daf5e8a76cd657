#!/usr/bin/env python3
"""Makes sd_vae.safetensors beside it with diffusers' own AutoencoderKL at a tiny geometry, with random weights.

  make_sd_vae.py [FOLDER]     needs torch 2.15, safetensors 0.8 and diffusers 0.42

Tensors: state/NAME under the names of the published files, image, mean, log_variance (clamped), latents, decoded.
"""
import pathlib
import sys

import diffusers
import safetensors.torch
import torch

# The published files are older than the names that diffusers gives attention layers now; it renames on loading.
NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def published(name):
    for new, old in NAMES.items():
        name = name.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
    return name


def main(folder):
    torch.manual_seed(5)
    torch.set_num_threads(1)
    levels = 3
    model = diffusers.AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(8, 8, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels, sample_size=16).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.15)
        image = torch.rand(2, 3, 16, 24) * 2 - 1
        posterior = model.encode(image).latent_dist
        latents = torch.randn(2, 4, 4, 6)
        tensors = {"image": image, "mean": posterior.mean, "log_variance": posterior.logvar, "latents": latents,
                   "decoded": model.decode(latents).sample}
        tensors |= {f"state/{published(name)}": tensor for name, tensor in model.state_dict().items()}
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "sd_vae.safetensors")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent)
