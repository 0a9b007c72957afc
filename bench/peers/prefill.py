"""Prefill kernels of ours beside PyTorch's, in one process, on the same tensors, in turns.

Prints rows of bench/results/h200.csv on stdout and what it does on stderr. Arms take turns until each has run for long
enough, so that all see the same temperature: "sustained". Burst: the first launches after a second of rest.
    python3 bench/peers/prefill.py LIBRARY COMMIT 65536:dense 65536:blocks128:0.1+flex 65536:shared16:0.05 ...
Cases: dense; blocksN, a list of N-token blocks per query head; sharedN, one per KV head; slashes-clustered;
slashes-random, 1024 columns and 1024 diagonals.
"""

import argparse
import ctypes
import statistics
import sys
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

HEADS_Q, HEADS_KV = 32, 8
HEADER = ("date,commit,machine,phase,case,arm,batch,heads_q,heads_kv,dim,dtype,len,density,ms_select,ms_attend,"
          "ms_total,tflops,gbytes_per_s")


class Tensors(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("q", "k", "v", "out", "len", "scratch")] + [
        (name, ctypes.c_int64) for name in ("scratch_bytes", "tokens", "heads_q", "heads_kv", "dim")]


class Ours:
    """Our launches on one problem."""

    def __init__(self, library, q, k, v):
        self.library, self.q, self.k, self.v = library, q, k, v
        self.out = torch.full_like(q, float("nan"))
        self.len = torch.tensor([k.shape[0]], dtype=torch.int32, device="cuda")
        library.lacuna_scratch_bytes.restype = ctypes.c_int64
        number = ctypes.c_int64
        scratch_bytes = library.lacuna_scratch_bytes(number(q.shape[1]), number(2304), number(q.shape[2]))
        self.scratch = torch.empty(scratch_bytes, dtype=torch.uint8, device="cuda")
        self.tensors = Tensors(q.data_ptr(), k.data_ptr(), v.data_ptr(), self.out.data_ptr(), self.len.data_ptr(),
                               self.scratch.data_ptr(), scratch_bytes, q.shape[0], q.shape[1], k.shape[1], q.shape[2])

    def dense(self):
        assert self.library.lacuna_dense(ctypes.byref(self.tensors), stream()) == 0

    def ragged(self, lengths):
        """One launch for several sequences."""
        lens = torch.tensor(lengths, dtype=torch.int32, device="cuda")
        begins = torch.nn.functional.pad(lens.cumsum(0), (1, 0)).int()
        pointer, number = ctypes.c_void_p, ctypes.c_int64

        def run():
            assert self.library.lacuna_dense_ragged(
                ctypes.byref(self.tensors), pointer(begins.data_ptr()), pointer(lens.data_ptr()),
                number(len(lengths)), number(max(lengths)), stream()) == 0

        return run

    def parts(self, lengths):
        """A launch for each of them, one after another."""
        parts, begin = [], 0
        for length in lengths:
            rows = slice(begin, begin + length)
            parts.append(Ours(self.library, self.q[rows], self.k[rows], self.v[rows]))
            begin += length

        def run():
            for part in parts:
                part.dense()

        return run

    def blocks(self, lists):
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        assert self.library.lacuna_blocks(
            ctypes.byref(self.tensors), pointer(lists.blocks.data_ptr()), pointer(lists.counts.data_ptr()),
            number(lists.blocks.shape[0]), number(lists.blocks.shape[1]), number(lists.blocks.shape[2]),
            number(lists.tokens), stream()) == 0

    def slashes(self, index):
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        assert self.library.lacuna_slashes(
            ctypes.byref(self.tensors), pointer(index.columns.data_ptr()), pointer(index.diagonals.data_ptr()),
            pointer(index.counts.data_ptr()), number(index.columns.shape[0]), number(index.columns.shape[1]),
            number(index.diagonals.shape[1]), stream()) == 0


def stream():
    return ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)


