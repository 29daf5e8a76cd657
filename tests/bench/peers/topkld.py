"""PyTorch's side of compare_topkld.py: the same losses as plain operations, eager and compiled.

Reads one case a line, answers one JSON object a line (see topkld_bench.cpp). A case is
LOSS:VARIANT[:tokens=N][:vocab=N][:top_k=N][:repeats=N][:bfloat16].

Variants of topkld differ in how the head set is made and who makes the gradient:
  scatter    boolean mask by scatter of topk's indices, autograd
  threshold  mask teacher >= K-th largest value (ties at the K-th place all enter), autograd
  gather     full reverse sum, and the K classes of the head gathered and corrected, autograd
  manual     threshold mask, loss and gradient written out in an autograd.Function
and each of them under torch.compile as compiled_<variant>.
"""
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(1)


def by_mask(student, teacher, mask):
    lp = F.log_softmax(teacher.float(), -1)
    lq = F.log_softmax(student.float(), -1)
    p, q = lp.exp(), lq.exp()
    difference = lp - lq
    return torch.where(mask, p * difference + q - p, -q * difference + p - q).sum(-1).mean()


def scatter(student, teacher, k):
    index = teacher.topk(k, -1, sorted=False).indices
    mask = torch.zeros_like(teacher, dtype=torch.bool).scatter_(-1, index, True)
    return by_mask(student, teacher, mask)


def threshold(student, teacher, k):
    bound = teacher.topk(k, -1, sorted=False).values.amin(-1, keepdim=True)
    return by_mask(student, teacher, teacher >= bound)


def gather(student, teacher, k):
    lp = F.log_softmax(teacher.float(), -1)
    lq = F.log_softmax(student.float(), -1)
    index = teacher.topk(k, -1, sorted=False).indices
    p, q = lp.exp(), lq.exp()
    reverse = (q * (lq - lp)).sum(-1) + p.sum(-1) - q.sum(-1)
    lp_head, lq_head = lp.gather(-1, index), lq.gather(-1, index)
    p_head, q_head = lp_head.exp(), lq_head.exp()
    head = (p_head + q_head) * (lp_head - lq_head) + 2 * (q_head - p_head)
    return (reverse + head.sum(-1)).mean()


class Manual(torch.autograd.Function):
    @staticmethod
    def forward(ctx, student, teacher, k):
        lp = F.log_softmax(teacher.float(), -1)
        lq = F.log_softmax(student.float(), -1)
        bound = teacher.topk(k, -1, sorted=False).values.amin(-1, keepdim=True)
        mask = teacher >= bound
        p, q = lp.exp(), lq.exp()
        lq.sub_(lp)  # log(q/p)
        p_minus_q = p - q
        loss = torch.where(mask, -p * lq - p_minus_q, q * lq + p_minus_q).sum(-1).mean()
        qh = torch.where(mask, -p_minus_q, lq.mul_(q))
        ctx.save_for_backward(qh.sub_(q.mul_(qh.sum(-1, keepdim=True))).div_(student.shape[0]).to(student.dtype))
        return loss

    @staticmethod
    def backward(ctx, grad):
        (gradient,) = ctx.saved_tensors
        return gradient * grad, None, None


def forward_kl(student, teacher, k):
    log_q = F.log_softmax(student.float(), -1)
    log_p = F.log_softmax(teacher.float(), -1)
    return F.kl_div(log_q, log_p, log_target=True, reduction="batchmean")


def reverse_kl(student, teacher, k):
    log_q = F.log_softmax(student.float(), -1)
    log_p = F.log_softmax(teacher.float(), -1)
    return F.kl_div(log_p, log_q, log_target=True, reduction="batchmean")


def jsd(student, teacher, k):
    p, q = F.softmax(teacher.float(), -1), F.softmax(student.float(), -1)
    log_m = ((p + q) / 2).log()
    return (F.kl_div(log_m, p, reduction="batchmean") + F.kl_div(log_m, q, reduction="batchmean")) / 2


def mse(student, teacher, k):
    return F.mse_loss(student.float(), teacher.float())


EAGER = {
    "topkld": {"scatter": scatter, "threshold": threshold, "gather": gather, "manual": Manual.apply},
    "forward_kl": {"eager": forward_kl},
    "reverse_kl": {"eager": reverse_kl},
    "jsd": {"eager": jsd},
    "mse": {"eager": mse},
}
compiled = {}


def function_of(loss, variant):
    if not variant.startswith("compiled_"):
        return EAGER[loss][variant]
    if (loss, variant) not in compiled:
        compiled[loss, variant] = torch.compile(EAGER[loss][variant.removeprefix("compiled_")])
    return compiled[loss, variant]


def measure(line):
    loss, variant, *options = line.split(":")
    values = dict(option.split("=") for option in options if "=" in option)
    tokens, vocab = int(values.get("tokens", 1360)), int(values.get("vocab", 4096))
    k, repeats = int(values.get("top_k", 900)), int(values.get("repeats", 5))
    dtype = torch.bfloat16 if "bfloat16" in options else torch.float32
    torch.manual_seed(1)
    teacher = (2 * torch.randn(tokens, vocab)).to(dtype)
    student = (teacher.float() + 0.5 * torch.randn(tokens, vocab)).to(dtype).requires_grad_()
    function = function_of(loss, variant)
    value = 0.0

    def step():
        nonlocal value
        output = function(student, teacher, k)
        output.backward()
        value = output.item()
        student.grad = None

    for _ in range(2):
        step()
    wall, cpu = [], []
    for _ in range(repeats):
        start, start_cpu = time.perf_counter(), time.process_time()
        step()
        wall.append((time.perf_counter() - start) * 1e3)
        cpu.append((time.process_time() - start_cpu) * 1e3)
    return {"case": line, "wall_ms": statistics.median(wall), "cpu_ms": statistics.median(cpu), "value": value}


def main():
    for line in sys.stdin:
        try:
            answer = measure(line.strip())
        except Exception as error:  # torch.compile without a compiler, for one
            answer = {"case": line.strip(), "error": str(error).splitlines()[0]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
