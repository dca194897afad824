"""Triton kernels of the LSTM over a whole sequence: one program computes all steps of a block of samples.

The layout is time first: row s B + b of `z`, `gates` and `dz` is step s of sample b, row (s + 1) B + b of `hs` and `cs`
its state after that step, the first B rows the initial states. A program computes all H columns of a step, tile by
tile, before the next one, so that a barrier between its own threads is the only synchronisation. Each element is
written once and read only after the following barrier. U is read through the caches at every step.

Importing this module requires triton: `gpu_layers.py` imports it at the first call.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def tile(a, row, column, inside_row, inside_column):
    """a[row, column], with rows given by their first element; zeros outside."""
    return tl.load(a + row[:, None] + column[None, :], mask=inside_row[:, None] & inside_column[None, :], other=0)


@triton.jit
def dot(acc, a, b, PRECISION: tl.constexpr):
    return tl.dot(a, b, acc, input_precision=PRECISION, out_dtype=acc.dtype)


@triton.jit
def forward(
    z, U, p, lengths, hs, cs, gates, B, H: tl.constexpr, G: tl.constexpr,
    AT_I: tl.constexpr, AT_F: tl.constexpr, AT_G: tl.constexpr, AT_O: tl.constexpr,
    COUPLED: tl.constexpr, IN_TANH: tl.constexpr, OUT_TANH: tl.constexpr, PEEP: tl.constexpr, SAVE: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """From z = W x + b (T, B, G H) to hs, cs (T + 1, B, H) and the gate activations.

    AT_I, AT_F, AT_G, AT_O: block of columns of i, f, g and o; -1 for a missing gate.
    """
    b = tl.program_id(0) * BM + tl.arange(0, BM)
    length = tl.load(lengths + b, mask=b < B, other=0)
    row = b.to(tl.int64)
    # No pipelining: a load of h_t-1 must not be moved ahead of the step that writes it.
    for s in tl.range(0, tl.max(length, 0), num_stages=1):
        valid = s < length
        for n0 in range(0, H, BN):
            n = n0 + tl.arange(0, BN)
            inside = n < H
            mask = valid[:, None] & inside[None, :]
            at = row[:, None] * (G * H) + n[None, :]
            state = row[:, None] * H + n[None, :]
            before = tl.load(cs + state, mask=mask, other=0)  # c_t-1, (BM, BN) as the following
            i = tl.full((BM, BN), 1, tl.float32)
            f, o = i, i
            if AT_I >= 0:
                i = tl.load(z + at + AT_I * H, mask=mask, other=0).to(tl.float32)
            if AT_F >= 0:
                f = tl.load(z + at + AT_F * H, mask=mask, other=0).to(tl.float32)
            g = tl.load(z + at + AT_G * H, mask=mask, other=0).to(tl.float32)
            if AT_O >= 0:
                o = tl.load(z + at + AT_O * H, mask=mask, other=0).to(tl.float32)
            for k0 in range(0, H, BN):
                k = k0 + tl.arange(0, BN)
                h = tile(hs, row * H, k, valid, k < H)  # (BM, BN), h_t-1
                if AT_I >= 0:
                    i = dot(i, h, tile(U + AT_I * H * H, n * H, k, inside, k < H).T, PRECISION)
                if AT_F >= 0:
                    f = dot(f, h, tile(U + AT_F * H * H, n * H, k, inside, k < H).T, PRECISION)
                g = dot(g, h, tile(U + AT_G * H * H, n * H, k, inside, k < H).T, PRECISION)
                if AT_O >= 0:
                    o = dot(o, h, tile(U + AT_O * H * H, n * H, k, inside, k < H).T, PRECISION)
            if AT_I >= 0:
                if PEEP:
                    i += tl.load(p + n, mask=inside, other=0)[None, :] * before
                i = tl.sigmoid(i)
            if AT_F >= 0:
                if PEEP:
                    f += tl.load(p + H + n, mask=inside, other=0)[None, :] * before
                f = tl.sigmoid(f)
            if COUPLED:
                f = 1 - i
            if IN_TANH:
                g = tanh(g)
            c = f * before + i * g
            if AT_O >= 0:
                if PEEP:
                    o += tl.load(p + 2 * H + n, mask=inside, other=0)[None, :] * c
                o = tl.sigmoid(o)
            h = o * c
            if OUT_TANH:
                h = o * tanh(c)
            tl.store(cs + state + B * H, c, mask=mask)
            tl.store(hs + state + B * H, h, mask=mask)
            if SAVE:
                if AT_I >= 0:
                    tl.store(gates + at + AT_I * H, i, mask=mask)
                if AT_F >= 0:
                    tl.store(gates + at + AT_F * H, f, mask=mask)
                tl.store(gates + at + AT_G * H, g, mask=mask)
                if AT_O >= 0:
                    tl.store(gates + at + AT_O * H, o, mask=mask)
        tl.debug_barrier()
        row += B


@triton.jit
def backward(
    dh, dc, U, p, lengths, cs, gates, dz, B, H: tl.constexpr, G: tl.constexpr,
    AT_I: tl.constexpr, AT_F: tl.constexpr, AT_G: tl.constexpr, AT_O: tl.constexpr,
    COUPLED: tl.constexpr, IN_TANH: tl.constexpr, OUT_TANH: tl.constexpr, PEEP: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """From dh (T + 1, B, H), the gradients of the results, to dz (T, B, G H), zero before, and dc (T + 1, B, H).

    dc contains the gradient of the final c at each sample's last state, and afterwards, in its first rows, that of c0.
    """
    b = tl.program_id(0) * BM + tl.arange(0, BM)
    length = tl.load(lengths + b, mask=b < B, other=0)
    steps = tl.max(length, 0)
    row = (steps.to(tl.int64) - 1) * B + b
    for back in tl.range(0, steps, num_stages=1):
        s = steps - 1 - back
        valid = s < length
        for n0 in range(0, H, BN):
            n = n0 + tl.arange(0, BN)
            inside = n < H
            mask = valid[:, None] & inside[None, :]
            at = row[:, None] * (G * H) + n[None, :]
            state = row[:, None] * H + n[None, :]
            d = tl.load(dh + state + B * H, mask=mask, other=0).to(tl.float32)  # of h_t, (BM, BN) as the following
            for k0 in range(0, G * H, BN):
                k = k0 + tl.arange(0, BN)
                d_z = tile(dz, (row + B) * (G * H), k, s + 1 < length, k < G * H)  # (BM, BN), of step t + 1
                d = dot(d, d_z, tile(U, k * H, n, k < G * H, inside), PRECISION)
            e = tl.load(dc + state + B * H, mask=mask, other=0)  # of c_t
            before = tl.load(cs + state, mask=mask, other=0)
            c = tl.load(cs + state + B * H, mask=mask, other=0)
            y, dy_dc = c, tl.full((BM, BN), 1, tl.float32)
            if OUT_TANH:
                y = tanh(c)
                dy_dc = 1 - y * y
            if AT_O >= 0:
                o = tl.load(gates + at + AT_O * H, mask=mask, other=0).to(tl.float32)
                d_o = d * y * o * (1 - o)
                tl.store(dz + at + AT_O * H, d_o, mask=mask)
                d = d * o
                if PEEP:
                    e += d_o * tl.load(p + 2 * H + n, mask=inside, other=0)[None, :]
            e += d * dy_dc
            g = tl.load(gates + at + AT_G * H, mask=mask, other=0).to(tl.float32)
            d_g = e
            d_before = e  # of c_t-1
            d_i = e * g
            if COUPLED:
                d_i = e * (g - before)
            if AT_I >= 0:
                i = tl.load(gates + at + AT_I * H, mask=mask, other=0).to(tl.float32)
                d_g = e * i
                d_i = d_i * i * (1 - i)
                tl.store(dz + at + AT_I * H, d_i, mask=mask)
                if COUPLED:
                    d_before = e * (1 - i)
            if AT_F >= 0:
                f = tl.load(gates + at + AT_F * H, mask=mask, other=0).to(tl.float32)
                d_f = e * before * f * (1 - f)
                d_before = e * f
                tl.store(dz + at + AT_F * H, d_f, mask=mask)
                if PEEP:
                    d_before += d_f * tl.load(p + H + n, mask=inside, other=0)[None, :]
            if PEEP and AT_I >= 0:
                d_before += d_i * tl.load(p + n, mask=inside, other=0)[None, :]
            if IN_TANH:
                d_g = d_g * (1 - g * g)
            tl.store(dz + at + AT_G * H, d_g, mask=mask)
            tl.store(dc + state, d_before, mask=mask)
        tl.debug_barrier()
        row -= B
