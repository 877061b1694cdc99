#!/usr/bin/python3
"""The model beside a GPT of as many parameters on PyTorch: the same data, the same cores, in turn.

    apt-get install python3-torch libopenblas0-pthread
    cmake --preset release && cmake --build build/release --target model_bench text_study
    tests/bench/against_torch.py --text input.txt [--json] [--quick]

The GPT is a decoder-only Transformer with all that helps it on Debian's PyTorch 1.13: rotary
positions, one product for queries, keys and values, queries in blocks so that the masked half of
long windows is mostly not computed, fused LayerNorm and AdamW over lists, the best of four
learning rates, a cosine over its own time budget; to generate, a cache of keys and values and a
scripted step without Python in it. Ours are the programs model_bench and text_study.

Three comparisons:
  train     tokens a second of whole training steps of 2048 tokens, at windows of 256 and 1024
  generate  tokens a second, one stream, at 256, 1024 and 4096 tokens of context. Ours keeps a state
            of constant size: model_bench generates on and on, and its one figure holds for all
  loss      the GPT's best loss on the first 32 KiB of the text's last tenth within its budget (600 s), then how
            long ours takes to reach it. The GPT is scored in windows of 256 that overlap by half,
            on the second halves, so that it always sees at least 128 bytes; ours as one stream.
            Evaluations are timed on neither side, nor is the choice of learning rate and of how
            many tokens ours is given: these are tried in turn, from few to many

Every figure is the median over the turns; with one thread a second is one of the processor's, so
that other work on the machine disturbs little. This file starts itself as a child for each turn.
"""
import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
VOCABULARY = 264
STEP_TOKENS = 2048
QUERY_BLOCK = 128  # the best of 64, 128, 256 and none, at both lengths

# width, layers, heads; the MLP is as wide as makes the parameters equal to ours.
GPT_SHAPES = {"tiny": (128, 6, 4), "small": (256, 6, 4), "base": (448, 8, 7)}
PARAMETERS = {"tiny": 1_164_480, "small": 5_220_416, "base": 20_254_208}
SCORED_BYTES = 32768
LEARNING_RATES = (1.5e-3, 3e-3, 6e-3, 1.2e-2)
OUR_RATES = {"tiny": 5e-3, "small": 2.5e-3, "base": 1.2e-3}
OUR_TOKENS = (2.5e5, 5e5, 1e6, 1.2e6, 1.3e6, 1.4e6, 1.5e6, 2e6, 2.5e6, 4e6, 6e6)


def mlp_width(preset):
    width, layers, _ = GPT_SHAPES[preset]
    a_layer = (PARAMETERS[preset] - (VOCABULARY + 1) * width) / layers
    return round((a_layer - 4 * width * width - 2 * width) / (2 * width) / 8) * 8


def clock(threads):
    return time.process_time if threads == 1 else time.perf_counter


