"""PyTorch's side of gptq_bench: GPTQ as arXiv 2210.17323 and its public code describe it, one column after the
other, blocks of 128, on a layer of the same numbers.

Run: OMP_NUM_THREADS=1 python tests/bench/peers/gptq.py
"""
import os
import statistics
import time

import torch

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


def spread(rows, columns, step):
    i = torch.arange(1, rows + 1, dtype=torch.float64).unsqueeze(1)
    j = torch.arange(1, columns + 1, dtype=torch.float64).unsqueeze(0)
    return torch.sin(i * j * step + i * i * 0.37).float()


def find_scale(w, bits, search):
    """Symmetric, of each row: by the largest weight, or the least sum of |error|^2.4 over 80 smaller ranges."""
    scale = (w.abs().amax(1, keepdim=True) * 2 / (2**bits - 1)).clamp_min(1e-30)
    if not search:
        return scale
    best, least = scale.clone(), torch.full_like(scale, torch.inf)
    for percent in range(100, 20, -1):
        candidate = scale * (percent / 100)
        error = (quantise(w, candidate, bits) - w).abs_().pow_(2.4).sum(1, keepdim=True)
        better = error < least
        best, least = torch.where(better, candidate, best), torch.where(better, error, least)
    return best


def quantise(w, scale, bits):
    zero = 2 ** (bits - 1)
    return scale * ((torch.round(w / scale) + zero).clamp(0, 2**bits - 1) - zero)


def gptq(weight, hessian, bits, group, act_order, search, damping=0.01, block=128):
    w, h = weight.clone(), hessian.clone()
    columns = w.shape[1]
    dead = torch.diag(h) == 0
    h[dead, dead] = 1
    w[:, dead] = 0
    if act_order:
        order = torch.argsort(torch.diag(h), descending=True)
        w, h = w[:, order], h[order][:, order]
    diagonal = torch.arange(columns)
    h[diagonal, diagonal] += damping * torch.mean(torch.diag(h))
    upper = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)
    result = torch.zeros_like(w)
    for first in range(0, columns, block):
        last = min(first + block, columns)
        current, done = w[:, first:last].clone(), torch.zeros_like(w[:, first:last])
        errors = torch.zeros_like(current)
        inner = upper[first:last, first:last]
        for i in range(last - first):
            if (first + i) % group == 0:
                scale = find_scale(w[:, first + i : first + i + group], bits, search)
            column = current[:, i]
            done[:, i] = quantise(column.unsqueeze(1), scale, bits).flatten()
            error = (column - done[:, i]) / inner[i, i]
            current[:, i:] -= error.unsqueeze(1).matmul(inner[i, i:].unsqueeze(0))
            errors[:, i] = error
        result[:, first:last] = done
        w[:, last:] -= errors.matmul(upper[first:last, last:])
    return result[:, torch.argsort(order)] if act_order else result


def main():
    weight = spread(1024, 4096, 0.7123) * 0.02
    x = spread(8192, 4096, 0.3137)
    gram = x.double().T @ x.double()
    hessian = (gram * 2).float()
    print(f"threads {torch.get_num_threads()}, PyTorch {torch.__version__}")
    for act_order, search in ((False, False), (True, False), (False, True)):
        times = []
        gptq(weight, hessian, 4, 128, act_order, search)
        for _ in range(3):
            start = time.perf_counter()
            values = gptq(weight, hessian, 4, 128, act_order, search)
            times.append(time.perf_counter() - start)
        change = (values - weight).double()
        error = ((change @ gram) * change).sum() / (x.shape[0] * weight.shape[0])
        print(f"gptq int4 g128 sym {'search' if search else 'absmax'} {'act-order' if act_order else '         '} {statistics.median(times):7.2f} s"
              f"   output error {error:.6g}")


if __name__ == "__main__":
    main()