class Lists:
    """Random causal block lists: every row keeps its diagonal and a share of what it sees."""

    def __init__(self, length, tokens, heads, density):
        rows = (length + tokens - 1) // tokens
        self.tokens, self.heads = tokens, heads
        seen = torch.arange(1, rows + 1, device="cuda")
        keep = torch.clamp((seen * density).round().long(), min=1)
        self.room = int(keep.max())
        self.blocks = torch.full((heads, rows, self.room), 2**30, dtype=torch.int32, device="cuda")
        generator = torch.Generator("cuda").manual_seed(1)
        for head in range(heads):
            for begin in range(0, rows, 2048):
                row = torch.arange(begin, min(begin + 2048, rows), device="cuda")
                score = torch.rand(len(row), rows, generator=generator, device="cuda")
                score.masked_fill_(torch.arange(rows, device="cuda")[None] > row[:, None], -1.0)
                score[torch.arange(len(row), device="cuda"), row] = 2.0
                best = score.topk(self.room, dim=1).indices
                rank = torch.arange(self.room, device="cuda")[None]
                best = torch.where(rank < keep[row][:, None], best, 2**30).sort(dim=1).values
                self.blocks[head, row] = best.int()
        self.counts = keep.int()[None].expand(heads, rows).contiguous()
        # Pairs of one query and one key that attend, per query head; the diagonal block is half empty.
        self.pairs = int(((keep - 1) * tokens * tokens).sum()) + rows * tokens * (tokens + 1) // 2
        self.density = self.pairs / (length * (length + 1) / 2)

    def mask(self):
        rows = self.counts.shape[1]
        kept = torch.zeros(self.heads, rows, rows + 1, dtype=torch.bool, device="cuda")
        kept.scatter_(2, self.blocks.long().clamp(max=rows), True)
        return kept[:, :, :rows]


