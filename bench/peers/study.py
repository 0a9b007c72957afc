"""The Triton kernels of The Sparse Frontier (arXiv 2504.17768, github.com/PiotrNawrot/sparse-frontier) on our lists.
The folder holds their repository, and libvertical_slash_index.so: their csrc/vertical_slash_index.cu, up to its launcher,
with

    extern "C" void convert(...)    which calls convert_vertical_slash_indexes_64x64 with the same arguments

They want a key head for every query head, so keys and values are repeated beforehand, outside of what is timed."""

import ctypes
import importlib.util
import pathlib
import sys
import types

import torch

PACKAGE = "sparse_frontier.modelling.attention.minference"


def kernels(folder, name):
    """A file of theirs, without the packages around it."""
    path = pathlib.Path(folder) / PACKAGE.replace(".", "/") / f"{name}.py"
    parts = PACKAGE.split(".")
    for end in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:end]), types.ModuleType(".".join(parts[:end])))
    compiled = sys.modules.setdefault(f"{PACKAGE}.minference", types.ModuleType(f"{PACKAGE}.minference"))
    compiled.convert_vertical_slash_indexes = None
    spec = importlib.util.spec_from_file_location(f"{PACKAGE}.{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def heads_alike(problem):
    """q, k and v as they take them, [1, heads, tokens, dim], and the length."""
    group = problem.heads_q // problem.heads_kv
    k, v = (x.repeat_interleave(group, 1).transpose(0, 1).contiguous()[None] for x in (problem.k, problem.v))
    return problem.q.transpose(0, 1).contiguous()[None], k, v, problem.lens[:1]


def block_sparse_arm(folder, problem, lists):
    """The kernel alone; every row has its causal blocks or as many as any other."""
    attention = kernels(folder, "block")._triton_block_sparse_attention
    q, k, v, lens = heads_alike(problem)
    blocks = lists.blocks[None].contiguous()
    return lambda: attention(q, k, v, lens, blocks, problem.dim**-0.5, lists.tokens, lists.tokens)


def selected_block_sparse_arm(folder, problem, top_k, tokens):
    """Their selection and their attention."""
    attention = kernels(folder, "block").block_sparse_attention
    q, k, v, _ = heads_alike(problem)
    return lambda: attention(q, k, v, top_k, tokens, tokens)


def vertical_slash_arm(folder, problem, slashes):
    """The kernel alone, over an index that their conversion made."""
    library = ctypes.CDLL(str(pathlib.Path(folder) / "libvertical_slash_index.so"))
    attention = kernels(folder, "vertical_and_slash")._triton_mixed_sparse_attention
    q, k, v, lens = heads_alike(problem)
    heads, rows = problem.heads_q, (problem.length + 63) // 64
    least = int(slashes.counts[:, 0].min())
    columns = slashes.columns[:, :least].contiguous()
    diagonals = slashes.diagonals.sort(1, descending=True).values.contiguous()  # what pads a row is a 0, and it has one
    ints = lambda *shape: torch.zeros(shape, dtype=torch.int32, device="cuda")
    tables = [ints(1, heads, rows), ints(1, heads, rows, diagonals.shape[1]), ints(1, heads, rows),
              ints(1, heads, rows, least)]
    torch.cuda.synchronize()
    pointers = [ctypes.c_void_p(t.data_ptr()) for t in (lens, columns, diagonals, *tables)]
    library.convert(*pointers, *(ctypes.c_int(n) for n in (1, heads, rows, least, diagonals.shape[1])))
    torch.cuda.synchronize()
    return lambda: attention(q, k, v, lens, *tables, problem.dim**-0.5)
