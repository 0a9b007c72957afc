"""Prefill kernels of ours over given lists beside PyTorch's, in one process, on the same tensors, in turns.

Prints rows of bench/results/h200.csv on stdout and what it does on stderr. "sustained": medians of 20 turns of 40 ms;
with --rest also "burst", the first launch after most of a second of rest.
    python3 bench/peers/prefill.py LIBRARY COMMIT 65536:dense 65536:blocks128:0.1+flex 65536:shared16:0.05 ...
Cases: dense; blocksN, a list of N-token blocks per query head; sharedN, one per KV head; clusteredN, a list per query
head of which twelve neighbouring rows have four fifths in common; slashes-clustered; slashes-random, 1024 columns and
1024 diagonals. With +flex FlexAttention runs on the same blocks; with +study the kernels of The Sparse Frontier do
(--study says where they lie), and every row has the same number of blocks; with +whole their selection runs too.
"""

import argparse
import ctypes

import torch

from common import HEADER, Lists, Problem, measure, normal, say, stream, worst_error, write_row

HEADS_Q, HEADS_KV = 32, 8


class Ours:
    """A launch of ours, with the scratch that it asks for."""

    def __init__(self, library, name, problem, *structs):
        self.launch, self.problem = getattr(library, f"lacuna_{name}"), problem
        self.arguments = [ctypes.byref(s) for s in (problem.struct, *structs)]
        ask = getattr(library, f"lacuna_{name}_scratch")
        ask.restype = ctypes.c_int64
        self.scratch = torch.empty(max(ask(*self.arguments), 64), dtype=torch.uint8, device="cuda")

    def run(self):
        assert self.launch(*self.arguments, ctypes.c_void_p(self.scratch.data_ptr()),
                           ctypes.c_int64(self.scratch.numel()), stream()) == 0


class Blocks(Ours):
    """Over block ids [heads, rows, room] and counts [heads, rows]."""

    def __init__(self, library, problem, blocks, counts, tokens):
        more = problem.length // tokens + 2 - blocks.shape[1]  # the rows that a batch of one may have
        self.blocks = torch.nn.functional.pad(blocks, (0, 0, 0, max(more, 0))).contiguous()
        self.counts = torch.nn.functional.pad(counts, (0, max(more, 0))).contiguous()
        heads, rows, room = self.blocks.shape
        super().__init__(library, "blocks", problem,
                         Lists(self.blocks.data_ptr(), self.counts.data_ptr(), heads, rows, room, tokens))


