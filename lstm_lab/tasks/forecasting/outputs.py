"""The form of a forecast: one number for each value, quantiles, or a distribution.

Shapes throughout: z (B, horizon, K, P) from the head, y (B, horizon, K), both standardised, and a `Scale` of the data.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor

from lstm_lab.config.registry import Named, Registered
from lstm_lab.tasks.forecasting.scale import Scale
from lstm_lab.tasks.number_losses import NumberLoss, SquaredError

LEVELS = (0.05, 0.1, 0.5, 0.9, 0.95)
"""Quantiles that are computed of every distribution: the median and the ends of the 90 and the 80 % interval."""


class ForecastOutput(Registered, kind="output"):
    """`num_parameters` numbers of the head for each value, P, and what they mean."""

    num_parameters: int = 1
    is_point: ClassVar[bool] = False
    """Whether it is one number, without quantiles around it."""

    @abstractmethod
    def loss(self, z: Tensor, y: Tensor, scale: Scale) -> Tensor:
        """What training minimises, for each value: (B, horizon, K)."""

    @abstractmethod
    def quantiles(self, z: Tensor, levels: tuple[float, ...], scale: Scale) -> Tensor:
        """(B, horizon, K, levels), standardised and in order."""

    @abstractmethod
    def crps(self, z: Tensor, y: Tensor, scale: Scale) -> Tensor:
        """Continuous ranked probability score (Gneiting & Raftery, 2007), standardised; of one number, its error."""

    def point(self, z: Tensor, scale: Scale) -> Tensor:
        """The point forecast that errors are computed of: the median, (B, horizon, K)."""
        return self.quantiles(z, (0.5,), scale)[..., 0]

    def shift(self, z: Tensor, by: Tensor) -> Tensor:
        """The same forecast `by` (B, horizon, K) higher: of a distribution the first number is its location."""
        return torch.cat([z[..., :1] + by.unsqueeze(-1), z[..., 1:]], -1)

    def mean(self, samples: Tensor) -> Tensor:
        """One forecast for several, (S, B, horizon, K, P): the mean of each number, as of quantiles (Vincent 1912)."""
        return samples.mean(0)


class Point(ForecastOutput, name="point"):
    """One number, trained by `error`, which `task.loss` names."""

    is_point = True
    error: NumberLoss = SquaredError()

    def loss(self, z: Tensor, y: Tensor, scale: Scale) -> Tensor:
        return self.error(z[..., 0], y)

    def quantiles(self, z: Tensor, levels: tuple[float, ...], scale: Scale) -> Tensor:
        return z[..., :1].expand(*z.shape[:-1], len(levels))

    def crps(self, z: Tensor, y: Tensor, scale: Scale) -> Tensor:
        return (z[..., 0] - y).abs()


class Quantile(ForecastOutput, name="quantile"):
    """Quantiles by the pinball loss, the sum over levels q of max(q (y - z_q), (q - 1) (y - z_q)) (Koenker & Bassett,
    1978).

    Sorted by size, should they cross. The CRPS is twice the mean pinball loss, which it equals for many levels.
    """

    class Config(Named):
        levels: Annotated[tuple[float, ...], Field(strict=False)] = (
            0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95,
        )  # fmt: skip
        """Levels between 0 and 1, in order and symmetric; 0.05, 0.1, 0.5, 0.9 and 0.95 among them."""

        @field_validator("levels")
        @classmethod
        def _levels_are_symmetric(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
            mirrored = all(math.isclose(low + high, 1.0) for low, high in zip(levels, levels[::-1], strict=True))
            if not mirrored or list(levels) != sorted(set(levels)) or not set(LEVELS) <= set(levels):
                raise ValueError(
                    f"levels {list(levels)} must increase, be symmetric (q and 1 - q), and contain {list(LEVELS)}"
                )
            if not levels[0] > 0:
                raise ValueError(f"levels {list(levels)} must be between 0 and 1")
            return levels

    def __init__(self, levels: tuple[float, ...]) -> None:
        self.levels, self.num_parameters = levels, len(levels)

    def loss(self, z: Tensor, y: Tensor, scale: Scale) -> Tensor:
        return self._pinball(z, y).sum(-1)

    def _pinball(self, z: Tensor, y: Tensor) -> Tensor:
        q, error = z.new_tensor(self.levels), y.unsqueeze(-1) - z
        return torch.maximum(q * error, (q - 1) * error)

    def quantiles(self, z: Tensor, levels: tuple[float, ...], scale: Scale) -> Tensor:
        return z.sort(-1).values[..., [self.levels.index(level) for level in levels]]

    def crps(self, z: Tensor, y: Tensor, scale: Scale) -> Tensor:
        return 2 * self._pinball(z.sort(-1).values, y).mean(-1)

    def shift(self, z: Tensor, by: Tensor) -> Tensor:
        return z + by.unsqueeze(-1)


def _positive(z: Tensor) -> Tensor:
    """Softplus, with a minimum that keeps the likelihood finite."""
    return F.softplus(z) + 1e-4


class Normal(ForecastOutput, name="normal"):
    """N(mu, sigma^2), mu = z_0, sigma = softplus(z_1), by its negative log-likelihood."""

    num_parameters = 2

    def loss(self, z: Tensor, y: Tensor, scale: Scale) -> Tensor:
        sigma = _positive(z[..., 1])
        nll: Tensor = 0.5 * ((y - z[..., 0]) / sigma).square() + sigma.log() + 0.5 * math.log(2 * math.pi)
        return nll

    def quantiles(self, z: Tensor, levels: tuple[float, ...], scale: Scale) -> Tensor:
        quantiles: Tensor = z[..., :1] + _positive(z[..., 1:]) * torch.special.ndtri(z.new_tensor(levels))
        return quantiles

    def crps(self, z: Tensor, y: Tensor, scale: Scale) -> Tensor:
        """sigma (u (2 Phi(u) - 1) + 2 phi(u) - 1 / sqrt(pi)), u = (y - mu) / sigma (Gneiting et al., 2005)."""
        sigma = _positive(z[..., 1])
        u = (y - z[..., 0]) / sigma
        phi = (-0.5 * u.square()).exp() / math.sqrt(2 * math.pi)
        score: Tensor = sigma * (u * (2 * torch.special.ndtr(u) - 1) + 2 * phi - 1 / math.sqrt(math.pi))
        return score

    def mean(self, samples: Tensor) -> Tensor:
        """N of the mean and variance of the mixture: mu = E mu, sigma^2 = E sigma^2 + Var mu."""
        mu, sigma = samples[..., 0].double(), _positive(samples[..., 1].double())
        total = (sigma.square().mean(0) + mu.var(0, correction=0)).sqrt()
        z = torch.log(torch.expm1((total - 1e-4).clamp(max=30.0))) + (total - 1e-4 - 30.0).clamp(min=0.0)
        return torch.stack((mu.mean(0), z), -1).to(samples.dtype)


class StudentT(ForecastOutput, name="student_t"):
    """t, location z_0, scale softplus(z_1), 2 + softplus(z_2) degrees of freedom, by its negative log-likelihood."""

    num_parameters = 3

    def _distribution(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return z[..., 0], _positive(z[..., 1]), 2 + _positive(z[..., 2])

    def loss(self, z: Tensor, y: Tensor, scale: Scale) -> Tensor:
        mu, sigma, nu = self._distribution(z)
        log_prob: Tensor = torch.distributions.StudentT(nu, mu, sigma, validate_args=False).log_prob(y)
        return -log_prob

    def quantiles(self, z: Tensor, levels: tuple[float, ...], scale: Scale) -> Tensor:
        from scipy.special import stdtrit

        mu, sigma, nu = self._distribution(z)
        t = stdtrit(nu.detach().cpu().double().unsqueeze(-1).numpy(), torch.tensor(levels, dtype=torch.float64).numpy())
        return mu.unsqueeze(-1) + sigma.unsqueeze(-1) * torch.as_tensor(t).to(z)

    def crps(self, z: Tensor, y: Tensor, scale: Scale) -> Tensor:
        """Jordan, Krueger & Lerch (2019), appendix A; no gradient."""
        from scipy.special import betaln, stdtr

        mu, sigma, nu = self._distribution(z.detach().double())
        u = (y.double() - mu) / sigma
        half = torch.as_tensor(0.5).double()
        log_f = torch.lgamma((nu + 1) / 2) - torch.lgamma(nu / 2) - half * torch.log(nu * math.pi)
        f = (log_f - (nu + 1) / 2 * torch.log1p(u.square() / nu)).exp()
        n = nu.cpu().numpy()
        below = torch.as_tensor(stdtr(n, u.cpu().numpy())).to(u)
        apart = torch.as_tensor(betaln(0.5, n - 0.5) - 2 * betaln(0.5, n / 2)).to(u).exp()
        score = u * (2 * below - 1) + 2 * f * (nu + u.square()) / (nu - 1) - 2 * nu.sqrt() / (nu - 1) * apart
        return (sigma * score).to(z.dtype)


class NegativeBinomial(ForecastOutput, name="negative_binomial"):
    """Counts, in the units of the data, of mean mu and variance mu + alpha mu^2, by their negative log-likelihood.

    mu = s softplus(z_0 + m / s), m and s the mean and standard deviation of the data, alpha = softplus(z_1) (Salinas et
    al., 2020).
    CRPS and quantiles are those of 200 samples drawn with a fixed seed.
    """

    num_parameters = 2
    num_draws = 200

    def _distribution(self, z: Tensor, scale: Scale) -> tuple[Tensor, Tensor]:
        mean, std = (part.to(z) for part in scale)
        return std * _positive(z[..., 0] + mean / std), _positive(z[..., 1])

    def loss(self, z: Tensor, y: Tensor, scale: Scale) -> Tensor:
        mu, alpha = self._distribution(z, scale)
        k = (y * scale.std.to(z) + scale.mean.to(z)).clamp(min=0.0).round()
        r = 1 / alpha
        fixed = torch.lgamma(k + 1) - torch.lgamma(k + r) + torch.lgamma(r)
        return fixed + r * torch.log1p(alpha * mu) - k * (torch.log(alpha * mu) - torch.log1p(alpha * mu))

    def _samples(self, z: Tensor, scale: Scale) -> Tensor:
        """(num_draws, B, horizon, K), standardised."""
        mu, alpha = self._distribution(z.detach(), scale)
        generator = torch.Generator(z.device).manual_seed(0)
        shape = (1 / alpha).expand(self.num_draws, *alpha.shape).contiguous()
        rate = torch._standard_gamma(shape, generator=generator) * alpha * mu
        return (torch.poisson(rate, generator=generator) - scale.mean.to(z)) / scale.std.to(z)

    def quantiles(self, z: Tensor, levels: tuple[float, ...], scale: Scale) -> Tensor:
        return torch.quantile(self._samples(z, scale), z.new_tensor(levels), 0, interpolation="lower").movedim(0, -1)

    def crps(self, z: Tensor, y: Tensor, scale: Scale) -> Tensor:
        """E|X - y| - E|X - X'| / 2; the second from the sorted samples."""
        drawn, n = self._samples(z, scale).sort(0).values, self.num_draws
        weight = (2 * torch.arange(1, n + 1, device=z.device) - n - 1).to(z).view(-1, *[1] * y.dim())
        return (drawn - y).abs().mean(0) - (weight * drawn).sum(0) / (n * (n - 1))


def build_output(output: Named, error: NumberLoss) -> ForecastOutput:
    """The output of a config; `error` is what a point forecast minimises."""
    built: ForecastOutput = output.build()
    if isinstance(built, Point):
        built.error = error
    return built
