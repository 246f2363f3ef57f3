"""
The compressors that `compressors-beside-pytorch.ts` compares with, in eager PyTorch on one thread. Reads lines
`NAME encode|decode SIZE` and answers each with nanoseconds per value, the least of some repetitions.
"""

import sys
import time

import torch

torch.set_num_threads(1)
torch.manual_seed(1)

BUCKET = 512
POWERS_OF_2 = torch.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=torch.uint8)
POWERS_OF_3 = torch.tensor([1, 3, 9, 27, 81], dtype=torch.uint8)


def pack_bits(bits):
    return (bits.view(-1, 8).to(torch.uint8) * POWERS_OF_2).sum(1, dtype=torch.uint8)


def unpack_bits(packed):
    return packed.unsqueeze(1).bitwise_and(POWERS_OF_2).ne(0).view(-1)


def linear(bits):
    levels = 2 ** (bits - 1) - 1

    def encode(x):
        buckets = x.view(-1, BUCKET)
        scales = buckets.abs().amax(1, keepdim=True) / levels
        return scales, (buckets / scales).round().to(torch.int8)

    return encode, lambda packed: packed[1].float() * packed[0]


def qsgd(bits):
    levels = 2 ** (bits - 1) - 1

    def encode(x):
        buckets = x.view(-1, BUCKET)
        norms = buckets.abs().amax(1, keepdim=True)
        codes = (buckets / norms * levels + levels + torch.rand_like(buckets)).floor_().to(torch.uint8).view(-1, 2)
        return norms, codes[:, 0] | (codes[:, 1] << 4)

    def decode(packed):
        norms, codes = packed
        values = torch.stack((codes & 15, codes >> 4), 1).view(-1, BUCKET).float()
        return (values - levels) * (norms / levels)

    return encode, decode


def sign_encode(x):
    return x.abs().mean(), pack_bits(x < 0)


def sign_decode(packed):
    scale, bits = packed
    return torch.where(unpack_bits(bits), -scale, scale)


def ternary_encode(x):
    bound = 2.5 * x.std()
    x = x.clamp(-bound, bound)
    scale = x.abs().amax()
    trits = torch.rand_like(x).lt(x.abs() / scale) * x.sign()
    return scale, ((trits + 1).to(torch.uint8).view(-1, 5) * POWERS_OF_3).sum(1, dtype=torch.uint8)


def ternary_decode(packed):
    scale, bytes_ = packed
    trits = bytes_.unsqueeze(1).div(POWERS_OF_3, rounding_mode="floor").remainder(3).view(-1)
    return (trits.float() - 1) * scale


def top_k_encode(x, fraction=0.01):
    """With a threshold from a sample, as in Deep Gradient Compression, then exactly."""
    k = int(x.numel() * fraction) + 1
    magnitudes = x.abs()
    sample = magnitudes[:: max(1, x.numel() // 1024)]
    expected = k * sample.numel() / x.numel()
    rank = min(sample.numel(), int(expected + 3 * expected**0.5 + 3) + 1)
    threshold = sample.topk(rank).values[-1]
    candidates = (magnitudes > threshold).nonzero().view(-1)
    best = candidates[magnitudes[candidates].topk(min(k, candidates.numel())).indices]
    return x.numel(), best, x[best]


def top_k_decode(packed):
    size, positions, values = packed
    return torch.zeros(size).index_copy_(0, positions, values)


ALGORITHMS = {
    "fp16": (lambda x: x.half(), lambda packed: packed.float()),
    "bf16": (lambda x: x.bfloat16(), lambda packed: packed.float()),
    "int8": linear(8),
    "qsgd4": qsgd(4),
    "sign": (sign_encode, sign_decode),
    "ternary": (ternary_encode, ternary_decode),
    "topk": (top_k_encode, top_k_decode),
}


def least(work, size):
    work()
    best = float("inf")
    repetitions = max(3, min(200, 20_000_000 // size))
    for _ in range(repetitions):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return 1e9 * best / size


for line in sys.stdin:
    name, direction, size = line.split()
    # Rounded up to what all algorithms divide evenly.
    count = -(-int(size) // 2560) * 2560
    x = torch.randn(count)
    encode, decode = ALGORITHMS[name]
    packed = encode(x)
    with torch.inference_mode():
        print(least((lambda: encode(x)) if direction == "encode" else (lambda: decode(packed)), count), flush=True)
