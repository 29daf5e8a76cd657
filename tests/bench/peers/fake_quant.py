"""PyTorch's side of fake_quant_bench: the same fake quantisation as plain operations, eager and compiled.

Run: OMP_NUM_THREADS=1 python tests/bench/peers/fake_quant.py
"""
import statistics
import time

import torch

torch.set_num_threads(1)


class RoundStraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.round(x)

    @staticmethod
    def backward(ctx, grad):
        return grad


def fake_quantise(weight, log_scale, group, bits):
    """Symmetric groups along the input, learned log scales in float16."""
    exponential = torch.exp(log_scale)
    scale = (exponential + (exponential.half().float() - exponential).detach()).unsqueeze(-1)
    q_min, q_max = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    exact = weight.view(weight.shape[0], -1, group) / scale
    rounded = RoundStraightThrough.apply(exact)
    inside = (rounded >= q_min) & (rounded <= q_max)
    q = torch.where(inside, rounded, rounded.detach().clamp(q_min, q_max))
    return (q * scale).view_as(weight)


def median_ms(body, repeats=11):
    body()
    body()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        body()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def bench_weight(name, function, rows, width):
    torch.manual_seed(1)
    weight = (torch.randn(rows, width) * 0.02).requires_grad_()
    log_scale = torch.full((rows, width // 64), -5.0, requires_grad=True)
    grad = torch.randn(rows, width)
    with torch.no_grad():
        forward = median_ms(lambda: function(weight, log_scale, 64, 4))

    def both():
        weight.grad = log_scale.grad = None
        function(weight, log_scale, 64, 4).backward(grad)

    total = median_ms(both)
    print(f"  {name:10s} [{rows}, {width}] forward {forward:9.3f} ms, forward + backward {total:9.3f} ms", flush=True)


def bench_linear(name, function, tokens, width, out):
    torch.manual_seed(1)
    weight = (torch.randn(out, width) * 0.02).requires_grad_()
    bias = torch.zeros(out, requires_grad=True)
    log_scale = torch.full((out, width // 64), -5.0, requires_grad=True)
    x = torch.randn(tokens, width).bfloat16().requires_grad_()
    grad = torch.randn(tokens, out).bfloat16()

    def step():
        weight.grad = bias.grad = log_scale.grad = x.grad = None
        with torch.autocast("cpu", dtype=torch.bfloat16):
            w = weight if function is None else function(weight, log_scale, 64, 4)
            y = torch.nn.functional.linear(x, w, bias)
        y.backward(grad)

    print(f"  {name:10s} Linear [{tokens}, {width}] -> {out}: {median_ms(step, 21):.3f} ms", flush=True)


def main():
    print("PyTorch", torch.__version__, "threads", torch.get_num_threads())
    variants = [("eager", fake_quantise)]
    compiled = torch.compile(fake_quantise)
    try:
        compiled(torch.randn(2, 64), torch.zeros(2, 1), 64, 4)
        variants.append(("compiled", compiled))
    except Exception as error:  # no compiler on this machine
        print("  torch.compile does not work here:", str(error).splitlines()[0])
    for name, function in variants:
        bench_weight(name, function, 4096, 4096)
        bench_weight(name, function, 1024, 256)
    for name, function in [("plain", None), *variants]:
        bench_linear(name, function, 1360, 256, 1024)


if __name__ == "__main__":
    main()