# ---- The GPT. PyTorch is imported by the children alone. ----
def make_gpt(preset, length):
    import torch
    from torch import nn
    import torch.nn.functional as F

    width, layers, heads = GPT_SHAPES[preset]
    hidden, size = mlp_width(preset), width // heads

    def rotation(count):
        angles = torch.outer(torch.arange(count, dtype=torch.float32),
                             10000.0 ** (-torch.arange(0, size, 2, dtype=torch.float32) / size))
        return torch.cat([angles.cos()] * 2, -1), torch.cat([-angles.sin(), angles.sin()], -1)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = (nn.LayerNorm(width) for _ in range(2))
            del self.norm1.bias, self.norm2.bias
            self.norm1.bias = self.norm2.bias = None
            self.qkv = nn.Linear(width, 3 * width, bias=False)
            self.out = nn.Linear(width, width, bias=False)
            self.up = nn.Linear(width, hidden, bias=False)
            self.down = nn.Linear(hidden, width, bias=False)
            for layer in (self.qkv, self.up):
                nn.init.normal_(layer.weight, std=width ** -0.5)
            for layer in (self.out, self.down):
                nn.init.normal_(layer.weight, std=(layer.in_features * 2 * layers) ** -0.5)

        def attention(self, x, cos, sin, mask):
            rows, count, _ = x.shape
            qkv = self.qkv(x).view(rows, count, 3, heads, size)
            qk, v = qkv[:, :, :2], qkv[:, :, 2].transpose(1, 2).reshape(rows * heads, count, size)
            swapped = torch.cat([qk[..., size // 2:], qk[..., :size // 2]], -1)
            qk = torch.addcmul(qk * cos, swapped, sin).permute(2, 0, 3, 1, 4)
            q, k = qk.reshape(2, rows * heads, count, size)
            parts = []
            for first in range(0, count, QUERY_BLOCK):
                end = min(first + QUERY_BLOCK, count)
                scores = torch.baddbmm(mask[first:end, :end], q[:, first:end],
                                       k[:, :end].transpose(1, 2), alpha=size ** -0.5)
                parts.append(torch.bmm(scores.softmax(-1), v[:, :end]))
            y = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
            return self.out(y.view(rows, heads, count, size).transpose(1, 2).reshape(x.shape))

        def forward(self, x, cos, sin, mask):
            x = x + self.attention(self.norm1(x), cos, sin, mask)
            return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))

    class Gpt(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(VOCABULARY, width)
            nn.init.normal_(self.embedding.weight, std=0.02)
            self.blocks = nn.ModuleList(Block() for _ in range(layers))
            self.norm = nn.LayerNorm(width)
            cos, sin = rotation(length)
            self.cos, self.sin = cos[:, None, None], sin[:, None, None]
            self.mask = torch.full((length, length), -math.inf).triu(1)

        def forward(self, symbols, targets, reduction="mean"):
            x = self.embedding(symbols)
            count = symbols.shape[1]
            for block in self.blocks:
                x = block(x, self.cos[:count], self.sin[:count], self.mask)
            logits = F.linear(self.norm(x), self.embedding.weight)
            return F.cross_entropy(logits.view(-1, VOCABULARY), targets.reshape(-1),
                                   reduction=reduction)

    return Gpt()


def make_optimizer(gpt, rate):
    import torch
    matrices = [p for p in gpt.parameters() if p.dim() > 1]
    vectors = [p for p in gpt.parameters() if p.dim() == 1]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05},
                              {"params": vectors, "weight_decay": 0.0}],
                             lr=rate, betas=(0.9, 0.98), foreach=True)


def train_step(gpt, optimizer, symbols, targets):
    import torch
    optimizer.zero_grad(set_to_none=True)
    loss = gpt(symbols, targets)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(gpt.parameters(), 1.0)
    optimizer.step()
    return loss


