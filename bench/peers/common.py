"""What the programs of this folder share: problems on the device, PyTorch's dense attention beside which everything is
timed, how arms take turns, and the rows of bench/results/h200.csv."""

import ctypes
import statistics
import sys
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

HEADER = ("date,commit,machine,phase,case,arm,batch,heads_q,heads_kv,dim,dtype,len,density,ms_select,ms_attend,"
          "ms_total,tflops,gbytes_per_s")


class Tensors(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("q", "k", "v", "out", "lens", "begins")] + [
        (name, ctypes.c_int64) for name in ("batch", "tokens", "longest", "heads_q", "heads_kv", "dim")]


class Lists(ctypes.Structure):
    _fields_ = [("blocks", ctypes.c_void_p), ("counts", ctypes.c_void_p)] + [
        (name, ctypes.c_int64) for name in ("heads", "rows", "room", "block_tokens")]


def stream():
    return ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)


class Problem:
    """Sequences one after another: q, k and v are [tokens, heads, dim]. One sequence unless lengths say otherwise."""

    def __init__(self, q, k, v, lengths=None):
        self.q, self.k, self.v = q, k, v
        self.out = torch.full_like(q, float("nan"))
        self.lengths = lengths or [q.shape[0]]
        self.lens = torch.tensor(self.lengths, dtype=torch.int32, device="cuda")
        self.begins = torch.nn.functional.pad(self.lens.cumsum(0), (1, 0)).int()
        self.struct = Tensors(q.data_ptr(), k.data_ptr(), v.data_ptr(), self.out.data_ptr(), self.lens.data_ptr(),
                              self.begins.data_ptr(), len(self.lengths), q.shape[0], max(self.lengths), q.shape[1],
                              k.shape[1], q.shape[2])
        self.length, self.heads_q, self.dim = q.shape
        self.heads_kv = k.shape[1]

    def parts(self):
        """Its sequences as problems of their own; `out` too is theirs."""
        begin = 0
        for length in self.lengths:
            rows = slice(begin, begin + length)
            yield Problem(self.q[rows], self.k[rows], self.v[rows])
            begin += length

    def cudnn(self):
        """PyTorch's dense attention by cuDNN, over one sequence."""
        q, k, v = (x.transpose(0, 1)[None] for x in (self.q, self.k, self.v))
        with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
            return scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

    def dense_flops(self):
        return sum(2.0 * self.heads_q * self.dim * n * (n + 1) for n in self.lengths)


def normal(length, heads_q, heads_kv, dim):
    """Queries, keys and values that have nothing to do with each other."""
    make = lambda heads: torch.randn(length, heads, dim, dtype=torch.bfloat16, device="cuda")
    return make(heads_q), make(heads_kv), make(heads_kv)


def prompt_like(length, heads_q, heads_kv, dim, seed=0):
    """Queries and keys whose products have a model's shapes: a noise of variance 1, and per head a mean that depends on
    the distance by rotary angles of base 500 000, high near 0 and near three other distances; one key in two hundred,
    and the first four, draw every query."""
    generator = torch.Generator("cuda").manual_seed(seed)
    rand = lambda *shape: torch.rand(*shape, generator=generator, device="cuda")
    q, k, v = (torch.randn(length, heads, dim, generator=generator, dtype=torch.bfloat16, device="cuda")
               for heads in (heads_q, heads_kv, heads_kv))
    angles = 500000.0**(-torch.arange(dim // 2, device="cuda", dtype=torch.float64) * 2 / dim)
    slow = angles < 0.05
    slow[0] = False
    amplitude = 1.5 * (dim / 128)**0.5 * slow.double()

    def rotated(position, phase):  # [positions, dim]
        turn = position.double()[:, None] * angles + phase
        return torch.stack([turn.cos() * amplitude, turn.sin() * amplitude], -1).flatten(1)

    position = torch.arange(length, device="cuda")
    drawing = (rand(length) < 0.005) | (position < 4)
    for head in range(heads_kv):
        phase = rand(dim // 2).double() * 6.2832
        mean = rotated(position, phase)
        mean[:, 0] = 8.0 * drawing
        k[:, head] += mean.bfloat16()
        for query_head in range(head * heads_q // heads_kv, (head + 1) * heads_q // heads_kv):
            distances = [0] + [int(length**float(u)) for u in 0.5 + 0.5 * rand(3)]
            # A query at i looks like the keys at i - distance do.
            mean = sum(rotated(position - distance, phase) for distance in distances) / 2.0
            mean[:, 0] = 4.0 * (dim / 128)**0.5
            q[:, query_head] += mean.bfloat16()
    return q, k, v


def milliseconds(run, times):
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(times):
        run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / times


def measure(arms, each_ms, rounds=20, rest=False):
    """arms: name -> run. Arms take turns, `each_ms` a turn. Returns name -> (burst ms or None, median ms of the rounds
    after the first three). Burst: the first launch after a rest."""
    once, burst = {}, {}
    for name, run in arms.items():
        run()
        torch.cuda.synchronize()
        if rest:
            time.sleep(0.7)
            burst[name] = milliseconds(run, 1)
        once[name] = milliseconds(run, 1)
    times = {name: min(max(1, round(each_ms / ms)), 200) for name, ms in once.items()}
    taken = {name: [] for name in arms}
    for _ in range(rounds + 3):
        for name, run in arms.items():
            taken[name].append(milliseconds(run, times[name]))
    return {name: (burst.get(name), statistics.median(ms[3:])) for name, ms in taken.items()}


def captured(run):
    """A graph of one run; returns its replay."""
    run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        run()
    return graph.replay


def worst_error(problem, heads_and_rows, keys_of):
    """Of rows of the answer, relative, against float64 over the keys that keys_of(head, row) may see."""
    worst = 0.0
    for head, row in heads_and_rows:
        keys = keys_of(head, row)
        head_kv = head * problem.heads_kv // problem.heads_q
        k, v = problem.k[:, head_kv][keys].double(), problem.v[:, head_kv][keys].double()
        exact = torch.softmax(k @ problem.q[row, head].double() / problem.dim**0.5, 0) @ v
        worst = max(worst, float((problem.out[row, head].double() - exact).norm() / exact.norm()))
    return worst


def write_row(commit, case, arm, problem, density, ms_total, ms_select=None, flops=None):
    """TFLOP/s count the pairs that are kept, and the whole time."""
    attend = ms_total - (ms_select or 0.0)
    select = "" if ms_select is None else f"{ms_select:.4f}"
    kept = "" if density is None else f"{density:.4f}"
    rate = "" if flops is None else f"{flops * 1e-9 / ms_total:.1f}"
    shape = f"{len(problem.lengths)},{problem.heads_q},{problem.heads_kv},{problem.dim},bf16,{max(problem.lengths)}"
    print(f"{time.strftime('%Y-%m-%d')},{commit},NVIDIA H200,prefill,{case},{arm},{shape},{kept},{select},"
          f"{attend:.4f},{ms_total:.4f},{rate},", flush=True)


def say(text):
    print(f"# {text}", file=sys.stderr, flush=True)