class RandomLists:
    """Causal block lists: every row keeps its diagonal and a share of what it sees; `fixed`: as many as any other row,
    or all that it sees."""

    def __init__(self, length, tokens, heads, density, clustered, fixed):
        rows = (length + tokens - 1) // tokens
        self.tokens, self.heads = tokens, heads
        seen = torch.arange(1, rows + 1, device="cuda")
        keep = torch.clamp((seen * density).round().long(), min=1)
        if fixed:
            keep = torch.clamp(seen, max=round((1.0 - (1.0 - density)**0.5) * rows))
        self.room = int(keep.max())
        self.blocks = torch.full((heads, rows, self.room), 2**30, dtype=torch.int32, device="cuda")
        generator = torch.Generator("cuda").manual_seed(1)
        rand = lambda *shape: torch.rand(*shape, generator=generator, device="cuda")
        for head in range(heads):
            for begin in range(0, rows, 2040):
                row = torch.arange(begin, min(begin + 2040, rows), device="cuda")
                score = rand(len(row), rows)
                if clustered:  # twelve rows draw by the same scores, a fifth of which are their own
                    common = rand((len(row) + 11) // 12, rows)[torch.arange(len(row), device="cuda") // 12]
                    score = torch.where(rand(len(row), rows) < 0.2, score, common)
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

    def keys_of(self, head, row):
        at = head * self.heads // HEADS_Q
        kept = self.blocks[at, row // self.tokens, :self.counts[at, row // self.tokens]].long()
        keys = (kept[:, None] * self.tokens + torch.arange(self.tokens, device="cuda")).flatten()
        return keys[keys <= row]

    def mask(self):
        rows = self.counts.shape[1]
        kept = torch.zeros(self.heads, rows, rows + 1, dtype=torch.bool, device="cuda")
        kept.scatter_(2, self.blocks.long().clamp(max=rows), True)
        return kept[:, :, :rows]


class Slashes:
    """Columns and diagonals of each query head: at random, or diagonals in clusters and the first columns."""

    TILE = 64

    class Struct(ctypes.Structure):
        _fields_ = [(name, ctypes.c_void_p) for name in ("columns", "diagonals", "counts")] + [
            (name, ctypes.c_int64) for name in ("heads", "column_room", "diagonal_room")]

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
        self.struct = Slashes.Struct(self.columns.data_ptr(), self.diagonals.data_ptr(), self.counts.data_ptr(),
                                     HEADS_Q, self.columns.shape[1], self.diagonals.shape[1])
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


def flex_arm(problem, lists):
    from torch.nn.attention.flex_attention import BlockMask, flex_attention
    q, k, v = (x.transpose(0, 1)[None] for x in (problem.q, problem.k, problem.v))
    rows = lists.counts.shape[1]
    kept = lists.mask()[None]  # [1, heads, rows, rows]
    diagonal = torch.eye(rows, dtype=torch.bool, device="cuda")[None, None] & kept
    full = kept & ~diagonal

    def ordered(mask):
        return mask.sum(3).int(), mask.int().argsort(dim=3, descending=True, stable=True).int().contiguous()

    mask = BlockMask.from_kv_blocks(*ordered(diagonal), *ordered(full), BLOCK_SIZE=lists.tokens,
                                    mask_mod=lambda b, h, i, j: i >= j)
    flex = torch.compile(flex_attention, dynamic=False)
    small = {"BLOCK_M": lists.tokens, "BLOCK_N": lists.tokens} if lists.tokens < 128 else None
    return lambda: flex(q, k, v, block_mask=mask, enable_gqa=True, kernel_options=small)


class Run:
    """One case of one length: length:case[:density[:dim]], with +flex, +study and +whole to have peers beside it."""

    def __init__(self, text):
        text, *peers = text.split("+")
        self.flex, self.study, self.whole = (peer in peers for peer in ("flex", "study", "whole"))
        self.study |= self.whole
        parts = text.split(":")
        self.length, self.case = int(parts[0]), parts[1]
        self.density = float(parts[2]) if len(parts) > 2 else 0.1
        self.dim = int(parts[3]) if len(parts) > 3 else 128


def arms_of(run, library, problem, options):
    """name -> launch, then the pairs of one head that attend, their share, the keys that (head, row) may see, and a
    remark."""
    length = run.length
    if run.case == "dense":
        pairs, keys_of = length * (length + 1) / 2, lambda head, row: slice(0, row + 1)
        return {"ours": Ours(library, "dense", problem).run}, pairs, 1.0, keys_of, ""
    if run.case.startswith("slashes-"):
        lists = Slashes(length, run.case.removeprefix("slashes-"), run.density)
        arms = {"ours": Ours(library, "slashes", problem, lists.struct).run}
        if run.study:
            from study import vertical_slash_arm
            arms["peer-study"] = vertical_slash_arm(options.study, problem, lists)
        return arms, lists.pairs, lists.density, lists.keys_of, ""
    tokens = int("".join(c for c in run.case if c.isdigit()))
    heads = HEADS_KV if run.case.startswith("shared") else HEADS_Q
    lists = RandomLists(length, tokens, heads, run.density, run.case.startswith("clustered"), run.study)
    arms, remark = {"ours": Blocks(library, problem, lists.blocks, lists.counts, tokens).run}, ""
    if heads == HEADS_Q and tokens == 16:
        from methods import shared_by
        remark = f"p {shared_by(lists.blocks[:4], lists.counts[:4], 12):.2f}"
    if run.flex:
        arms["peer-flex"] = flex_arm(problem, lists)
    if run.study:
        from study import block_sparse_arm
        arms["peer-study"] = block_sparse_arm(options.study, problem, lists)
    if run.whole:
        from study import selected_block_sparse_arm
        arms["peer-study-selected"] = selected_block_sparse_arm(options.study, problem, lists.room, tokens)
    return arms, lists.pairs, lists.density, lists.keys_of, remark


def record(run, library, problem, options):
    arms, pairs, density, keys_of, remark = arms_of(run, library, problem, options)
    length = run.length
    problem.out.fill_(float("nan"))
    arms["ours"]()
    rows = (1000, length - 1) if run.case.startswith("slashes") else (0, 63, 1000, length // 2 + 77, length - 1)
    error = worst_error(problem, [(head, row) for head in (0, HEADS_Q - 1) for row in rows], keys_of)
    unwritten = int(problem.out.isnan().any(2).sum())
    for arm, peer in arms.items():
        if arm in ("peer-flex", "peer-study"):
            theirs, ours = peer()[0].transpose(0, 1)[-128:].float(), problem.out[-128:].float()
            remark += f", {arm} differs by {float((theirs - ours).norm() / ours.norm()):.1e}"
    if not options.no_peer:
        arms["dense-cudnn"] = problem.cudnn
    times = measure(arms, options.turn_ms, rest=options.rest)
    told = []
    for arm, (burst, sustained) in times.items():
        dense = arm.startswith("dense")
        work = 4.0 * run.dim * HEADS_Q * (length * (length + 1) / 2 if dense else pairs)
        told.append(f"{arm} {sustained:.3f} ms {work * 1e-9 / sustained:.0f} TFLOP/s" +
                    (f" (burst {work * 1e-9 / burst:.0f})" if burst else ""))
        for kind, ms in (("sustained", sustained), ("burst", burst)):
            if ms is not None:
                write_row(options.commit, f"{run.case}-{kind}", arm, problem, 1.0 if dense else density, ms, flops=work)
    faster = times["dense-cudnn"][1] / times["ours"][1] if "dense-cudnn" in times else 0.0
    say(f"{length} d{run.dim} {run.case} {density:.4f} {remark}: {'; '.join(told)}; {faster:.2f}x cudnn; "
        f"error {error:.1e}, unwritten rows {unwritten}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("commit")
    parser.add_argument("runs", nargs="*", type=Run, help="length:case[:density[:dim]][+flex][+study]")
    parser.add_argument("--turn-ms", type=float, default=40.0, help="of an arm in each round")
    parser.add_argument("--rest", action="store_true", help="rest before each arm, for burst rates")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--study", help="folder with the study's repository and libvertical_slash_index.so")
    options = parser.parse_args()
    library = ctypes.CDLL(options.library)
    print(HEADER, flush=True)
    problem = None
    for run in options.runs:
        if problem is None or (problem.length, problem.dim) != (run.length, run.dim):
            torch.manual_seed(0)
            problem = Problem(*normal(run.length, HEADS_Q, HEADS_KV, run.dim))
        record(run, library, problem, options)


if __name__ == "__main__":
    main()
