"""Triton kernels of the LSTM with layer normalisation, built as those in triton_lstm.py.

A mean over all columns divides a step into phases, with a barrier between them. For the backward pass `stats`
(4, T, B) holds mean and reciprocal standard deviation, of U h and then of c; `a` (T, B, 4 H) holds U h itself.
"""

from __future__ import annotations

import triton
import triton.language as tl

from lstm_lab.kernels.triton_lstm import dot, tanh, tile


@triton.jit
def reciprocal_std(a, row, mean, valid, K, BN: tl.constexpr):
    """Reciprocal standard deviation of K columns, (BM,), from their squares around the mean."""
    squares = tl.zeros_like(mean)
    for n0 in range(0, K, BN):
        n = n0 + tl.arange(0, BN)
        off = tile(a, row, n, valid, n < K) - mean[:, None]
        squares += tl.sum(tl.where((n < K)[None, :], off * off, 0), 1)
    return 1 / tl.sqrt(squares / K + 1e-5)


@triton.jit
def forward(
    z, U, gain_h, gain_c, shift_c, lengths, hs, cs, gates, a, stats, B, T, H: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """From z (T, B, 4 H), the normalised W x with all shifts, to hs, cs (T + 1, B, H); saves for the backward pass."""
    b = tl.program_id(0) * BM + tl.arange(0, BM)
    length = tl.load(lengths + b, mask=b < B, other=0)
    row = b.to(tl.int64)
    all_rows = tl.cast(T, tl.int64) * B
    for s in tl.range(0, tl.max(length, 0), num_stages=1):
        valid = s < length
        total = tl.zeros((BM,), tl.float32)
        for n0 in range(0, 4 * H, BN):
            n = n0 + tl.arange(0, BN)
            u = tl.zeros((BM, BN), tl.float32)
            for k0 in range(0, H, BN):
                k = k0 + tl.arange(0, BN)
                u = dot(u, tile(hs, row * H, k, valid, k < H), tile(U, n * H, k, n < 4 * H, k < H).T, PRECISION)
            tl.store(a + row[:, None] * (4 * H) + n[None, :], u, mask=valid[:, None] & (n < 4 * H)[None, :])
            total += tl.sum(u, 1)
        tl.debug_barrier()
        mean = total / (4 * H)
        scale = reciprocal_std(a, row * (4 * H), mean, valid, 4 * H, BN)
        total = tl.zeros((BM,), tl.float32)
        for n0 in range(0, H, BN):
            n = n0 + tl.arange(0, BN)
            inside = n < H
            mask = valid[:, None] & inside[None, :]
            at = row[:, None] * (4 * H) + n[None, :]
            state = row[:, None] * H + n[None, :]
            i = tl.sigmoid(_pre_activation(a, z, gain_h, at, n, mask, inside, mean, scale))
            f = tl.sigmoid(_pre_activation(a + H, z + H, gain_h + H, at, n, mask, inside, mean, scale))
            g = tanh(_pre_activation(a + 2 * H, z + 2 * H, gain_h + 2 * H, at, n, mask, inside, mean, scale))
            o = tl.sigmoid(_pre_activation(a + 3 * H, z + 3 * H, gain_h + 3 * H, at, n, mask, inside, mean, scale))
            c = f * tl.load(cs + state, mask=mask, other=0) + i * g
            tl.store(cs + state + B * H, c, mask=mask)
            tl.store(gates + at, i, mask=mask)
            tl.store(gates + at + H, f, mask=mask)
            tl.store(gates + at + 2 * H, g, mask=mask)
            tl.store(gates + at + 3 * H, o, mask=mask)
            total += tl.sum(tl.where(mask, c, 0), 1)
        tl.debug_barrier()
        mean_c = total / H
        scale_c = reciprocal_std(cs, (row + B) * H, mean_c, valid, H, BN)
        for n0 in range(0, H, BN):
            n = n0 + tl.arange(0, BN)
            inside = n < H
            mask = valid[:, None] & inside[None, :]
            c = tile(cs, (row + B) * H, n, valid, inside)
            o = tile(gates + 3 * H, row * (4 * H), n, valid, inside)
            gain = tl.load(gain_c + n, mask=inside, other=0)[None, :]
            shift = tl.load(shift_c + n, mask=inside, other=0)[None, :]
            h = o * tanh((c - mean_c[:, None]) * scale_c[:, None] * gain + shift)
            tl.store(hs + (row + B)[:, None] * H + n[None, :], h, mask=mask)
        tl.store(stats + row, mean, mask=valid)
        tl.store(stats + all_rows + row, scale, mask=valid)
        tl.store(stats + 2 * all_rows + row, mean_c, mask=valid)
        tl.store(stats + 3 * all_rows + row, scale_c, mask=valid)
        tl.debug_barrier()
        row += B


@triton.jit
def _pre_activation(a, z, gain_h, at, n, mask, inside, mean, scale):
    """Pre-activation of one gate."""
    gain = tl.load(gain_h + n, mask=inside, other=0)[None, :]
    hat = (tl.load(a + at, mask=mask, other=0) - mean[:, None]) * scale[:, None]
    return hat * gain + tl.load(z + at, mask=mask, other=0)


@triton.jit
def backward(
    dh, dc, U, gain_h, gain_c, shift_c, lengths, cs, gates, a, stats, dn, dz, du, B, T, H: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """From dh (T + 1, B, H), the gradients of the results, to those of z, of U h (du, zero before) and of the
    normalised c in its tanh (dn, (T, B, H)); dc (T + 1, B, H) as in triton_lstm.py."""
    b = tl.program_id(0) * BM + tl.arange(0, BM)
    length = tl.load(lengths + b, mask=b < B, other=0)
    steps = tl.max(length, 0)
    row = (steps.to(tl.int64) - 1) * B + b
    all_rows = tl.cast(T, tl.int64) * B
    for back in tl.range(0, steps, num_stages=1):
        s = steps - 1 - back
        valid = s < length
        mean = tl.load(stats + row, mask=valid, other=0)
        scale = tl.load(stats + all_rows + row, mask=valid, other=0)
        mean_c = tl.load(stats + 2 * all_rows + row, mask=valid, other=0)
        scale_c = tl.load(stats + 3 * all_rows + row, mask=valid, other=0)
        # Sums over columns: of a gradient, and of a gradient times the normalised value.
        sum_c, sum_c_hat = tl.zeros((BM,), tl.float32), tl.zeros((BM,), tl.float32)
        for n0 in range(0, H, BN):
            n = n0 + tl.arange(0, BN)
            inside = n < H
            mask = valid[:, None] & inside[None, :]
            d = tile(dh, (row + B) * H, n, valid, inside).to(tl.float32)
            for k0 in range(0, 4 * H, BN):
                k = k0 + tl.arange(0, BN)
                d_u = tile(du, (row + B) * (4 * H), k, s + 1 < length, k < 4 * H)  # of step t + 1
                d = dot(d, d_u, tile(U, k * H, n, k < 4 * H, inside), PRECISION)
            hat = (tile(cs, (row + B) * H, n, valid, inside) - mean_c[:, None]) * scale_c[:, None]
            gain = tl.load(gain_c + n, mask=inside, other=0)[None, :]
            y = tanh(hat * gain + tl.load(shift_c + n, mask=inside, other=0)[None, :])
            o = tile(gates + 3 * H, row * (4 * H), n, valid, inside).to(tl.float32)
            d_n = d * o * (1 - y * y)
            tl.store(dz + row[:, None] * (4 * H) + 3 * H + n[None, :], d * y * o * (1 - o), mask=mask)
            tl.store(dn + row[:, None] * H + n[None, :], d_n, mask=mask)
            sum_c += tl.sum(d_n * gain, 1)
            sum_c_hat += tl.sum(d_n * gain * hat, 1)
        tl.debug_barrier()
        sum_u, sum_u_hat = tl.zeros((BM,), tl.float32), tl.zeros((BM,), tl.float32)  # the same for U h
        for n0 in range(0, H, BN):
            n = n0 + tl.arange(0, BN)
            inside = n < H
            mask = valid[:, None] & inside[None, :]
            at = row[:, None] * (4 * H) + n[None, :]
            state = row[:, None] * H + n[None, :]
            hat = (tile(cs, (row + B) * H, n, valid, inside) - mean_c[:, None]) * scale_c[:, None]
            d_hat = tl.load(dn + state, mask=mask, other=0) * tl.load(gain_c + n, mask=inside, other=0)[None, :]
            e = (d_hat - sum_c[:, None] / H - hat * sum_c_hat[:, None] / H) * scale_c[:, None]
            e += tl.load(dc + state + B * H, mask=mask, other=0)  # of c_t, (BM, BN)
            i = tl.load(gates + at, mask=mask, other=0).to(tl.float32)
            f = tl.load(gates + at + H, mask=mask, other=0).to(tl.float32)
            g = tl.load(gates + at + 2 * H, mask=mask, other=0).to(tl.float32)
            d_i = e * g * i * (1 - i)
            d_f = e * tl.load(cs + state, mask=mask, other=0) * f * (1 - f)
            d_g = e * i * (1 - g * g)
            d_o = tl.load(dz + at + 3 * H, mask=mask, other=0)
            tl.store(dz + at, d_i, mask=mask)
            tl.store(dz + at + H, d_f, mask=mask)
            tl.store(dz + at + 2 * H, d_g, mask=mask)
            tl.store(dc + state, e * f, mask=mask)
            for at_gate in tl.static_range(4):
                d_z = d_i if at_gate == 0 else d_f if at_gate == 1 else d_g if at_gate == 2 else d_o
                d_z = d_z * tl.load(gain_h + at_gate * H + n, mask=inside, other=0)[None, :]
                hat = (tl.load(a + at + at_gate * H, mask=mask, other=0) - mean[:, None]) * scale[:, None]
                sum_u += tl.sum(d_z, 1)
                sum_u_hat += tl.sum(tl.where(mask, d_z * hat, 0), 1)
        tl.debug_barrier()
        for n0 in range(0, 4 * H, BN):
            n = n0 + tl.arange(0, BN)
            inside = n < 4 * H
            d_hat = tile(dz, row * (4 * H), n, valid, inside) * tl.load(gain_h + n, mask=inside, other=0)[None, :]
            hat = (tile(a, row * (4 * H), n, valid, inside) - mean[:, None]) * scale[:, None]
            d_u = (d_hat - sum_u[:, None] / (4 * H) - hat * sum_u_hat[:, None] / (4 * H)) * scale[:, None]
            tl.store(du + row[:, None] * (4 * H) + n[None, :], d_u, mask=valid[:, None] & inside[None, :])
        tl.debug_barrier()
        row -= B
