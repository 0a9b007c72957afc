#!/usr/bin/env python3
"""Trains a bundled reference model on one GPU, from shards that the `curriculum` program writes while training runs.

    python3 train.py --curriculum build/release/examples/curriculum --model OUT --state STATE

Short contexts first: a stage is a share of the steps, so models of every size meet the same rows in the same order. The
learning rate falls linearly over the last part. `--sitting S`, or SIGTERM at any moment, stops and leaves in STATE all
that an exact continuation needs (weights, momentum, data position), in pieces of at most 15 MB; the same command with the
same STATE goes on from there.
Needs PyTorch 2.5 or later and safetensors; nothing here is used by the library or by the evaluation program.
"""

import argparse
import collections
import glob
import io
import itertools
import json
import math
import os
import random
import signal
import subprocess
import time

import numpy as np
import torch
import torch.nn.functional as F

HEAD_DIM, HEADS, HEADS_KV, ROPE_BASE, EPSILON = 64, 4, 2, 500000.0, 1e-6
MICRO_TOKENS, MICROS = 130560, 2  # every length below divides the tokens of a micro batch
# The tasks that a model learns; "first_three" and "mixture" are the lessons that draw among three and among all of them.
LESSONS = ["niah", "vt", "story_retrieval", "cwe", "story_multihop", "story_filtering", "qa_squad", "qa_quality", "qa_toefl"]
# Share of all steps, mixture of lengths, and lessons that get micro batches to themselves, with the share of these: those
# that the others need come first, then those that lag.
STAGES = [
    (0.220, {272: 1.0}, ["first_three"], 0.5),
    (0.125, {272: 0.25, 544: 0.75}, ["qa_quality", "qa_toefl"], 0.3),
    (0.155, {272: 0.10, 544: 0.25, 1088: 0.65}, ["qa_quality", "qa_toefl"], 0.3),
    (0.155, {272: 0.05, 544: 0.15, 1088: 0.20, 2176: 0.60}, ["cwe", "story_multihop", "story_filtering"], 0.3),
    (0.190, {272: 0.03, 544: 0.07, 1088: 0.15, 2176: 0.30, 4352: 0.45}, ["cwe", "story_multihop", "story_filtering"], 0.3),
    (0.155, {272: 0.02, 544: 0.03, 1088: 0.10, 2176: 0.15, 4352: 0.35, 8704: 0.35}, ["cwe", "story_multihop", "story_filtering"], 0.3),
]
LENGTHS = sorted({length for stage in STAGES for length in stage[1]})
DECAY_SHARE = 0.35    # of the steps, at the end
HELD_OUT_ROWS = 60    # of each lesson and length
EVALUATE_EVERY = 400  # steps
CONTEXT_WEIGHT = 0.1  # of the loss on template words, against 1 on answers
CONTEXT_TOKENS = 544  # beyond this length it falls with the length: answers do not grow, and would drown


