"""Dense decode of cuDNN through PyTorch beside record_decode's: one query per sequence, 32/8 heads, d = 128, bf16, cold
caches, a graph of 32 layers, median of 20 replays. Contiguous keys and values: PyTorch offers no paged ones.
    python3 bench/peers/decode.py 1:32768 8:32768 ...
"""

import sys

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

LAYERS = 32


def microseconds(batch, length):
    caches = max(1, min(LAYERS, int(40e9 / (batch * length * 8 * 128 * 4))))
    q = torch.randn(batch, 32, 1, 128, device="cuda", dtype=torch.bfloat16)
    kv = [torch.randn(2, batch, 8, length, 128, device="cuda", dtype=torch.bfloat16) for _ in range(caches)]
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream), sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        step = lambda layer: scaled_dot_product_attention(q, *kv[layer % caches], enable_gqa=True)
        for layer in range(3):
            step(layer)
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            for layer in range(LAYERS):
                step(layer)
        times = []
        for _ in range(40):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record(stream)
            graph.replay()
            end.record(stream)
            stream.synchronize()
            times.append(begin.elapsed_time(end))
    return sorted(times[20:])[10] * 1e3 / LAYERS


for case in sys.argv[1:]:
    batch, length = map(int, case.split(":"))
    us = microseconds(batch, length)
    print(f"cudnn batch {batch:3} len {length:6}: {us:8.2f} us/layer {batch * length * 8 * 128 * 4 / us * 1e-6:6.2f} TB/s",
          flush=True)
    torch.cuda.empty_cache()
