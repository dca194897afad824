"""Gates, units, and how far the network remembers."""

from __future__ import annotations

from lstm_lab.diagnosis.base import Rule
from lstm_lab.diagnosis.charts import bars
from lstm_lab.diagnosis.evidence import Evidence
from lstm_lab.records.diagnosis import Chart, Finding, Series

SATURATED = 0.85
"""Share of a gate's values on either side from which on it has stopped learning."""
DEAD = 0.25
"""Share of dead units from which on a layer is said to have them."""
SHORT = 0.2
"""Share of a sequence below which a look-back counts as short."""
MIN_STEPS = 30
"""Steps of a sequence below which no network is accused of forgetting."""
OLDEST, TOO_MUCH = 0.1, 0.25
"""Where the oldest tenth of a window has this share of the attributions, what lies before it would count too."""


class SaturatedGates(Rule):
    """Nothing is learned, and a gate that is nearly always open or closed passes no gradient to its weights.

    In a network that learns it is none: a forget gate that is open remembers.
    """

    name, reads = "saturated gates", "network"

    def check(self, evidence: Evidence) -> Finding | None:
        gates = [(layer.name, gate) for layer in evidence.explanation.layers for gate in layer.gates]
        worst = max(gates, key=lambda pair: pair[1].closed + pair[1].open, default=None)
        if worst is None or worst[1].closed + worst[1].open < SATURATED or not nothing_learned(evidence):
            return None
        name, gate = worst
        return self.found(
            2,
            f"gate {gate.symbol} of {name} is below 0.1 in {100 * gate.closed:.0f} % and above 0.9 in "
            f"{100 * gate.open:.0f} % of all steps, and nothing is learned",
            f"optimizer.lr={evidence.lr / 3:.2g}",
            *(("model.init.recurrent=default",) if _init(evidence, "chrono") else ()),
            advice="where the inputs are not standardised, mend that first",
            chart=bars(
                "gate",
                "share of all values",
                [f"{layer} {each.symbol}" for layer, each in gates],
                closed=[each.closed for _, each in gates],
                open=[each.open for _, each in gates],
            ),
        )


class DeadUnits(Rule):
    """Units whose output never changes."""

    name, reads = "dead units", "network"

    def check(self, evidence: Evidence) -> Finding | None:
        worst = max(evidence.explanation.layers, key=lambda layer: len(layer.dead) / layer.units)
        if len(worst.dead) < DEAD * worst.units:
            return None
        return self.found(
            2 if nothing_learned(evidence) else 1,
            f"{len(worst.dead)} of {worst.units} units of {worst.name} have the same output in every step",
            f"optimizer.lr={evidence.lr / 10:.2g}",
            advice="relu cells die at a high rate; a gated cell (model.cell=gru) does not",
            chart=bars(
                "layer",
                "units",
                [layer.name for layer in evidence.explanation.layers],
                dead=[len(layer.dead) for layer in evidence.explanation.layers],
                all=[layer.units for layer in evidence.explanation.layers],
            ),
        )


class ForgetsTooSoon(Rule):
    """Nothing is learned, and the gradient vanishes long before the start of the sequences."""

    name, reads = "forgets too soon", "network"

    def check(self, evidence: Evidence) -> Finding | None:
        found = evidence.explanation
        top = found.layers[-1].gradient
        if found.median_length < MIN_STEPS or top.look_back is None or top.look_back > SHORT * found.median_length:
            return None
        if not nothing_learned(evidence):
            return None
        steps = int(found.median_length)
        model = evidence.section("model")
        cell = model.get("cell") or {}
        action = [f"model.init.chrono={steps}"] if isinstance(model.get("init"), dict) else []
        if not found.layers[-1].gates:
            action = ["model.cell=lstm", *action]
        elif cell.get("forget_bias", 1.0) != 1.0:
            action = ["model.cell.forget_bias=1.0", *action]
        return self.found(
            3,
            f"the gradient of the last output falls below 1 % after {top.look_back} steps back, the sequences have "
            f"{steps} in the median, and nothing is learned: no better than the weakest baseline or the first epoch",
            *action,
            cost="none",
            chart=Chart(
                x="steps back",
                y="relative gradient",
                series=[Series(name="median", x=[*top.lags], y=[value or None for value in top.median])],
                log_y=True,
            ),
        )


class ShortWindow(Rule):
    """The oldest steps of a window matter as much as the others: what lies before them would, too."""

    name, reads = "too short a window", "network"

    def check(self, evidence: Evidence) -> Finding | None:
        window = evidence.section("data").get("window")
        lags = evidence.explanation.lags
        if not isinstance(window, int) or len(lags) < 4:
            return None
        oldest = max(1, round(OLDEST * len(lags)))
        share = sum(lags[-oldest:])
        if share < max(TOO_MUCH, 2.0 * oldest / len(lags)):
            return None
        return self.found(
            1,
            f"the oldest {oldest} of {len(lags)} steps have {100 * share:.0f} % of the attributions",
            f"data.window={2 * window}",
            cost="about twice the time of a step",
            chart=Chart(x="steps back", y="share", series=[Series(name="attribution", x=[*range(len(lags))], y=lags)]),
        )


class UnusedInput(Rule):
    """A channel whose permutation costs nothing."""

    name, reads = "input that is never used", "network"

    def check(self, evidence: Evidence) -> Finding | None:
        found = evidence.explanation
        if len(found.channels) < 2 or not found.loss:
            return None
        even = 1 / len(found.channels)
        unused = [
            channel.name
            for channel in found.channels
            if channel.permuted is not None
            and channel.permuted < 1e-3 * abs(found.loss)
            and channel.attribution < 0.02 * even
        ]
        if not unused:
            return None
        named = ", ".join(unused[:5]) + (", ..." if len(unused) > 5 else "")
        return self.found(
            1,
            f"permuting {named} over the validation samples does not change the loss of {found.loss:.3g}",
            advice="leave it out of the data: fewer weights to learn",
            chart=bars(
                "channel",
                "increase of the loss when permuted",
                [channel.name for channel in found.channels],
                increase=[channel.permuted for channel in found.channels],
            ),
        )


def _init(evidence: Evidence, option: str) -> object:
    init = evidence.section("model").get("init")
    return init.get(option) if isinstance(init, dict) else None


def nothing_learned(evidence: Evidence) -> bool:
    """Whether the model is no better than its weakest baseline; without any, hardly better than its first epoch.

    A first epoch of many steps may have learned all there is: it says nothing where a baseline does.
    """
    if evidence.skills:
        return max(evidence.skills.values()) < 0.05
    losses = evidence.curve("val/loss")
    return len(losses) > 2 and min(losses) > 0.9 * losses[0]
