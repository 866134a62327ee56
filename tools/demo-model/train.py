"""Trains the demo model: corpus, tokenizer, Llama-shaped network, on one NVIDIA GPU.

    python3 train.py --out DIR [--tales 1500000] [--steps 18000]

Writes DIR/config.json (shape), DIR/tokenizer.model (SentencePiece) and
DIR/weights.npz (F16 matrices, F32 norms, by their GGUF names); export.py makes
the GGUF file of them. Needs
torch, numpy and sentencepiece. Every draw is seeded.

The network is Llama's: RMSNorm before attention and before SwiGLU, rotary
positions on adjacent pairs (2i, 2i+1), which is the order that GGUF's "llama"
stores, grouped-query attention, and one matrix for embedding and output.
"""

import argparse
import itertools
import json
import math
import multiprocessing
import os
import random
import time

import numpy as np
import sentencepiece
import torch
import torch.nn.functional as F
from torch import nn

import corpus

SEED = 1
N_VOCAB, N_CTX = 2048, 512
UNK, BOS, EOS = 0, 1, 2
N_EMBD, N_LAYER, N_HEAD, N_HEAD_KV, N_FF = 256, 5, 4, 2, 768
ROPE_BASE, RMS_EPS = 10000.0, 1e-5
BATCH = 256  # windows of N_CTX tokens a step
LEARNING_RATE, WARMUP, WEIGHT_DECAY = 3e-3, 300, 0.1
CHUNK = 1000  # tales a worker makes at a time
ELSEWHERE = 1 / 8  # windows that begin in the middle of a tale, as prompts and perplexity's chunks do
JOINED = 1 / 8  # share of tales that follow the one before after a blank line, as in the held-out file


# --- tokens ---

def train_tokenizer(path, tales):
    lines = (line for tale in corpus.generate(SEED, 0, tales, os.cpu_count()) for line in tale.split("\n"))
    ascii_once = "".join(map(chr, range(33, 127)))  # so that every printable character is a token
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=itertools.chain([ascii_once], lines), model_prefix=path.removesuffix(".model"), model_type="bpe", vocab_size=N_VOCAB,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=True,
        character_coverage=1.0, unk_id=UNK, bos_id=BOS, eos_id=EOS, pad_id=-1,
        num_threads=os.cpu_count(), minloglevel=1)


def documents(first, count):
    """Tales from number `first` on, some of them joined by blank lines."""
    rng, joined = random.Random(first), []
    for number in range(first, first + count):
        if joined and rng.random() >= JOINED:
            yield "\n\n".join(joined)
            joined = []
        joined.append(corpus.tale(SEED, number))
    yield "\n\n".join(joined)


def encode(job):
    """One worker's share: (tokens, offsets of the documents in them)."""
    path, first, count = job
    processor = sentencepiece.SentencePieceProcessor(model_file=path)
    tokens, starts = [], []
    for text in documents(first, count):
        starts.append(len(tokens))
        tokens += [BOS, *processor.encode(text), EOS]
    return np.array(tokens, np.int16), np.array(starts, np.int64)


def token_stream(path, first, count):
    """All documents one after the other, int16, and where each begins; ELSEWHERE of the places are somewhere inside."""
    jobs = [(path, n, min(CHUNK, first + count - n)) for n in range(first, first + count, CHUNK)]
    with multiprocessing.Pool() as pool:
        parts = pool.map(encode, jobs, chunksize=1)
    tokens = np.concatenate([t for t, _ in parts])
    bases = np.cumsum([0] + [len(t) for t, _ in parts[:-1]])
    starts = np.concatenate([s + b for (_, s), b in zip(parts, bases)])
    inside = np.random.default_rng(SEED).integers(len(tokens), size=int(len(starts) * ELSEWHERE))
    starts = np.concatenate([starts, inside])
    return tokens, starts[starts <= len(tokens) - N_CTX - 1]


# --- network ---

class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(N_EMBD))

    def forward(self, x):
        y = x.float()
        return (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + RMS_EPS) * self.weight).to(x.dtype)


