"""Block lists of real prompts: the bundled model reads a prompt here, and the heads of its layers together make the
heads of one problem. A part of bench/peers/methods.py."""

import json
import pathlib

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from common import Problem, captured, measure, normal, say, write_row
from methods import Method, shared_by
from prefill import Blocks


def rotated(x, base):
    """HuggingFace's halves. // [tokens, heads, dim]"""
    tokens, _, dim = x.shape
    angles = torch.arange(tokens, device="cuda")[:, None] * base**(-torch.arange(0, dim, 2, device="cuda") / dim)
    cos, sin = (torch.cat([f(angles)] * 2, -1)[:, None] for f in (torch.cos, torch.sin))
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


def heads_of_prompt(folder, text):
    """Queries, keys and values of all layers, [tokens, layers * heads, dim], rotary positions applied."""
    folder = pathlib.Path(folder)
    config = json.loads((folder / "config.json").read_text())
    weights = {name: w.cuda().float() for name, w in load_file(folder / "model.safetensors").items()}
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = torch.tensor(tokenizer.encode(text, add_special_tokens=False).ids, device="cuda")
    ids = ids[:len(ids) // 192 * 192]
    dim, eps = config["head_dim"], config["rms_norm_eps"]
    norm = lambda x, w: x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * w
    hidden, taken = weights["model.embed_tokens.weight"][ids], []
    for layer in range(config["num_hidden_layers"]):
        of = lambda name: weights[f"model.layers.{layer}.{name}.weight"]
        x = norm(hidden, of("input_layernorm"))
        q, k, v = ((x @ of(f"self_attn.{n}_proj").T).unflatten(-1, (-1, dim)) for n in "qkv")
        q, k = rotated(q, config["rope_theta"]), rotated(k, config["rope_theta"])
        taken.append((q, k, v))
        attended = torch.nn.functional.scaled_dot_product_attention(
            *(t.transpose(0, 1)[None] for t in (q, k, v)), is_causal=True, enable_gqa=True)[0].transpose(0, 1)
        hidden = hidden + attended.flatten(1) @ of("self_attn.o_proj").T
        x = norm(hidden, of("post_attention_layernorm"))
        gate = torch.nn.functional.silu(x @ of("mlp.gate_proj").T)
        hidden = hidden + (gate * (x @ of("mlp.up_proj").T)) @ of("mlp.down_proj").T
    hidden = norm(hidden[-1:], weights["model.norm.weight"])
    answer = tokenizer.decode([int((hidden @ weights["model.embed_tokens.weight"].T).argmax())])
    say(f"{len(ids)} tokens; the model goes on with {answer!r}")
    return [torch.cat(heads, 1).bfloat16() for heads in zip(*taken)]


def record_prompts(library, commit, folder, prompts):
    """The prompt as it is, and eight copies of it behind each other; then the same lists on heads of 128 channels."""
    for path in prompts:
        name = pathlib.Path(path).stem
        q, k, v = heads_of_prompt(folder, json.loads(pathlib.Path(path).read_text().splitlines()[0])["input_text"])
        for copies in (1, 8):
            problem = Problem(*(x.repeat(copies, 1, 1) for x in (q, k, v)))
            length = problem.length
            wide = Problem(*normal(length, 32, 8, 128))
            for density in (0.05, 0.1):
                tokens = round((1.0 - (1.0 - density)**0.5) * length / 16) * 16
                method = Method(library, "block-sparse-16", tokens, problem).in_own_memory()
                method.select()
                kept = method.density()
                blocks, counts = method.lists()
                rows = length // 16
                p = [shared_by(blocks[:, :rows], counts[:, :rows], *group) for group in ((12, 1), (6, 2))]
                lists = Blocks(library, wide, blocks, counts, 16)
                times = measure({"run": captured(method.run), "select": captured(method.select),
                                 "attend": captured(lists.run), "cudnn": problem.cudnn, "wide": wide.cudnn}, 10.0)
                ms = {arm: t for arm, (_, t) in times.items()}
                flops, flops_wide = problem.dense_flops(), wide.dense_flops()
                case, wide_case = f"prompt-{name}", f"lists-of-{name}"
                write_row(commit, case, "block-sparse-16", problem, kept, ms["run"], ms["select"], kept * flops)
                write_row(commit, case, "dense-cudnn", problem, 1.0, ms["cudnn"], flops=flops)
                write_row(commit, wide_case, "blocks16", wide, kept, ms["attend"], flops=kept * flops_wide)
                write_row(commit, wide_case, "dense-cudnn", wide, 1.0, ms["wide"], flops=flops_wide)
                say(f"{name} x {copies}, {length} tokens, density {kept:.4f}: p {p[0]:.2f} (12 x 1), {p[1]:.2f} (6 x 2)"
                    f"; d 64: {ms['select']:.3f} + {ms['run'] - ms['select']:.3f} ms, {ms['cudnn'] / ms['run']:.2f}x "
                    f"cudnn; d 128: attention alone {ms['attend']:.3f} ms, {ms['wide'] / ms['attend']:.2f}x cudnn")
