"""The step of a torch optimizer without what torch does around it, which takes longer than a small model does."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

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


class _AdamStep:
    """Calls the operators that torch's optimizer calls; where there are none, or a gradient is missing, itself."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        self.state: list[tuple[list[Tensor], list[Tensor], list[Tensor]]] = []
        """Of each group: both running means and the number of steps, of each parameter."""

    def __call__(self) -> None:
        groups = self.optimizer.param_groups
        gradients = [[p.grad for p in group["params"]] for group in groups]
        known = self._is_current() and all(gradient is not None for group in gradients for gradient in group)
        try:
            operators = torch._fused_adam_, torch._fused_adamw_
        except AttributeError:
            known = False
        if not known:
            self.optimizer.step()
            self._find_state()
            return
        with torch.no_grad():
            for group, grads, (means, squares, steps) in zip(groups, gradients, self.state, strict=True):
                torch._foreach_add_(steps, 1)
                beta1, beta2 = group["betas"]
                operators[group["decoupled_weight_decay"]](
                    group["params"], grads, means, squares, [], steps,
                    lr=group["lr"], beta1=beta1, beta2=beta2, weight_decay=group["weight_decay"], eps=group["eps"],
                    amsgrad=False, maximize=False, grad_scale=None, found_inf=None,
                )  # fmt: skip

    def _find_state(self) -> None:
        """Torch makes the state of a parameter in its first step."""
        state = self.optimizer.state
        if any(not state[p] for group in self.optimizer.param_groups for p in group["params"]):
            return

        def parts(group: Row, name: str) -> list[Tensor]:
            return [state[p][name] for p in group["params"]]

        self.state = [
            (parts(group, "exp_avg"), parts(group, "exp_avg_sq"), parts(group, "step"))
            for group in self.optimizer.param_groups
        ]

    def _is_current(self) -> bool:
        """Whether the state is the optimizer's, which may have loaded another one."""
        if not self.state:
            return False
        first = self.optimizer.param_groups[0]["params"][0]
        return self.optimizer.state[first].get("exp_avg") is self.state[0][0][0]
