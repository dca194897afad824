"""The step of a torch optimizer without what torch does around it, which takes longer than a small model does."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lstm_lab.kernels.optimizer_step import AdamOptions, AdamState, AdamStep
from lstm_lab.records.files import Row


def quick_step(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """A function that does what `optimizer.step()` does, to the last bit; for torch's fused Adam and AdamW quickly.

    It reads and changes the optimizer's own state and groups, so that either can be called in any order, and the state
    is stored and restored as always. Hooks of the optimizer are not called.
    """
    if type(optimizer) not in (torch.optim.Adam, torch.optim.AdamW) or not optimizer.defaults.get("fused"):
        return optimizer.step
    if any(group["amsgrad"] or group["maximize"] or group["differentiable"] for group in optimizer.param_groups):
        return optimizer.step
    return _AdamStep(optimizer)


def fused_adam(gradients: list[Tensor], state: AdamState, options: AdamOptions) -> None:
    """A step by the operators that torch's optimizer calls."""
    torch._foreach_add_(state.steps, 1)
    operator = torch._fused_adamw_ if options.decoupled else torch._fused_adam_
    operator(
        state.parameters, gradients, state.means, state.squares, [], state.steps,
        lr=options.lr, beta1=options.beta1, beta2=options.beta2, weight_decay=options.weight_decay, eps=options.eps,
        amsgrad=False, maximize=False, grad_scale=None, found_inf=None,
    )  # fmt: skip


class _AdamStep:
    """The engine's step, or the operators that torch's optimizer calls; where a gradient is missing, the optimizer."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        self.steps: list[AdamStep] = []
        """Of each group, over the optimizer's own state."""

    def __call__(self) -> None:
        groups = self.optimizer.param_groups
        gradients = [[p.grad for p in group["params"]] for group in groups]
        known = self._is_current() and all(gradient is not None for group in gradients for gradient in group)
        try:
            _ = torch._fused_adam_, torch._fused_adamw_
        except AttributeError:  # They are torch's own.
            known = False
        if not known:
            self.optimizer.step()
            self._find_state()
            return
        with torch.no_grad():
            for group, grads, step in zip(groups, gradients, self.steps, strict=True):
                beta1, beta2 = group["betas"]
                options = AdamOptions(
                    group["lr"], beta1, beta2, group["weight_decay"], group["eps"], group["decoupled_weight_decay"]
                )
                step(grads, options)

    def _find_state(self) -> None:
        """Torch makes the state of a parameter in its first step."""
        state = self.optimizer.state
        if any(not state[p] for group in self.optimizer.param_groups for p in group["params"]):
            return

        def parts(group: Row, name: str) -> list[Tensor]:
            return [state[p][name] for p in group["params"]]

        self.steps = [
            AdamStep(
                AdamState(group["params"], parts(group, "exp_avg"), parts(group, "exp_avg_sq"), parts(group, "step")),
                fused_adam,
            )
            for group in self.optimizer.param_groups
        ]

    def _is_current(self) -> bool:
        """Whether the state is the optimizer's, which may have loaded another one."""
        if not self.steps:
            return False
        first = self.optimizer.param_groups[0]["params"][0]
        return self.optimizer.state[first].get("exp_avg") is self.steps[0].state.means[0]
