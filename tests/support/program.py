"""The real program in tests: its environment, one run of it, small sets of images and a tokenizer of them."""
import os
import shutil
import struct
import subprocess
from pathlib import Path

ENVIRONMENT = dict(os.environ, OMP_NUM_THREADS="1", NO_COLOR="1", OMPI_ALLOW_RUN_AS_ROOT="1",
                   OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_rmaps_base_oversubscribe="1",
                   OMPI_MCA_hwloc_base_binding_policy="none")

# For images of one channel, 16 x 16; data.train and data.validation are left to the test.
TINY_TOKENIZER = """
run: {name: tokenizer, seed: 1}
task: {kind: tokenizer}
model:
  family: vq
  vq: {image_channels: 1, base_channels: 8, channel_multipliers: [1, 1, 1], res_blocks: 1, attention: false,
       middle: false, group_norm_groups: 4, latent_channels: 4, codebook_size: 32, patch_nums: [1, 2, 4],
       phi_convolutions: 3}
train: {global_batch_size: 8, micro_batch_size: 8, max_steps: 2, precision: fp32}
eval: {samples: 8, micro_batch_size: 4}
"""


class Program:
    def __init__(self, bitlaw, mpiexec):
        self.bitlaw = os.path.abspath(bitlaw)
        self.mpiexec = shutil.which(mpiexec) or mpiexec

    def command(self, *arguments, ranks=0):
        """ranks=0: the program alone, without a launcher."""
        launcher = [self.mpiexec, "-np", str(ranks)] if ranks else []
        return [*launcher, self.bitlaw, *map(str, arguments)]

    def run(self, *arguments, ranks=0, shell_prefix="", cwd=None):
        """shell_prefix: shell text in front, e.g. "ulimit -f 16;"."""
        command = self.command(*arguments, ranks=ranks)
        if shell_prefix:
            command = ["bash", "-c", shell_prefix + ' exec "$@"', "bash", *command]
        return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, cwd=cwd)

    def start(self, *arguments, ranks=0, **options):
        return subprocess.Popen(self.command(*arguments, ranks=ranks), env=ENVIRONMENT, stdout=subprocess.PIPE,
                                text=True, **options)


def write_idx(folder, split, count, side):
    """`count` grey images of side x side in four classes, as IDX files; split: train or t10k."""
    Path(folder).mkdir(exist_ok=True)
    pixels = bytes((37 * i * i + 11 * i + i // 7) % 256 for i in range(count * side * side))
    (Path(folder) / f"{split}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, count, side, side) + pixels)
    (Path(folder) / f"{split}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) +
                                                              bytes(i % 4 for i in range(count)))
