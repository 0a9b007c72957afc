"""Whole prefill methods, selection and attention, beside PyTorch's dense attention by cuDNN in the same process, in
turns.

Prints rows of bench/results/h200.csv on stdout and what it does on stderr. Our calls are graphs, captured once;
ms_attend is what selection leaves of the whole. Medians of 20 turns.
    python3 bench/peers/methods.py LIBRARY COMMIT crossover 16384 32768    every method at density .05, .1 and .2
    python3 bench/peers/methods.py LIBRARY COMMIT growth                   a fixed budget from 16K to 1M tokens
    python3 bench/peers/methods.py LIBRARY COMMIT ragged                   a batch of eight beside its parts
    python3 bench/peers/methods.py LIBRARY COMMIT prompt MODEL PROMPTS...  queries and keys of the bundled model
"""

import argparse
import ctypes
import math
import time

import torch

from common import HEADER, Lists, Problem, captured, measure, normal, prompt_like, say, stream, worst_error, write_row

FIXED = ("block-sparse-16", "block-sparse-64", "block-sparse-128", "block-sparse-gqa-16", "block-antidiagonal-16")
PAIRS = ("vertical-slash", "vertical-slash-gqa")
SHARES = ("flex-prefill", "block-top-p-16", "x-attention-128")
METHODS = FIXED + PAIRS + SHARES + ("streaming",)


class Memory:
    """Of all methods in turn: a call writes its index before it reads it."""

    def __init__(self):
        self.index = self.workspace = torch.empty(0, dtype=torch.uint8, device="cuda")

    def fit(self, index, workspace):
        if index > self.index.numel():
            self.index = torch.empty(index, dtype=torch.uint8, device="cuda")
        if workspace > self.workspace.numel():
            self.workspace = torch.empty(workspace, dtype=torch.uint8, device="cuda")


class Method:
    """A method on a problem, with the memory that it plans."""

    def __init__(self, library, name, amount, problem):
        self.library, self.name, self.amount, self.problem = library, name, amount, problem
        self.handle = ctypes.c_void_p(library.lacuna_method(name.encode(), ctypes.c_double(amount),
                                                            ctypes.byref(problem.struct)))
        assert self.handle.value, f"no method {name}"
        bytes_ = (ctypes.c_int64 * 2)()
        assert library.lacuna_method_plan(self.handle, bytes_) == 0
        self.bytes = tuple(max(n, 64) for n in bytes_)

    def __del__(self):
        self.library.lacuna_method_free(self.handle)

    def place(self, index, workspace):
        self.index, self.workspace = index, workspace  # kept alive
        self.library.lacuna_method_place(self.handle, ctypes.c_void_p(index.data_ptr()),
                                         ctypes.c_void_p(workspace.data_ptr()))
        return self

    def in_own_memory(self):
        return self.place(*(torch.empty(n, dtype=torch.uint8, device="cuda") for n in self.bytes))

    def run(self):
        assert self.library.lacuna_method_run(self.handle, stream()) == 0

    def select(self):
        assert self.library.lacuna_method_select(self.handle, stream()) == 0

    def attend(self):
        assert self.library.lacuna_method_attend(self.handle, stream()) == 0

    def density(self):
        torch.cuda.synchronize()
        return self.library.lacuna_method_density(self.handle)

    def lists(self):
        """Block ids [heads, rows, room] and counts [heads, rows] as the last selection left them."""
        lists = Lists()
        assert self.library.lacuna_method_lists(self.handle, ctypes.byref(lists)) == 0
        begin = self.index.data_ptr()

        def view(at, *shape):
            ints = self.index[at - begin:at - begin + 4 * math.prod(shape)].view(torch.int32)
            return ints.view(*shape)

        return view(lists.blocks, lists.heads, lists.rows, lists.room), view(lists.counts, lists.heads, lists.rows)


def load(path):
    library = ctypes.CDLL(path)
    library.lacuna_method.restype = ctypes.c_void_p
    library.lacuna_method_density.restype = ctypes.c_double
    library.lacuna_method_free.argtypes = [ctypes.c_void_p]
    return library