def rotate(x, cos, sin):
    """x [batch, head, token, head_dim]: turns each pair (2i, 2i+1)."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).to(x.dtype)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        head = N_EMBD // N_HEAD
        self.attn_norm, self.ffn_norm = Norm(), Norm()
        self.attn_q = nn.Linear(N_EMBD, N_HEAD * head, bias=False)
        self.attn_k = nn.Linear(N_EMBD, N_HEAD_KV * head, bias=False)
        self.attn_v = nn.Linear(N_EMBD, N_HEAD_KV * head, bias=False)
        self.attn_output = nn.Linear(N_HEAD * head, N_EMBD, bias=False)
        self.ffn_gate = nn.Linear(N_EMBD, N_FF, bias=False)
        self.ffn_up = nn.Linear(N_EMBD, N_FF, bias=False)
        self.ffn_down = nn.Linear(N_FF, N_EMBD, bias=False)

    def forward(self, x, cos, sin):
        n, t, _ = x.shape
        h = self.attn_norm(x)
        q = rotate(self.attn_q(h).view(n, t, N_HEAD, -1).transpose(1, 2), cos, sin)
        k = rotate(self.attn_k(h).view(n, t, N_HEAD_KV, -1).transpose(1, 2), cos, sin)
        v = self.attn_v(h).view(n, t, N_HEAD_KV, -1).transpose(1, 2)
        k, v = (y.repeat_interleave(N_HEAD // N_HEAD_KV, 1) for y in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn_output(y.transpose(1, 2).reshape(n, t, -1))
        h = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Llama(nn.Module):
    def __init__(self):
        super().__init__()
        self.token_embd = nn.Embedding(N_VOCAB, N_EMBD)
        self.blk = nn.ModuleList(Block() for _ in range(N_LAYER))
        self.output_norm = Norm()
        head = N_EMBD // N_HEAD
        angle = torch.outer(torch.arange(N_CTX), ROPE_BASE ** (-torch.arange(0, head, 2) / head))
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                last = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * N_LAYER) if last else 0.02)

    def forward(self, ids):
        """ids [batch, token] -> logits [batch, token, N_VOCAB]"""
        t = ids.shape[1]
        x = self.token_embd(ids)
        for block in self.blk:
            x = block(x, self.cos[:t], self.sin[:t])
        return F.linear(self.output_norm(x), self.token_embd.weight)


# --- training ---

def windows(tokens, starts, device):
    """[len(starts), N_CTX] token ids and the ids that follow them; every window begins with BOS, wherever it is."""
    at = starts[:, None] + torch.arange(N_CTX + 1, device=device)
    ids = tokens[at].long()
    ids[:, 0] = BOS
    return ids[:, :-1], ids[:, 1:]


def learning_rate(step, steps):
    if step < WARMUP:
        return LEARNING_RATE * (step + 1) / WARMUP
    return LEARNING_RATE * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / max(1, steps - WARMUP))))


@torch.no_grad()
def mean_loss(model, tokens, starts, device):
    losses = []
    for part in starts.split(64):
        x, y = windows(tokens, part, device)
        losses.append(F.cross_entropy(model(x).float().flatten(0, 1), y.flatten()).item())
    return sum(losses) / len(losses)


@torch.no_grad()
def sample(model, processor, n, temperature, device):
    """n tales from nothing but BOS; temperature 0 takes the likeliest token."""
    ids = torch.full((n, 1), BOS, device=device)
    generator = torch.Generator(device).manual_seed(SEED)
    for _ in range(N_CTX - 1):
        logits = model(ids)[:, -1].float()
        if temperature == 0:
            token = logits.argmax(-1, keepdim=True)
        else:
            token = torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)
        ids = torch.cat((ids, token), 1)
    rows = ids[:, 1:].tolist()
    return [processor.decode(r[: r.index(EOS)] if EOS in r else r) for r in rows]


def save(model, path):
    weights = {name: p.detach().float().cpu().numpy() for name, p in model.named_parameters()}
    np.savez(path, **{name: w.astype(np.float16) if w.ndim == 2 else w for name, w in weights.items()})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--tales", type=int, default=1_500_000)
    parser.add_argument("--steps", type=int, default=18_000)
    a = parser.parse_args()
    began = time.time()

    def log(**items):
        print(json.dumps({"s": round(time.time() - began, 1), **items}), flush=True)

    with open(os.path.join(a.out, "config.json"), "w") as file:
        json.dump({"n_ctx": N_CTX, "n_embd": N_EMBD, "n_layer": N_LAYER, "n_head": N_HEAD, "n_head_kv": N_HEAD_KV, "n_ff": N_FF,
                   "rope_base": ROPE_BASE, "rms_eps": RMS_EPS}, file)
    tokenizer = os.path.join(a.out, "tokenizer.model")
    train_tokenizer(tokenizer, 20_000)
    processor = sentencepiece.SentencePieceProcessor(model_file=tokenizer)
    log(tokenizer=processor.vocab_size())
    train_tokens, train_starts = token_stream(tokenizer, 0, a.tales)
    held_tokens, held_starts = token_stream(tokenizer, corpus.HELD_OUT, 1000)
    log(train_tokens=len(train_tokens), documents=len(train_starts))

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(SEED)
    torch.set_float32_matmul_precision("high")
    model = Llama().to(device)
    log(parameters=sum(p.numel() for p in model.parameters()))
    matrices = [p for p in model.parameters() if p.dim() == 2]
    norms = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": norms, "weight_decay": 0.0}],
                                  betas=(0.9, 0.95), fused=device == "cuda")
    tokens, starts = (torch.from_numpy(x).to(device) for x in (train_tokens, train_starts))
    held, held_at = (torch.from_numpy(x).to(device) for x in (held_tokens, held_starts))

    def step_loss(x, y):
        with torch.autocast(device, torch.bfloat16):
            logits = model(x)
        return F.cross_entropy(logits.float().flatten(0, 1), y.flatten())

    if device == "cuda":
        step_loss = torch.compile(step_loss)
    order = torch.Generator(device).manual_seed(SEED)
    batch = BATCH if device == "cuda" else 4
    queue = torch.empty(0, dtype=torch.long, device=device)
    total = torch.zeros((), device=device)
    for step in range(a.steps):
        if len(queue) < batch:
            queue = torch.cat((queue, starts[torch.randperm(len(starts), generator=order, device=device)]))
        x, y = windows(tokens, queue[:batch], device)
        queue = queue[batch:]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, a.steps)
        loss = step_loss(x, y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        total += loss.detach()
        if (step + 1) % 500 == 0:
            log(step=step + 1, tokens=(step + 1) * batch * N_CTX, loss=round(total.item() / 500, 4))
            total.zero_()
        if (step + 1) % 2000 == 0 or step + 1 == a.steps:
            save(model, os.path.join(a.out, "weights.npz"))
            log(step=step + 1, held_out_loss=round(mean_loss(model, held, held_at, device), 4))
    for temperature, n in ((0, 1), (0.8, 8)):
        for text in sample(model, processor, n, temperature, device):
            print(f"--- temperature {temperature}\n{text}", flush=True)


if __name__ == "__main__":
    main()
