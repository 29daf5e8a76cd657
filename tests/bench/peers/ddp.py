"""PyTorch's DistributedDataParallel over gloo at the shape of scaling_bench: two ranks against two independent processes.

A plain transformer (depth 4, width 128, 4 heads, MLP ratio 4, 130 tokens, 256 codes), bf16 autocast, AdamW, 16 samples a
rank, one thread each. Prints one line a pair and the median of seven ratios, as scaling_bench.sh does.
"""

import os
import statistics
import sys
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

BATCH, TOKENS, CODES, WIDTH, DEPTH, HEADS = 16, 130, 256, 128, 4, 4


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.fc1, self.fc2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.ada = nn.Linear(WIDTH, 6 * WIDTH)

    def forward(self, x, mask, condition):
        b, length, _ = x.shape
        scale1, shift1, gate1, scale2, shift2, gate2 = self.ada(condition)[:, None].chunk(6, -1)
        q, k, v = self.qkv(self.norm1(x) * (1 + scale1) + shift1).view(b, length, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5 + mask).softmax(-1)
        x = x + gate1 * self.proj((weights.to(v.dtype) @ v).transpose(1, 2).reshape(b, length, -1))
        h = nn.functional.gelu(self.fc1(self.norm2(x) * (1 + scale2) + shift2), approximate="tanh")
        return x + gate2 * self.fc2(h)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(CODES, WIDTH)
        self.classes = nn.Embedding(10, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.head = nn.Linear(WIDTH, CODES)
        self.register_buffer("mask", torch.full((TOKENS, TOKENS), float("-inf")).triu(1))

    def forward(self, tokens, labels):
        x, condition = self.embed(tokens), self.classes(labels)
        for block in self.blocks:
            x = block(x, self.mask, condition)
        return self.head(x)


def worker(rank, port, together, steps, warmup, results):
    os.sched_setaffinity(0, {rank})
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = Model()
    if together:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        dist.init_process_group("gloo", rank=rank, world_size=2)
        model = DistributedDataParallel(model, gradient_as_bucket_view=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    tokens, labels = torch.randint(CODES, (BATCH, TOKENS)), torch.randint(10, (BATCH,))
    for step in range(steps):
        if step == warmup:
            start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(tokens, labels)
        cross_entropy(logits.float().flatten(0, 1), tokens.flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    results[rank] = (steps - warmup) * BATCH * TOKENS / (time.perf_counter() - start)
    if together:
        dist.destroy_process_group()


def throughput(together, port, steps, warmup):
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(worker, args=(port, together, steps, warmup, results), nprocs=2)
        return sum(results.values())


def main():
    steps, warmup = (int(a) for a in (sys.argv[1:] + ["60", "10"])[:2])
    ratios = []
    print("pair  two ranks  two processes  ratio (tokens/s)")
    for pair in range(7):
        order = (True, False) if pair % 2 == 0 else (False, True)
        rates = {together: throughput(together, 29511 + pair, steps, warmup) for together in order}
        ratios.append(rates[True] / rates[False])
        print(f"{pair + 1:4d}  {rates[True]:9.1f}  {rates[False]:13.1f}  {ratios[-1]:.4f}", flush=True)
    print("median ratio", round(statistics.median(ratios), 4))


if __name__ == "__main__":
    main()
