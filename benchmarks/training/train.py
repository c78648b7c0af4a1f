"""Train the bundled model; a killed run goes on from its last checkpoint when started again.

python -m benchmarks.training.train --tokens TOKENS --out RUN --seconds 1150
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.training import checkpoint
from benchmarks.training.corpus import DOMAINS, Batches, Tokens, load_tokens
from benchmarks.training.model import Model, Shape
from benchmarks.training.optimizer import Optimizer, Rates

BALANCE, Z = 0.003, 1e-4  # weights of the two router losses, per layer
PROBE = 50  # steps after which a budget of seconds becomes a number of steps


@dataclass
class Settings:
    """What a run is made of; a resumed run may change `stop`, `steps` and the mixture.

    `start` names a checkpoint whose weights, and nothing else, begin the run.
    """

    tokens: Path
    out: Path
    steps: int | None = None
    seconds: float = 0.0
    rows: int = 64
    length: int = 1024
    mixture: dict[str, float] = field(default_factory=lambda: {"books": 0.78, "code": 0.17, "math": 0.05})
    rates: Rates = field(default_factory=Rates)
    shape: Shape = field(default_factory=Shape)
    warmup: int = 150
    decay_from: float = 0.3
    seed: int = 0
    separator: int = 0
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    fast: bool = False
    log_every: int = 100
    evaluate_every: int = 1000
    save_every: int = 2000
    stop: int | None = None
    start: Path | None = None


def schedule(step: int, total: int | None, settings: Settings) -> float:
    """Return the rate factor: linear warm-up, constant, then linear to zero from `decay_from` of the run."""
    warm = min(1.0, (step + 1) / settings.warmup)
    if total is None:
        return warm
    start = settings.decay_from * total
    return min(warm, max(0.0, (total - step) / (total - start)))


class Step:
    """One training step on a static batch: forward, backward and update; optionally one CUDA graph."""

    def __init__(self, model: Model, optimizer: Optimizer, settings: Settings) -> None:
        self.model, self.optimizer = model, optimizer
        self.batch = torch.zeros(settings.rows, settings.length + 1, dtype=torch.long, device=settings.device)
        self.run: Callable[[], Tensor] = self._eager
        self.fast = settings.fast

    def _eager(self) -> Tensor:
        for parameter in self.model.parameters():
            parameter.grad = None
        loss, balance, z = self.model.losses(self.batch)
        (loss + BALANCE * balance + Z * z).backward()
        norm = self.optimizer.step()
        return torch.stack((loss.detach(), balance.detach(), z.detach(), norm))

    def capture(self) -> None:
        """Warm up without changing parameters or state, and record the step as a graph."""
        state = self.optimizer.state()
        kept = {
            name: [t.clone() for t in v] if isinstance(v, list) else v.clone() for name, v in state.items()
        }
        self.optimizer.factor.zero_()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._eager()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        for parameter in self.model.parameters():
            parameter.grad = None
        with torch.cuda.graph(graph):
            result = self._eager()
        self.optimizer.restore(kept)

        def replay() -> Tensor:
            graph.replay()
            return result

        self.run = replay

    def __call__(self, windows: Tokens, factor: float) -> Tensor:
        """Train on [rows, length + 1]; returns (loss, balance, z, gradient norm), overwritten by the next."""
        host = torch.from_numpy(windows.astype("int64"))
        self.batch.copy_(host.pin_memory() if self.fast else host, non_blocking=True)
        self.optimizer.factor.fill_(factor)
        return self.run()


@torch.no_grad()
def bits_per_byte(
    model: Model, tokens: dict[str, Tokens], bytes_per_token: dict[str, float], rows: int, length: int
) -> str:
    """Return bits per byte of each domain's first `rows` windows: a progress figure, not the bar's."""
    device = model.embedding.device
    figures = []
    for domain in DOMAINS:
        count = min(rows, (len(tokens[domain]) - 1) // length)
        text = torch.from_numpy(tokens[domain][: count * length + 1].astype("int64"))
        windows = torch.stack([text[i * length : (i + 1) * length + 1] for i in range(count)])
        windows = windows.repeat(math.ceil(rows / count), 1)[:rows]  # one shape, hence one compilation
        loss = float(model.losses(windows.to(device))[0].detach())
        figures.append(f"{domain} {loss / bytes_per_token[domain] / math.log(2):.4f}")
    return " ".join(figures)


class Run:
    """A training run: its parts, its position and its clock."""

    def __init__(self, settings: Settings) -> None:
        s = self.settings = settings
        self.started = time.perf_counter()
        torch.manual_seed(s.seed)
        self.model = Model(s.shape, s.dtype).to(s.device)
        self.optimizer = Optimizer(self.model, s.rates)
        self.train_step = Step(self.model, self.optimizer, s)
        if s.fast:
            self.model.compile_regions()
            self.train_step.capture()
        self.batches = Batches(
            load_tokens(s.tokens, "train"), s.mixture, s.rows, s.length, s.separator, s.seed
        )
        self.validation = load_tokens(s.tokens, "val")
        sizes = json.loads((s.tokens / "sizes.json").read_text())
        self.bytes_per_token = {d: sizes[f"{d}.val"]["bytes"] / sizes[f"{d}.val"]["tokens"] for d in DOMAINS}
        self.step, self.total, self.before = 0, s.steps, 0.0
        self.path = s.out / "latest.pt"
        if self.path.exists():
            record = checkpoint.load(self.path, self.model, self.optimizer, self.batches)
            self.step, self.total, self.before = record["step"], s.steps or record["total"], record["seconds"]
        elif s.start:
            self.model.load_state_dict(torch.load(s.start, map_location="cpu")["model"])

    def save(self) -> None:
        """Write the checkpoint and log where the data stand."""
        seconds = self.before + time.perf_counter() - self.started
        checkpoint.save(self.path, self.model, self.optimizer, self.batches, self.step, self.total, seconds)
        print("saved", self.step, self.batches.state(), flush=True)

    def evaluate(self) -> None:
        """Print progress figures on validation text, and on training text to show the gap."""
        s = self.settings
        self.model.eval()
        for split, tokens in (("validation", self.validation), ("training", self.batches.source)):
            figures = bits_per_byte(self.model, tokens, self.bytes_per_token, s.rows, s.length)
            print(f"{split} {self.step} {figures}", flush=True)
        self.model.train()

    def log(self, stats: Tensor, since: tuple[int, float]) -> None:
        """Print the last step's losses and the rate since (step, time)."""
        s, now = self.settings, time.perf_counter()
        loss, balance, z, norm = stats.tolist()
        rate = (self.step - since[0]) * s.rows * s.length / (now - since[1])
        print(
            f"step {self.step}/{self.total} {now - self.started:.0f} s loss {loss:.4f} "
            f"balance {balance / s.shape.layers:.4f} z {z / s.shape.layers:.3f} norm {norm:.3f} "
            f"{rate:.0f} tokens/s",
            flush=True,
        )

    def train(self) -> None:
        """Train to the end of the schedule, or to `stop`."""
        s = self.settings
        mark = beginning = (self.step, time.perf_counter())
        while self.step < (self.total or PROBE):
            stats = self.train_step(self.batches.take(), schedule(self.step, self.total, s))
            self.step += 1
            if self.total is None and self.step == PROBE:
                stats.tolist()  # waits for the device
                now = time.perf_counter()
                left = s.seconds - (now - self.started)
                self.total = PROBE + max(0, int(left * PROBE / (now - beginning[1])))
            if self.step % s.log_every == 0 or self.step == self.total:
                self.log(stats, mark)
                mark = (self.step, time.perf_counter())
            if self.step % s.save_every == 0 or self.step in (self.total, s.stop):
                self.save()
            if self.step % s.evaluate_every == 0 or self.step == self.total:
                self.evaluate()
            if self.step == s.stop:
                return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, help="length of the schedule")
    parser.add_argument(
        "--seconds", type=float, default=0.0, help="without --steps: length, compilation included"
    )
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--length", type=int, default=1024, help="tokens of a window")
    parser.add_argument("--mixture", type=float, nargs=3, default=(0.78, 0.17, 0.05), metavar=DOMAINS)
    parser.add_argument("--muon", type=float, default=Rates.muon)
    parser.add_argument("--adam", type=float, default=Rates.adam)
    parser.add_argument("--muon-decay", type=float, default=Rates.muon_decay)
    parser.add_argument("--adam-decay", type=float, default=Rates.adam_decay)
    parser.add_argument("--dropout", type=float, default=Shape.dropout)
    parser.add_argument("--warmup", type=int, default=150)
    parser.add_argument("--decay-from", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="begin from these weights")
    parser.add_argument("--stop", type=int, help="leave at this step, as if killed")
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    cuda = torch.cuda.is_available()
    settings = Settings(
        a.tokens,
        a.out,
        steps=a.steps,
        seconds=a.seconds,
        rows=a.rows,
        length=a.length,
        mixture=dict(zip(DOMAINS, a.mixture, strict=True)),
        rates=Rates(muon=a.muon, adam=a.adam, muon_decay=a.muon_decay, adam_decay=a.adam_decay),
        shape=Shape(dropout=a.dropout),
        warmup=a.warmup,
        decay_from=a.decay_from,
        seed=a.seed,
        device="cuda" if cuda else "cpu",
        dtype=torch.bfloat16 if cuda else torch.float32,
        fast=cuda,
        start=a.start,
        stop=a.stop,
    )
    Run(settings).train()


if __name__ == "__main__":
    main()