class Slashes:
    """Columns and diagonals of each query head: at random, or diagonals in clusters and the first columns."""

    TILE = 64

    def __init__(self, length, kind, density):
        self.length = length
        generator = torch.Generator("cuda").manual_seed(2)
        draw = lambda count: torch.rand(length, generator=generator, device="cuda").topk(count).indices
        columns, diagonals = [], []
        for _ in range(HEADS_Q):
            if kind == "random":  # 1024 of each
                columns.append(draw(1024))
                diagonals.append(torch.cat([draw(1023), torch.zeros(1, dtype=torch.long, device="cuda")]))
            else:  # 512 columns; a local band and clusters of 64 neighbouring diagonals, as many as the density takes
                columns.append(torch.cat([torch.arange(128, device="cuda"), draw(384)]))
                clusters = max(1, int((density * length / 2 - 512 - 192) / 128 * 2))
                starts = draw(clusters)[:, None] + torch.arange(64, device="cuda")
                diagonals.append(torch.cat([torch.arange(128, device="cuda"), starts.flatten().clamp(max=length - 1)]))
        self.columns, column_counts = self.padded(columns)
        self.diagonals, diagonal_counts = self.padded(diagonals)
        self.counts = torch.stack([column_counts, diagonal_counts], 1).contiguous()
        measured = [self.pairs_of(head) for head in range(0, HEADS_Q, 8)]  # heads are alike
        self.pairs = sum(measured) / len(measured)
        self.density = self.pairs / (length * (length + 1) / 2)

    @staticmethod
    def padded(rows):
        rows = [row.unique() for row in rows]
        counts = torch.tensor([len(row) for row in rows], dtype=torch.int32, device="cuda")
        table = torch.zeros(len(rows), int(counts.max()), dtype=torch.int32, device="cuda")
        for row, ids in zip(table, rows):
            row[:len(ids)] = ids
        return table, counts

    def walk(self, head, blocks):
        """Tile beginnings of some blocks as they come, then the columns that count. // bool [blocks, columns]"""
        tile, begins = self.TILE, []
        columns = self.columns[head, :self.counts[head, 0]].long()[None]
        block_end = (blocks + 1) * tile
        end = torch.full_like(blocks, -2**40)
        covered = torch.zeros(len(blocks), columns.shape[1], dtype=torch.bool, device="cuda")
        for offset in reversed(self.diagonals[head, :self.counts[head, 1]].tolist()):
            candidate = (block_end - offset).clamp(min=tile)
            new = (offset < block_end) & (candidate > end)
            end = torch.where(new, torch.where(candidate <= end + tile, end + tile, candidate), end)
            begins.append(torch.where(new, end - tile, -1))
            covered |= new[:, None] & (columns >= end[:, None] - tile) & (columns < end[:, None])
        return torch.stack(begins, 1), ~covered & (columns < end[:, None])

    def pairs_of(self, head):
        tile = self.TILE
        blocks = torch.arange((self.length + tile - 1) // tile, device="cuda")
        begins, counted = self.walk(head, blocks)
        ahead = (blocks[:, None] * tile - begins)[begins >= 0].clamp(max=tile)  # of the tile's first key
        rows = torch.arange(tile, device="cuda")
        table = torch.stack([(rows + a + 1).clamp(0, tile).sum() for a in range(tile + 1)])
        return int(table[ahead].sum()) + int(counted.sum()) * tile

    def keys_of(self, head, row):
        begins, counted = self.walk(head, torch.tensor([row // self.TILE], device="cuda"))
        tiles = begins[0][begins[0] >= 0][:, None] + torch.arange(self.TILE, device="cuda")
        keys = torch.cat([tiles.flatten(), self.columns[head, :self.counts[head, 0]].long()[counted[0]]])
        return keys[keys <= row]


def milliseconds(run, times):
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(times):
        run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / times


def measure(arms, seconds, rest):
    """arms: name -> run. Returns name -> (burst ms or None, sustained ms)."""
    once, burst = {}, {}
    for name, run in arms.items():
        run()
        torch.cuda.synchronize()
        if rest:
            time.sleep(0.7)
            burst[name] = milliseconds(run, 1)
        once[name] = milliseconds(run, 1)
    rounds = {name: [] for name in arms}
    spent = 0.0
    while spent < seconds * 1000.0 * len(arms) or len(rounds[next(iter(arms))]) < 3:
        for name, run in arms.items():
            times = max(1, int(60.0 / once[name]))
            rounds[name].append(milliseconds(run, times))
            spent += rounds[name][-1] * times
    return {name: (burst.get(name), statistics.median(r[len(r) // 3:])) for name, r in rounds.items()}


def worst_error(ours, length, rows, keys_of):
    """Against float64 over the keys each sampled row may see."""
    worst = 0.0
    for row in rows:
        for head in (0, HEADS_Q - 1):
            keys = keys_of(head, row)
            k = ours.k[:, head * HEADS_KV // HEADS_Q][keys].double()
            v = ours.v[:, head * HEADS_KV // HEADS_Q][keys].double()
            q = ours.q[row, head].double()
            exact = torch.softmax(k @ q / q.shape[0]**0.5, 0) @ v
            worst = max(worst, float((ours.out[row, head].double() - exact).norm() / exact.norm()))
    return worst


def flex_arm(q, k, v, lists):
    from torch.nn.attention.flex_attention import BlockMask, flex_attention
    rows = lists.counts.shape[1]
    kept = lists.mask()[None]  # [1, heads, rows, rows]
    diagonal = torch.eye(rows, dtype=torch.bool, device="cuda")[None, None] & kept
    full = kept & ~diagonal

    def ordered(mask):
        return mask.sum(3).int(), mask.int().argsort(dim=3, descending=True, stable=True).int().contiguous()

    mask = BlockMask.from_kv_blocks(*ordered(diagonal), *ordered(full), BLOCK_SIZE=lists.tokens,
                                    mask_mod=lambda b, h, i, j: i >= j)
    flex = torch.compile(flex_attention, dynamic=False)
    return lambda: flex(q, k, v, block_mask=mask, enable_gqa=True)


def ragged_batch(library, dim, seconds):
    """Eight sequences in one launch, beside the same eight one after another."""
    lengths = [2048, 65536, 4096, 16384, 32768, 8192, 3000, 50001]
    make = lambda heads: torch.randn(sum(lengths), heads, dim, dtype=torch.bfloat16, device="cuda")
    ours = Ours(library, make(HEADS_Q), make(HEADS_KV), make(HEADS_KV))
    times = measure({"batch": ours.ragged(lengths), "parts": ours.parts(lengths)}, seconds, False)
    batch, parts = times["batch"][1], times["parts"][1]
    print(f"# ragged {lengths}: batch {batch:.3f} ms, parts {parts:.3f} ms, {batch / parts:.3f}", file=sys.stderr)


class Run:
    """One case of one length: length:case[:density[:dim]], with +flex to have FlexAttention beside it."""

    def __init__(self, text):
        self.flex = text.endswith("+flex")
        parts = text.removesuffix("+flex").split(":")
        self.length, self.case = int(parts[0]), parts[1]
        self.density = float(parts[2]) if len(parts) > 2 else 0.1
        self.dim = int(parts[3]) if len(parts) > 3 else 128


class OneLength:
    """Queries, keys and values of one length, kept from run to run."""

    def __init__(self, library, length, dim):
        torch.manual_seed(0)
        self.length, self.dim = length, dim
        make = lambda heads: torch.randn(length, heads, dim, dtype=torch.bfloat16, device="cuda")
        self.ours = Ours(library, make(HEADS_Q), make(HEADS_KV), make(HEADS_KV))
        self.q, self.k, self.v = (x.transpose(0, 1)[None] for x in (self.ours.q, self.ours.k, self.ours.v))

    def cudnn(self):
        with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
            return scaled_dot_product_attention(self.q, self.k, self.v, is_causal=True, enable_gqa=True)


def arms_of(run, tensors):
    """name -> launch, then the pairs of one head that attend, their share, and the keys that (head, row) may see."""
    ours, length = tensors.ours, run.length
    causal = length * (length + 1) / 2
    if run.case == "dense":
        return {"ours-hopper": ours.dense}, causal, 1.0, lambda head, row: slice(0, row + 1)
    if run.case.startswith("slashes-"):
        index = Slashes(length, run.case.removeprefix("slashes-"), run.density)
        return {"ours-hopper": lambda: ours.slashes(index)}, index.pairs, index.density, index.keys_of
    tokens = int("".join(c for c in run.case if c.isdigit()))
    lists = Lists(length, tokens, HEADS_KV if run.case.startswith("shared") else HEADS_Q, run.density)

    def keys_of(head, row):
        at = head * lists.heads // HEADS_Q
        kept = lists.blocks[at, row // tokens, :lists.counts[at, row // tokens]].long()
        keys = (kept[:, None] * tokens + torch.arange(tokens, device="cuda")).flatten()
        return keys[keys <= row]

    arms = {"ours-hopper": lambda: ours.blocks(lists)}
    if run.flex:
        arms["peer-flex"] = flex_arm(tensors.q, tensors.k, tensors.v, lists)
    return arms, lists.pairs, lists.density, keys_of


def record(run, tensors, options):
    arms, pairs, density, keys_of = arms_of(run, tensors)
    if not options.no_peer:
        arms["dense-cudnn"] = tensors.cudnn
    ours, length = tensors.ours, run.length
    ours.out.fill_(float("nan"))
    arms["ours-hopper"]()
    rows = (1000, length - 1) if run.case.startswith("slashes") else (0, 63, 1000, length // 2 + 77, length - 1)
    error = worst_error(ours, length, rows, keys_of)
    unwritten = int(ours.out.isnan().any(2).sum())
    times = measure(arms, options.seconds, options.rest)
    told = []
    for arm, (burst, sustained) in times.items():
        dense = arm.startswith("dense")
        work = 4e-9 * run.dim * HEADS_Q * (length * (length + 1) / 2 if dense else pairs)
        told.append(f"{arm} {sustained:.3f} ms {work / sustained:.0f} TFLOP/s" +
                    (f" (burst {work / burst:.0f})" if burst else ""))
        for kind, ms in (("sustained", sustained), ("burst", burst)):
            if ms is not None:
                print(f"{time.strftime('%Y-%m-%d')},{options.commit},NVIDIA H200,prefill,{run.case}-{kind},{arm},1,"
                      f"{HEADS_Q},{HEADS_KV},{run.dim},bf16,{length},{1.0 if dense else density:.4f},,{ms:.4f},{ms:.4f},"
                      f"{work / ms:.1f},", flush=True)
    faster = times["dense-cudnn"][1] / times["ours-hopper"][1] if "dense-cudnn" in times else 0.0
    print(f"# {length} d{run.dim} {run.case} {density:.3f}: {'; '.join(told)}; {faster:.2f}x cudnn; "
          f"error {error:.1e}, unwritten rows {unwritten}", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("commit")
    parser.add_argument("runs", nargs="*", type=Run, help="length:case[:density[:dim]][+flex]")
    parser.add_argument("--seconds", type=float, default=0.4, help="that each arm runs at least")
    parser.add_argument("--rest", action="store_true", help="rest before each arm, for burst rates")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--ragged", action="store_true", help="a ragged batch beside its parts")
    options = parser.parse_args()
    library = ctypes.CDLL(options.library)
    print(HEADER, flush=True)
    tensors = None
    for run in options.runs:
        if tensors is None or (tensors.length, tensors.dim) != (run.length, run.dim):
            tensors = OneLength(library, run.length, run.dim)
        record(run, tensors, options)
    tensors = None
    if options.ragged:
        ragged_batch(library, 128, options.seconds)


if __name__ == "__main__":
    main()
