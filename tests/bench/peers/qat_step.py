"""PyTorch's side of qat_step_bench: the same step, teacher forward included, written as a user would.

VAR-shaped transformer (width 256, depth 6, 4 heads, V 4096, 4 samples x 340 tokens), 4-bit weights in groups
of 64 with learned scales, TopKLD (K 900), bfloat16 autocast, AdamW (fused). Attention: plain (product, mask,
softmax, product), or scaled_dot_product_attention with the mask; eager or compiled.

Run: OMP_NUM_THREADS=1 python tests/bench/peers/qat_step.py [steps] [variant ...]
The allocator is glibc's; raise its thresholds with
MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=2146435072.
"""
import math
import os
import statistics
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
BATCH, WIDTH, DEPTH, HEADS, VOCAB, FEATURES, TOP_K = 4, 256, 6, 4, 4096, 32, 900
PATCHES = (1, 2, 3, 4, 6, 7, 9, 12)
TOKENS = sum(p * p for p in PATCHES)


class QuantLinear(nn.Linear):
    """Symmetric 4-bit groups of 64, log scales learned (LSQ), scales rounded to float16 straight through."""

    quantised = False

    def quantise(self):
        self.quantised = True
        amax = self.weight.detach().view(self.out_features, -1, 64).abs().amax(-1)
        self.log_scale = nn.Parameter((amax / 7.5).log())

    def forward(self, x):
        return F.linear(x, self.effective(), self.bias)

    def effective(self):
        if not self.quantised:
            return self.weight
        e = self.log_scale.exp()
        s = (e + (e.half().float() - e).detach()).unsqueeze(-1)
        g = 1.0 / math.sqrt(64 * 7)
        s = (s - s * g).detach() + s * g
        v = self.weight.view(self.out_features, -1, 64) / s
        r = v + (v.round() - v).detach()
        return (r.clamp(-8, 7) * s).view_as(self.weight)


class Attention(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.scale_mul_1H11 = nn.Parameter(torch.full((1, HEADS, 1, 1), math.log(4.0)))
        self.mat_qkv = QuantLinear(WIDTH, 3 * WIDTH, bias=False)
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(WIDTH)), nn.Parameter(torch.zeros(WIDTH))
        self.register_buffer("zero_k_bias", torch.zeros(WIDTH))
        self.proj = QuantLinear(WIDTH, WIDTH)

    def forward(self, x, mask):
        b, l, c = x.shape
        bias = torch.cat((self.q_bias, self.zero_k_bias, self.v_bias))
        qkv = F.linear(x, self.mat_qkv.effective(), bias).view(b, l, 3, HEADS, c // HEADS)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        q = (F.normalize(q.float(), dim=-1) * self.scale_mul_1H11.clamp_max(math.log(100)).exp()).to(v.dtype)
        k = F.normalize(k.float(), dim=-1).to(v.dtype)
        if self.kind == "sdpa":
            h = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.to(q.dtype), scale=1.0)
        else:
            h = (q @ k.transpose(-2, -1) + mask).softmax(-1).to(v.dtype) @ v
        return self.proj(h.transpose(1, 2).reshape(b, l, c))


class Block(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.attn = Attention(kind)
        self.fc1, self.fc2 = QuantLinear(WIDTH, 4 * WIDTH), QuantLinear(4 * WIDTH, WIDTH)
        self.ada_lin = nn.Sequential(nn.SiLU(), QuantLinear(WIDTH, 6 * WIDTH))

    def forward(self, x, cond, mask):
        g1, g2, s1, s2, t1, t2 = self.ada_lin(cond).view(-1, 1, 6, WIDTH).unbind(2)
        norm = lambda h: F.layer_norm(h, (WIDTH,), eps=1e-6)
        x = x + self.attn(norm(x) * (1 + s1) + t1, mask) * g1
        return x + self.fc2(F.gelu(self.fc1(norm(x) * (1 + s2) + t2), approximate="tanh")) * g2


class Var(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.word_embed, self.class_emb = nn.Linear(FEATURES, WIDTH), nn.Embedding(1001, WIDTH)
        self.pos_start = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.pos_1LC = nn.Parameter(torch.zeros(1, TOKENS, WIDTH))
        self.lvl_embed = nn.Embedding(len(PATCHES), WIDTH)
        level = torch.cat([torch.full((p * p,), i) for i, p in enumerate(PATCHES)])
        self.register_buffer("level", level)
        hidden = level.view(-1, 1) < level.view(1, -1)
        self.register_buffer("mask", torch.zeros(TOKENS, TOKENS).masked_fill(hidden, -math.inf))
        self.blocks = nn.ModuleList(Block(kind) for _ in range(DEPTH))
        self.head_ada = nn.Sequential(nn.SiLU(), QuantLinear(WIDTH, 2 * WIDTH))
        self.head = nn.Linear(WIDTH, VOCAB)
        for name, p in self.named_parameters():
            if p.dim() > 1 and "scale_mul" not in name:
                nn.init.normal_(p, std=math.sqrt(1 / (3 * WIDTH)))

    def forward(self, labels, x):
        with torch.autocast("cpu", enabled=False):
            cond = self.class_emb(labels)
            x = torch.cat((cond.unsqueeze(1) + self.pos_start, self.word_embed(x)), 1)
            x = x + self.lvl_embed(self.level) + self.pos_1LC
        for block in self.blocks:
            x = block(x, cond, self.mask)
        s, t = self.head_ada(cond).view(-1, 1, 2, WIDTH).unbind(2)
        return self.head(F.layer_norm(x, (WIDTH,), eps=1e-6) * (1 + s) + t).float()


def topkld(student, teacher):
    """Forward on the teacher's top K, reverse on the rest, both with their mass terms."""
    lp, lq = teacher.log_softmax(-1), student.log_softmax(-1)
    p, q = lp.exp(), lq.exp()
    head = torch.zeros_like(p, dtype=torch.bool).scatter_(-1, teacher.topk(TOP_K, -1).indices, True)
    return torch.where(head, p * (lp - lq) + q - p, q * (lq - lp) + p - q).sum(-1).mean()


def make_step(kind, compiled):
    torch.manual_seed(0)
    teacher, student = Var(kind).eval().requires_grad_(False), Var(kind)
    for module in student.modules():
        if isinstance(module, QuantLinear):
            module.quantise()
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05, fused=True)
    labels, x = torch.randint(1000, (BATCH,)), torch.randn(BATCH, TOKENS - 1, FEATURES)

    def loss_of():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with torch.no_grad():
                target = teacher(labels, x)
            logits = student(labels, x)
        return topkld(logits.flatten(0, 1), target.flatten(0, 1))

    forward = torch.compile(loss_of) if compiled else loss_of

    def step():
        forward().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def main():
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    variants = sys.argv[2:] or ["plain", "sdpa", "plain-compiled"]
    tuned = "MALLOC_MMAP_THRESHOLD_" in os.environ
    for variant in variants:
        kind, _, mode = variant.partition("-")
        step = make_step(kind, mode == "compiled")
        wall, cpu = [], []
        for i in range(steps + 3):
            start, start_cpu = time.perf_counter(), time.process_time()
            step()
            if i >= 3:
                wall.append((time.perf_counter() - start) * 1e3)
                cpu.append((time.process_time() - start_cpu) * 1e3)
        print(f"qat_step torch {torch.__version__} {variant:15s} allocator {'tuned' if tuned else 'default'}: "
              f"median {statistics.median(wall):7.1f} ms, processor time {statistics.median(cpu):7.1f} ms", flush=True)


if __name__ == "__main__":
    main()