def work_train(order):
    """Tokens a second of training steps."""
    import torch
    torch.manual_seed(1)
    length = order["length"]
    gpt = make_gpt(order["preset"], length)
    optimizer = make_optimizer(gpt, 1e-3)
    symbols = torch.randint(97, 105, (max(1, STEP_TOKENS // length), length + 1))
    now = clock(order["threads"])
    train_step(gpt, optimizer, symbols[:, :-1], symbols[:, 1:])
    start, tokens = now(), 0
    while tokens == 0 or now() - start < order["seconds"]:
        train_step(gpt, optimizer, symbols[:, :-1], symbols[:, 1:])
        tokens += STEP_TOKENS
    return {"parameters": sum(p.numel() for p in gpt.parameters()),
            "tokens_per_second": tokens / (now() - start)}


def make_decoder(preset, room):
    """One token at a time, scripted: greedy, with caches of keys and values for `room` tokens."""
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn
    from typing import List

    width, layers, heads = GPT_SHAPES[preset]
    size = width // heads
    gpt = make_gpt(preset, 1)

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            def keep(tensors):
                return [t.detach().contiguous() for t in tensors]
            self.qkv: List[Tensor] = keep(b.qkv.weight for b in gpt.blocks)
            self.out: List[Tensor] = keep(b.out.weight for b in gpt.blocks)
            self.up: List[Tensor] = keep(b.up.weight for b in gpt.blocks)
            self.down: List[Tensor] = keep(b.down.weight for b in gpt.blocks)
            self.norm1: List[Tensor] = keep(b.norm1.weight for b in gpt.blocks)
            self.norm2: List[Tensor] = keep(b.norm2.weight for b in gpt.blocks)
            self.norm = gpt.norm.weight.detach()
            self.embedding = gpt.embedding.weight.detach()
            self.keys: List[Tensor] = [torch.randn(heads, room, size) for _ in range(layers)]
            self.values: List[Tensor] = [torch.randn(heads, room, size) for _ in range(layers)]
            angles = torch.outer(torch.arange(room, dtype=torch.float32),
                                 10000.0 ** (-torch.arange(0, size, 2).float() / size))
            self.cos = torch.cat([angles.cos()] * 2, -1)
            self.sin = torch.cat([-angles.sin(), angles.sin()], -1)
            self.width, self.heads, self.size = width, heads, size

        def forward(self, symbol: int, first: int, count: int) -> int:
            for at in range(first, first + count):
                x = self.embedding[symbol]
                cos, sin = self.cos[at], self.sin[at]
                for i in range(len(self.qkv)):
                    y = torch.layer_norm(x, [self.width], self.norm1[i])
                    qkv = torch.mv(self.qkv[i], y).view(3, self.heads, self.size)
                    qk = qkv[:2]
                    qk = torch.addcmul(qk * cos, qk.roll(self.size // 2, -1), sin)
                    self.keys[i][:, at] = qk[1]
                    self.values[i][:, at] = qkv[2]
                    scores = torch.bmm(self.keys[i][:, :at + 1], qk[0].unsqueeze(2))
                    weights = (scores * self.size ** -0.5).softmax(1)
                    y = torch.bmm(weights.transpose(1, 2), self.values[i][:, :at + 1]).view(-1)
                    x = x + torch.mv(self.out[i], y)
                    y = torch.mv(self.up[i], torch.layer_norm(x, [self.width], self.norm2[i]))
                    x = x + torch.mv(self.down[i], F.gelu(y, approximate="tanh"))
                x = torch.layer_norm(x, [self.width], self.norm)
                symbol = int(torch.mv(self.embedding, x).argmax())
            return symbol

    return torch.jit.script(Decoder())


def work_generate(order):
    """Tokens a second of a stream that has `context` tokens behind it."""
    import torch
    torch.manual_seed(1)
    burst, context = 32, order["context"]
    with torch.inference_mode():
        decoder = make_decoder(order["preset"], context + burst)
        for _ in range(3):  # the scripted form is optimised in its first calls
            decoder(97, context, burst)
        now = clock(order["threads"])
        start, tokens = now(), 0
        while tokens == 0 or now() - start < order["seconds"]:
            decoder(97, context, burst)
            tokens += burst
    return {"tokens_per_second": tokens / (now() - start)}


def bits_per_byte(gpt, held_out, length):
    """Windows that overlap by half; the first half counts in the first window alone."""
    import torch
    half, rows, nats, count = length // 2, 32, 0.0, 0
    starts = list(range(0, len(held_out) - length, half))
    with torch.no_grad():
        for at in range(0, len(starts), rows):
            block = torch.stack([held_out[s:s + length + 1] for s in starts[at:at + rows]])
            losses = gpt(block[:, :-1], block[:, 1:], reduction="none").view(-1, length)
            scored = losses[:, half:]
            nats, count = nats + scored.sum().item(), count + scored.numel()
            if at == 0:
                nats, count = nats + losses[0, :half].sum().item(), count + half
    return nats / count / math.log(2)


def work_loss(order):
    """Trains for `budget` seconds; the losses on the last tenth, and the best."""
    import torch
    torch.manual_seed(1)
    length, rows = 256, STEP_TOKENS // 256
    text = torch.tensor(list(pathlib.Path(order["text"]).read_bytes()))
    split = len(text) - len(text) // 10
    training, held_out = text[:split], text[split:split + SCORED_BYTES]
    gpt = make_gpt(order["preset"], length)
    optimizer = make_optimizer(gpt, order["rate"])
    now = clock(order["threads"])
    spent, steps, curve = 0.0, 0, []
    checks = [order["budget"] * (i + 1) / order["checks"] for i in range(order["checks"])]
    while checks:
        start = now()
        share = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1, spent / order["budget"])))
        for group in optimizer.param_groups:
            group["lr"] = order["rate"] * share * min(1, (steps + 1) / 40)
        starts = torch.randint(0, split - length - 1, (rows,)).tolist()
        block = torch.stack([training[s:s + length + 1] for s in starts])
        train_step(gpt, optimizer, block[:, :-1], block[:, 1:])
        spent, steps = spent + now() - start, steps + 1
        if spent >= checks[0]:
            checks = [check for check in checks if check > spent]
            curve.append({"seconds": spent, "tokens": steps * STEP_TOKENS,
                          "bits_per_byte": bits_per_byte(gpt, held_out, length)})
    return {"curve": curve, "best": min(point["bits_per_byte"] for point in curve)}


WORK = {"train": work_train, "generate": work_generate, "loss": work_loss}


def work(order):
    import torch
    torch.set_num_threads(order["threads"])
    torch.set_flush_denormal(True)  # Intel takes a hundred cycles for each of them
    result = WORK[order["work"]](order)
    # Which library multiplies decides much: the reference BLAS is an order slower.
    maps = pathlib.Path("/proc/self/maps").read_text() if os.path.exists("/proc/self/maps") else ""
    known = ("openblas", "libblis", "libmkl", "atlas", "libblas")
    result["blas"] = next((name for name in known if name in maps), "unknown")
    result["torch"] = torch.__version__
    print(json.dumps(result))


# ---- The comparison ----
class Bench:
    def __init__(self, options):
        self.options = options
        self.bin = pathlib.Path(options.bin)
        self.report = {"threads": options.threads, "turns": options.turns,
                       "train": [], "generate": [], "loss": []}

    def say(self, text):
        print(text, file=sys.stderr, flush=True)

    def torch(self, **order):
        threads = str(self.options.threads)
        environment = dict(os.environ, OMP_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads,
                           BLIS_NUM_THREADS=threads, MKL_NUM_THREADS=threads)
        order = json.dumps(dict(order, threads=self.options.threads))
        result = json.loads(run([sys.executable, __file__, "--work", order], environment))
        self.report["torch"], self.report["blas"] = result.pop("torch"), result.pop("blas")
        if self.report["blas"] == "libblas":
            sys.exit("PyTorch multiplies with the reference BLAS here, an order slower than it can be: "
                     "nothing to compare with. Install libopenblas0-pthread and start again")
        return result

    def ours(self, preset, length):
        words = [self.bin / "model_bench", "--preset", preset, "--length", length,
                 "--threads", self.options.threads, "--seconds", self.options.seconds, "--json"]
        if self.options.threads == 1:
            words.append("--cpu-time")
        result = json.loads(run(words))
        self.report["isa"] = result["isa"]
        return result

    def train(self):
        for preset in self.options.presets:
            for length in (256, 1024):
                theirs, ours, generated = [], [], []
                for _ in range(self.options.turns):
                    theirs.append(self.torch(work="train", preset=preset, length=length,
                                             seconds=self.options.seconds))
                    ours.append(self.ours(preset, length))
                row = {"preset": preset, "length": length,
                       "gpt_parameters": theirs[0]["parameters"],
                       "parameters": ours[0]["parameters"],
                       "gpt": median(theirs, "tokens_per_second"),
                       "ours": median(ours, "train_tokens_per_second")}
                self.report["train"].append(with_ratio(row))
                self.say(json.dumps(row))

    def generate(self):
        for preset in self.options.presets:
            theirs, ours = {256: [], 1024: [], 4096: []}, []
            for _ in range(self.options.turns):
                for context, results in theirs.items():
                    results.append(self.torch(work="generate", preset=preset, context=context,
                                              seconds=self.options.seconds))
                ours.append(self.ours(preset, 256))
            for context, results in theirs.items():
                row = {"preset": preset, "context": context,
                       "gpt": median(results, "tokens_per_second"),
                       "ours": median(ours, "generate_tokens_per_second")}
                self.report["generate"].append(with_ratio(row))
                self.say(json.dumps(row))

    def loss(self):
        if self.options.text is None:
            self.say("without --text FILE the time to equal loss is left out")
            return
        for preset in self.options.loss_presets:
            order = {"work": "loss", "preset": preset, "text": str(self.options.text)}
            tried = {rate: self.torch(**order, rate=rate, budget=self.options.budget / 20,
                                      checks=1)["best"] for rate in LEARNING_RATES}
            rate = min(tried, key=tried.get)
            self.say(f"{preset}: learning rates {tried}, taking {rate}")
            theirs = self.torch(**order, rate=rate, budget=self.options.budget, checks=6)
            best = min(theirs["curve"], key=lambda point: point["bits_per_byte"])
            self.say(f"{preset}: GPT {best}")
            ours = self.reach(preset, best["bits_per_byte"])
            self.report["loss"].append({
                "preset": preset, "gpt_rate": rate, "bits_per_byte": best["bits_per_byte"],
                "gpt_seconds": best["seconds"], "gpt_tokens": best["tokens"],
                "seconds": ours and ours["seconds"], "tokens": ours and ours["tokens"],
                "reached": ours and ours["warm"],
                "ratio": ours and best["seconds"] / ours["seconds"]})

    def reach(self, preset, target):
        """The first and shortest of our runs that comes to the target, or None."""
        seconds = "cpu_seconds" if self.options.threads == 1 else "wall_seconds"
        for tokens in OUR_TOKENS:
            words = [self.bin / "text_study", "--text", self.options.text,
                     "--shape", preset, "--tokens", tokens, "--threads", self.options.threads,
                     "--learning-rate", OUR_RATES[preset], "--evaluate-every", tokens / 5,
                     "--stop-below", target, "--score-bytes", SCORED_BYTES, "--quick-end"]
            lines = run(words).splitlines()
            last = json.loads(lines[-1])
            self.say(f"{preset}: ours {lines[-1]}")
            if last["warm"] <= target:
                return dict(last, seconds=last[seconds])
            if last[seconds] > self.options.budget:
                return None
        return None


def run(words, environment=None):
    done = subprocess.run([str(word) for word in words], env=environment, text=True,
                          stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit(f"against_torch.py: {words[0]} ended with {done.returncode}")
    return done.stdout


def median(results, key):
    return statistics.median(result[key] for result in results)


def with_ratio(row):
    row["ratio"] = row["ours"] / row["gpt"]
    return row


def table(report):
    seconds = "processor seconds" if report["threads"] == 1 else "seconds"
    lines = [f"{report['threads']} thread(s), {seconds}, medians of {report['turns']} turns; "
             f"PyTorch {report.get('torch')} with {report.get('blas')}, "
             f"ours with {report.get('isa')}", "",
             "| what | GPT on PyTorch | ours | ratio |", "|---|---|---|---|"]
    for row in report["train"]:
        lines.append(f"| training, {row['preset']}, T {row['length']}, tokens/s | "
                     f"{row['gpt']:,.0f} | {row['ours']:,.0f} | {row['ratio']:.1f} |")
    for row in report["generate"]:
        lines.append(f"| generation, {row['preset']}, context {row['context']}, tokens/s | "
                     f"{row['gpt']:,.0f} | {row['ours']:,.0f} | {row['ratio']:.1f} |")
    for row in report["loss"]:
        ours = ("not reached | -" if row["seconds"] is None else
                f"{row['seconds']:.0f} s ({row['tokens'] / 1e6:.2f} M tokens) | {row['ratio']:.1f}")
        lines.append(f"| time to {row['bits_per_byte']:.3f} bits per byte, {row['preset']} | "
                     f"{row['gpt_seconds']:.0f} s ({row['gpt_tokens'] / 1e6:.2f} M tokens) | "
                     f"{ours} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=pathlib.Path, help="what is learned for the loss")
    parser.add_argument("--bin", default=str(ROOT / "build/release/bin"), help="our programs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of each turn of each figure")
    parser.add_argument("--budget", type=float, default=600, help="seconds the GPT may learn")
    parser.add_argument("--presets", nargs="+", choices=GPT_SHAPES, default=list(GPT_SHAPES))
    parser.add_argument("--loss-presets", nargs="+", choices=GPT_SHAPES, default=["tiny"])
    parser.add_argument("--parts", nargs="+", choices=WORK, default=list(WORK))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true",
                        help="tiny alone, one turn, a minute for the GPT")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work(json.loads(options.work))
    if options.quick:
        options.presets, options.turns, options.seconds, options.budget = ["tiny"], 1, 1, 60
    bench = Bench(options)
    for part in options.parts:
        getattr(bench, part)()
    print(json.dumps(bench.report) if options.json else table(bench.report))


if __name__ == "__main__":
    main()