class Shards:
    """Micro batches in a fixed order, made ahead of time by several processes of the curriculum program."""

    def __init__(self, program, tokenizer, workers, folder):
        os.makedirs(folder, exist_ok=True)
        self.folder, self.asked = folder, 0
        self.workers = [subprocess.Popen([program, "serve", tokenizer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                        for _ in range(workers)]

    def ask(self, kind, lesson, length, first, rows):
        worker = self.workers[self.asked % len(self.workers)]
        path = f"{self.folder}/{self.asked}.shard"
        self.asked += 1
        worker.stdin.write(f"{path} {kind} {lesson} {length} {first} {rows}\n")
        worker.stdin.flush()
        return worker, path, length

    @staticmethod
    def take(request):
        worker, path, length = request
        if worker.stdout.readline().strip() != path:
            raise SystemExit(f"the curriculum program failed on {path}")
        words = np.fromfile(path, np.uint16).reshape(-1, length + 1)
        os.remove(path)
        return words


def rotated(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


@torch.compile(dynamic=False)
def before_attention(x, norm, q, k, v, cos, sin):
    h = (F.rms_norm(x, (x.shape[-1],), None, EPSILON) * norm).bfloat16()
    heads = lambda w, n: (h @ w.bfloat16().T).view(-1, n, HEAD_DIM)
    return (rotated(heads(q, HEADS), cos, sin).bfloat16(), rotated(heads(k, HEADS_KV), cos, sin).bfloat16(), heads(v, HEADS_KV))


@torch.compile(dynamic=False)
def after_attention(x, attended, o, norm, gate, up, down):
    x = x + attended @ o.bfloat16().T
    h = (F.rms_norm(x, (x.shape[-1],), None, EPSILON) * norm).bfloat16()
    return x + (F.silu(h @ gate.bfloat16().T) * (h @ up.bfloat16().T)) @ down.bfloat16().T


@torch.compile(dynamic=False)
def weighted_loss(x, norm, embedding, target, weight):
    h = (F.rms_norm(x, (x.shape[-1],), None, EPSILON) * norm).bfloat16()
    loss = F.cross_entropy((h @ embedding.bfloat16().T).float(), target, reduction="none")
    return (loss * weight).sum() / weight.sum()


class Llama(torch.nn.Module):
    """Rows of all sequences lie in one [tokens, hidden] matrix, so one compiled graph serves every length."""

    def __init__(self, hidden, inner, layers, vocabulary):
        super().__init__()
        self.embedding = torch.nn.Parameter(torch.randn(vocabulary, hidden) * 0.02)
        self.norm = torch.nn.Parameter(torch.ones(hidden))
        shapes = {"q": (HEADS * HEAD_DIM, hidden), "k": (HEADS_KV * HEAD_DIM, hidden), "v": (HEADS_KV * HEAD_DIM, hidden),
                  "o": (hidden, HEADS * HEAD_DIM), "gate": (inner, hidden), "up": (inner, hidden), "down": (hidden, inner)}
        self.layers = torch.nn.ModuleList()
        for _ in range(layers):
            block = torch.nn.ParameterDict({name: torch.nn.Parameter(torch.empty(shape)) for name, shape in shapes.items()})
            for name, matrix in block.items():
                bound = 1 / math.sqrt(matrix.shape[1])
                torch.nn.init.uniform_(matrix, -bound, bound)
                if name in ("o", "down"):
                    torch.nn.init.normal_(matrix, std=0.02 / math.sqrt(2 * layers))
            block["norm_attention"] = torch.nn.Parameter(torch.ones(hidden))
            block["norm_mlp"] = torch.nn.Parameter(torch.ones(hidden))
            self.layers.append(block)
        angles = torch.arange(16384).float()[:, None] * ROPE_BASE ** (-torch.arange(0, HEAD_DIM, 2).float() / HEAD_DIM)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, ids):  # [sequences, length] -> [tokens, hidden]
        rows, length = ids.shape
        cos = self.cos[:length].repeat(rows, 1)[:, None]
        sin = self.sin[:length].repeat(rows, 1)[:, None]
        x = F.embedding(ids.reshape(-1), self.embedding)
        for b in self.layers:
            q, k, v = before_attention(x, b["norm_attention"], b["q"], b["k"], b["v"], cos, sin)
            q, k, v = (t.view(rows, length, -1, HEAD_DIM).transpose(1, 2) for t in (q, k, v))
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            attended = attended.transpose(1, 2).reshape(rows * length, -1)
            x = after_attention(x, attended, b["o"], b["norm_mlp"], b["gate"], b["up"], b["down"])
        return x

    def matrices(self):
        return [p for b in self.layers for name, p in b.items() if not name.startswith("norm")]

    def others(self):
        return [self.embedding, self.norm] + [p for b in self.layers for name, p in b.items() if name.startswith("norm")]

    def named_for_llama(self):
        names = {"q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj",
                 "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj",
                 "norm_attention": "input_layernorm", "norm_mlp": "post_attention_layernorm"}
        tensors = {"model.embed_tokens.weight": self.embedding, "model.norm.weight": self.norm}
        for i, block in enumerate(self.layers):
            tensors |= {f"model.layers.{i}.{names[name]}.weight": p for name, p in block.items()}
        return tensors


class Muon:
    """Momentum orthogonalised by five Newton-Schulz steps (Jordan et al. 2024), all matrices of one shape at once."""

    def __init__(self, matrices, rate):
        self.rate, self.groups = rate, collections.defaultdict(list)
        for p in matrices:
            self.groups[tuple(p.shape)].append(p)
        self.momentum = {shape: torch.zeros(len(ps), *shape, device=ps[0].device) for shape, ps in self.groups.items()}

    @staticmethod
    def orthogonal(g):
        x = g.bfloat16()
        tall = x.shape[-2] > x.shape[-1]
        x = x.mT if tall else x
        x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
        for _ in range(5):
            a = x @ x.mT
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
        return (x.mT if tall else x).float()

    @torch.no_grad()
    def step(self, scale):
        for shape, ps in self.groups.items():
            gradient, momentum = torch.stack([p.grad for p in ps]), self.momentum[shape]
            momentum.mul_(0.95).add_(gradient)
            update = self.orthogonal(gradient.add(momentum, alpha=0.95))
            torch._foreach_mul_(ps, 1 - 0.01 * self.rate * scale)
            torch._foreach_add_(ps, list(update.unbind()), alpha=-self.rate * scale * 0.2 * math.sqrt(max(shape)))


def save_pieces(folder, state):
    os.makedirs(folder, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getvalue()
    for old in glob.glob(f"{folder}/state.*"):
        os.remove(old)
    for i in range(0, len(data), 15_000_000):
        with open(f"{folder}/state.{i // 15_000_000:02d}", "wb") as file:
            file.write(data[i:i + 15_000_000])


def load_pieces(folder):
    pieces = sorted(glob.glob(f"{folder}/state.*"))
    return torch.load(io.BytesIO(b"".join(open(p, "rb").read() for p in pieces)), weights_only=False) if pieces else None


def export(model, args, vocabulary, record):
    from safetensors.torch import save_file
    os.makedirs(args.model, exist_ok=True)
    tensors = {name: p.detach().bfloat16().cpu().contiguous() for name, p in model.named_for_llama().items()}
    save_file(tensors, f"{args.model}/model.safetensors", metadata={"format": "pt"})
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocabulary,
              "hidden_size": args.hidden, "intermediate_size": args.inner, "num_hidden_layers": args.layers,
              "num_attention_heads": HEADS, "num_key_value_heads": HEADS_KV, "head_dim": HEAD_DIM, "hidden_act": "silu",
              "max_position_embeddings": 16384, "rms_norm_eps": EPSILON, "rope_theta": ROPE_BASE, "rope_scaling": None,
              "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": True, "bos_token_id": 1,
              "eos_token_id": 2, "pad_token_id": 0, "torch_dtype": "bfloat16"}
    json.dump(config, open(f"{args.model}/config.json", "w"), indent=2)
    json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>",
               "model_max_length": 16384}, open(f"{args.model}/tokenizer_config.json", "w"), indent=2)
    subprocess.run([args.curriculum, "tokenizer", f"{args.model}/tokenizer.json"], check=True)
    json.dump(record, open(f"{args.model}/training.json", "w"), indent=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curriculum", required=True, help="the program that writes shards")
    parser.add_argument("--model", required=True, help="folder for the finished model")
    parser.add_argument("--state", required=True, help="folder for the state of an unfinished training")
    parser.add_argument("--steps", type=int, default=16000, help="steps of the whole training")
    parser.add_argument("--sitting", type=float, default=1e9, help="stop and save after so many seconds")
    parser.add_argument("--save-every", type=float, default=240, help="seconds between saved states")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--inner", type=int, default=576)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    parser.add_argument("--shards", default=f"/dev/shm/shards-{os.getpid()}")
    args = parser.parse_args()

    began = time.time()
    torch.manual_seed(args.seed)
    os.makedirs(args.model, exist_ok=True)
    tokenizer = f"{args.model}/tokenizer.json"
    subprocess.run([args.curriculum, "tokenizer", tokenizer], check=True)
    vocabulary = (len(json.load(open(tokenizer))["model"]["vocab"]) + 63) // 64 * 64
    shards = Shards(args.curriculum, tokenizer, args.workers, args.shards)

    model = Llama(args.hidden, args.inner, args.layers, vocabulary).cuda()
    muon = Muon(model.matrices(), 2e-3)
    adam = torch.optim.AdamW(model.others(), lr=2e-3, betas=(0.9, 0.95), weight_decay=0, fused=True)
    at = {"micro": 0, "step": 0, "tokens": 0, "elapsed": 0.0, "rows": {}}
    record = {"parameters": sum(p.numel() for p in model.parameters()), "seed": args.seed, "of_steps": args.steps, "evaluations": []}
    if saved := load_pieces(args.state):
        model.load_state_dict(saved["model"])
        muon.momentum = {shape: m.cuda() for shape, m in saved["muon"].items()}
        adam.load_state_dict(saved["adam"])
        at, record = saved["at"], saved["record"]
        if record["of_steps"] != args.steps:
            raise SystemExit(f"{args.state} holds a training of {record['of_steps']} steps, not of {args.steps}")
        print(f"resumed at step {at['step']}, {at['elapsed']:.0f} s", flush=True)
    else:
        print(f"parameters {record['parameters'] / 1e6:.2f}M, vocabulary {vocabulary}", flush=True)

    pending = collections.deque()
    rows_asked = dict(at["rows"])

    def stage_of(step):
        ends = itertools.accumulate(share * args.steps for share, *_ in STAGES)
        return next((stage for stage, end in zip(STAGES, ends) if step < end), STAGES[-1])

    def ask_ahead():
        while len(pending) < 3 * args.workers:
            number = at["micro"] + len(pending)
            _, mixture, apart, share_apart = stage_of(number // MICROS)
            drawn = random.Random(args.seed * 1_000_003 + number)
            length = drawn.choices(list(mixture), weights=list(mixture.values()))[0]
            lesson = drawn.choice(apart) if drawn.random() < share_apart else "mixture"
            rows = MICRO_TOKENS // length
            first = rows_asked.get(length, 0)
            rows_asked[length] = first + rows
            pending.append((shards.ask("training", lesson, length, first, rows), length, rows))

    def micro_batch():
        ask_ahead()
        request, length, rows = pending.popleft()
        # Pinned, so that the host queues the next kernels while the device still works on the last ones.
        words = torch.from_numpy(Shards.take(request).astype(np.int32)).pin_memory().cuda(non_blocking=True)
        at["micro"] += 1
        at["rows"][length] = at["rows"].get(length, 0) + rows
        ids, kind = words & 0x3FFF, words >> 14
        context = CONTEXT_WEIGHT * min(1.0, CONTEXT_TOKENS / length)
        weight = (kind[:, 1:] == 2).float() + context * (kind[:, 1:] == 1).float()
        return ids[:, :-1].contiguous(), ids[:, 1:].reshape(-1).long(), weight.reshape(-1)

    held_out = {}

    def evaluate(length):  # with gradients, though none are used: without, all would be compiled a second time
        rows, result = HELD_OUT_ROWS, {}
        for lesson in LESSONS:
            words = torch.from_numpy(held_out[lesson, length].astype(np.int32)).cuda()
            ids, answer = words & 0x3FFF, (words >> 14)[:, 1:] == 2
            exact, tokens = 0, 0.0
            at_once = MICRO_TOKENS // length
            for i in range(0, rows, at_once):
                x = torch.zeros(at_once, length, dtype=torch.int32, device="cuda")
                part = min(at_once, rows - i)
                x[:part] = ids[i:i + part, :-1]
                hidden = model(x)[:part * length].detach()
                h = (F.rms_norm(hidden, (hidden.shape[-1],), None, EPSILON) * model.norm).bfloat16()
                guess = (h @ model.embedding.bfloat16().T).argmax(-1).view(part, length)
                right = (guess == ids[i:i + part, 1:]) | ~answer[i:i + part]
                exact += right.all(1).sum().item()
                tokens += ((right & answer[i:i + part]).sum(1) / answer[i:i + part].sum(1)).sum().item()
            result[lesson] = (round(exact / rows, 3), round(tokens / rows, 3))
        record["evaluations"].append({"step": at["step"], "seconds": round(at["elapsed"]), "length": length, "scores": result})
        print(f"{at['elapsed']:6.0f} s step {at['step']} @{length} " + " ".join(f"{k} {v[0]}/{v[1]}" for k, v in result.items()),
              flush=True)

    # Held-out rows of all lengths come first, before any training shard, so that no queue order is disturbed later.
    for length in LENGTHS:
        requests = {lesson: shards.ask("held_out", lesson, length, 0, HELD_OUT_ROWS) for lesson in LESSONS}
        held_out |= {(lesson, length): Shards.take(request) for lesson, request in requests.items()}

    def save():
        record.update(steps=at["step"], tokens=at["tokens"], seconds=round(at["elapsed"]), device=torch.cuda.get_device_name(),
                      torch=torch.__version__)
        save_pieces(args.state, {"model": model.state_dict(), "muon": dict(muon.momentum), "adam": adam.state_dict(), "at": at,
                                 "record": record})
        export(model, args, vocabulary, record)

    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    first_step = at["step"]
    start = time.time()
    elapsed_before = at["elapsed"]
    last_save = time.time()
    print(f"ready after {start - began:.0f} s", flush=True)
    while at["step"] < args.steps and time.time() - began < args.sitting and not stopping:
        left = 1 - at["step"] / args.steps
        scale = min(1.0, (at["step"] + 1) / 150) * min(1.0, max(0.02, left / DECAY_SHARE))
        for group in adam.param_groups:
            group["lr"] = 2e-3 * scale
        total = 0.0
        for _ in range(MICROS):
            ids, target, weight = micro_batch()
            loss = weighted_loss(model(ids), model.norm, model.embedding, target, weight) / MICROS
            loss.backward()
            total = total + loss.detach()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        muon.step(scale)
        adam.step()
        model.zero_grad(set_to_none=True)
        at["step"] += 1
        at["tokens"] += MICROS * MICRO_TOKENS
        if at["step"] == first_step + 1:  # compilation is not training time
            torch.cuda.synchronize()
            start = time.time()
        at["elapsed"] = elapsed_before + time.time() - start

        if at["step"] % EVALUATE_EVERY == 0:
            print(f"{at['elapsed']:6.0f} s step {at['step']} loss {total.item():.4f}, {at['tokens'] / at['elapsed'] / 1e6:.2f} Mtok/s")
            evaluate(max(stage_of(at["step"])[1]))
        if time.time() - last_save > args.save_every:
            last_save = time.time()
            save()

    for length in LENGTHS if at["step"] == args.steps else []:
        evaluate(length)
    save()
    print(f"saved at step {at['step']}, {at['elapsed']:.0f} s, {at['tokens'] / 1e9:.2f}G tokens", flush=True)


if __name__ == "__main__":
    main()