def shared_by(blocks, counts, units, heads=1):
    """How many units share a read, where a tile is so many neighbouring rows of so many heads: what they kept over
    what the tile reads."""
    rows = blocks.shape[1]
    slots = torch.arange(blocks.shape[2], device="cuda")
    kept = read = 0
    for first in range(0, blocks.shape[0], heads):
        union = torch.zeros(-(-rows // units), rows + 1, dtype=torch.bool, device="cuda")
        for head in range(first, first + heads):
            mask = slots[None] < counts[head][:, None]
            row = (torch.arange(rows, device="cuda") // units)[:, None].expand_as(mask)
            union[row[mask], blocks[head][mask].long()] = True
            kept += int(counts[head].sum())
        read += int(union.sum())
    return kept / read


def keys_kept(method):
    """keys_of(head, row) of the last selection of a method of blocks."""
    blocks, counts = method.lists()
    tokens, group = int(method.name.split("-")[-1]), 32 // blocks.shape[0]

    def keys_of(head, row):
        kept = blocks[head // group, row // tokens, :counts[head // group, row // tokens]].long()
        keys = (kept[:, None] * tokens + torch.arange(tokens, device="cuda")).flatten()
        return keys[keys <= row]

    return keys_of


def fitted(library, name, density, problem, memory):
    """The method with the most that it may keep and stay at most at this density."""
    length = problem.length

    def method(amount):
        made = Method(library, name, amount, problem)
        memory.fit(*made.bytes)
        return made.place(memory.index, memory.workspace)

    if name == "streaming":
        return method(max(64, int((1.0 - math.sqrt(1.0 - density)) * length) - 128))
    if name in FIXED:
        block = int(name.split("-")[-1])
        return method(max(3, int((1.0 - math.sqrt(1.0 - density)) * length / block + 0.5)) * block)
    low, high = (16.0, length / 4.0) if name in PAIRS else (1e-4, 0.995)
    for _ in range(9):
        middle = math.sqrt(low * high) if name in PAIRS or low < 0.05 else (low + high) / 2
        one = method(middle)
        one.select()
        low, high = (middle, high) if one.density() <= density else (low, middle)
    return method(low)


def crossover(library, commit, lengths, names, densities, data):
    for length in lengths:
        torch.manual_seed(0)
        problem = Problem(*data(length, 32, 8, 128))
        memory, wanted, begun = Memory(), [], time.monotonic()
        for name in names:
            for density in densities:
                method = fitted(library, name, density, problem, memory)
                problem.out.fill_(float("nan"))
                method.run()
                measured, more = method.density(), ""
                if name in ("block-sparse-16", "block-top-p-16", "block-antidiagonal-16"):
                    blocks, counts = method.lists()
                    more = f", p {shared_by(blocks[:4, :-2], counts[:4, :-2], 12):.2f}"
                say(f"{time.monotonic() - begun:.1f} s: {name}({method.amount:.4g}) density {measured:.4f}")
                wanted.append((name, method.amount, measured, int(problem.out.isnan().any(2).sum()), more))
        dense = Method(library, "dense", 0, problem).in_own_memory()
        arms = {("dense", None): captured(dense.run), ("cudnn", None): problem.cudnn}
        methods = []
        for at, (name, amount, *_) in enumerate(wanted):
            method = Method(library, name, amount, problem).place(memory.index, memory.workspace)
            methods.append(method)
            arms[at, "run"] = captured(method.run)
            if name != "streaming":
                arms[at, "select"] = captured(method.select)
        times = {key: ms for key, (_, ms) in measure(arms, 10.0).items()}
        case = f"methods-{data.__name__.replace('_', '-')}"
        cudnn, flops = times["cudnn", None], problem.dense_flops()
        write_row(commit, case, "dense-cudnn", problem, 1.0, cudnn, flops=flops)
        write_row(commit, case, "dense", problem, 1.0, times["dense", None], flops=flops)
        say(f"{length}: cudnn {cudnn:.3f} ms, dense {times['dense', None]:.3f} ms")
        for at, (name, amount, measured, unwritten, more) in enumerate(wanted):
            total, select = times[at, "run"], times.get((at, "select"), 0.0)
            write_row(commit, case, name, problem, measured, total, select, measured * flops)
            say(f"{length} {name}({amount:.4g}) density {measured:.4f}: {select:.3f} + {total - select:.3f} = "
                f"{total:.3f} ms, {cudnn / total:.2f}x cudnn, select {100 * select / cudnn:.1f} %{more}, unwritten rows "
                f"{unwritten}")
        del arms, methods, dense, memory


def growth(library, commit, lengths):
    """The same budget at every length: the exponent between the shortest and each other one."""
    cases = [("block-sparse-16", 1024), ("block-sparse-64", 4096), ("block-sparse-128", 4096), ("vertical-slash", 512),
             ("vertical-slash-gqa", 512), ("streaming", 4096)]
    first = {}
    for length in lengths:
        torch.manual_seed(0)
        problem = Problem(*normal(length, 32, 8, 128))
        for name, amount in cases:
            method = Method(library, name, amount, problem).in_own_memory()
            arms = {"run": captured(method.run)}
            if name != "streaming":
                arms["select"] = captured(method.select)
            times = measure(arms, 10.0)
            total, select = times["run"][1], times.get("select", (0, 0.0))[1]
            first.setdefault(name, (length, total))
            begin, ms = first[name]
            exponent = math.log(total / ms) / math.log(length / begin) if length > begin else 0.0
            density = method.density()
            rows = [(head, row) for head in (0, 31) for row in (5, length // 2 + 77, length - 1)]
            error = worst_error(problem, rows, keys_kept(method)) if name in FIXED else 0.0
            flops = density * problem.dense_flops()
            write_row(commit, f"growth-{amount}", name, problem, density, total, select, flops)
            unwritten = int(problem.out.isnan().any(2).sum())
            say(f"{length} {name}({amount}) density {density:.4f}: {select:.3f} + {total - select:.3f} = {total:.3f} "
                f"ms, exponent {exponent:.3f}, error {error:.1e}, unwritten rows {unwritten}")
            del method, arms
            torch.cuda.empty_cache()


def ragged(library, commit):
    """Eight sequences in one call, beside the same eight one after another."""
    lengths = [2048, 65536, 4096, 16384, 32768, 8192, 3000, 50001]
    problem = Problem(*normal(sum(lengths), 32, 8, 128), lengths)
    parts = list(problem.parts())
    for name, amount in [("dense", 0), ("block-sparse-16", 2048), ("block-sparse-64", 2048), ("block-sparse-128", 2048),
                         ("block-sparse-gqa-16", 2048), ("vertical-slash", 256), ("flex-prefill", 0.1),
                         ("x-attention-128", 0.1), ("streaming", 2048)]:
        together = Method(library, name, amount, problem).in_own_memory()
        alone = [Method(library, name, amount, part).in_own_memory() for part in parts]

        def each():
            for method in alone:
                method.run()

        times = measure({"batch": captured(together.run), "parts": captured(each)}, 20.0)
        batch, apart = times["batch"][1], times["parts"][1]
        for arm, ms in ((name, batch), (f"{name}-one-by-one", apart)):
            write_row(commit, "ragged-of-8", arm, problem, None, ms)
        say(f"ragged {name}({amount}): batch {batch:.3f} ms, parts {apart:.3f} ms, {batch / apart:.3f}")
        del together, alone
        torch.cuda.empty_cache()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("commit")
    parser.add_argument("what", choices=("crossover", "growth", "ragged", "prompt"))
    parser.add_argument("rest", nargs="*")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--densities", default="0.05,0.1,0.2")
    parser.add_argument("--normal", action="store_true", help="normal data instead of such as a prompt's")
    options = parser.parse_args()
    library = load(options.library)
    print(HEADER, flush=True)
    if options.what == "crossover":
        crossover(library, options.commit, [int(n) for n in options.rest], options.methods.split(","),
                  [float(d) for d in options.densities.split(",")], normal if options.normal else prompt_like)
    elif options.what == "growth":
        growth(library, options.commit, [int(n) for n in options.rest] or [1 << n for n in (14, 16, 18, 20)])
    elif options.what == "ragged":
        ragged(library, options.commit)
    else:
        from prompt import record_prompts
        record_prompts(library, options.commit, options.rest[0], options.rest[1:])


if __name__ == "__main__":
    main()
