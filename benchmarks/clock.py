"""The clock: the same for everybody, on torch's own hooks."""

import json
import os
import resource
import sys
import time
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook


class Clock:
    """Counts optimizer steps, takes the CPU time of them, prints the record and ends the process.

    It starts with the first training forward, or after `warmup` steps, and stops after `steps`: what a framework does
    before and after (imports, a model summary, a last checkpoint) is not counted, what it does in between is.

    Args:
        record: What is known beforehand and printed, too.
        steps: Optimizer steps.
        warmup: Steps that are not counted.
        losses: How many losses of `nn.CrossEntropyLoss` to print as well.
        whole: Whether the process goes on after its steps, until `stop`.
    """

    def __init__(
        self, record: dict[str, Any], steps: int, warmup: int = 0, losses: int = 0, whole: bool = False
    ) -> None:
        self.record = record
        self.steps = steps
        self.warmup = warmup
        self.done = 0
        self.whole = whole
        self.losses: list[float] = []
        register_optimizer_step_post_hook(self._after_step)
        self._forward = register_module_forward_pre_hook(self._before_forward)
        if losses:
            register_module_forward_hook(self._keep_loss)

    def _before_forward(self, module: nn.Module, inputs: Any) -> None:
        if module.training and torch.is_grad_enabled():
            self._forward.remove()  # a global hook costs every module time
            self._start()

    def _keep_loss(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(module, nn.CrossEntropyLoss) and torch.is_grad_enabled():
            self.losses.append(output.item())

    def _after_step(self, *_: Any) -> None:
        self.done += 1
        if self.done == 1:
            self.record["startup_cpu_seconds"] = cpu_seconds()
        if self.done == self.warmup:
            self._start()
        if self.done == self.steps and not self.whole:
            self.stop()

    def _start(self) -> None:
        synchronize()
        self.wall, self.cpu = time.perf_counter(), cpu_seconds()

    def stop(self) -> None:
        """Print the record and end the process."""
        synchronize()
        self.record |= {
            "cpu_seconds": cpu_seconds() - self.cpu,
            "whole_cpu_seconds": cpu_seconds(),
            "wall_seconds": time.perf_counter() - self.wall,
            "steps": self.steps - self.warmup,
            "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            // (2**20 if sys.platform == "darwin" else 2**10),
        }
        if self.losses:
            self.record["losses"] = self.losses
        if torch.cuda.is_available():
            self.record["gpu_memory_mb"] = torch.cuda.max_memory_allocated() // 2**20
        sys.stdout.flush()
        os.write(1, f"\n{json.dumps(self.record)}\n".encode())
        os._exit(0)


def cpu_seconds() -> float:
    """Return the CPU time of this process, all its threads, and its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def synchronize() -> None:
    """Wait for what the GPU has been told to do, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
