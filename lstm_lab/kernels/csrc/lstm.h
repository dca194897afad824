// Pointwise part of the LSTM and its variants, forward and backward.
#pragma once
#include "layer.h"

namespace {

// h_t, c_t and what the backward pass needs, for rows [r, r + n) and the vector of units at u.
template <class T, bool PLAIN>
void lstm_forward(const LayerCall &j, const T *z, int stride, i64 u, i64 r, int n, const Destinations<T> &to, i64 row, i64 Hp) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  const i64 flags = PLAIN ? 0 : j.flags, H = j.H;
  const Columns at = PLAIN ? Columns{0, 1, 2, 3, 4} : columns(flags);
  const int m = lanes_at(H, u, N);
  V p_i = V{}, p_f = V{}, p_o = V{};
  if (flags & PEEPHOLE) {
    const T *p = (const T *)j.extra + u;
    p_i = load_n(p, m), p_f = load_n(p + H, m), p_o = load_n(p + 2 * H, m);
  }
  const T *cells = (const T *)j.cells + row * Hp + u;
  T *tanhs = (T *)j.tanhs + row * Hp + u, *gates = (T *)j.gates + row * j.gates_stride + u;
  for (int q = 0; q < n; q++, z += stride) {
    const V before = load(cells + q * Hp), one = V{} + T(1);
    V i = one, f = one, o = one, g = load(z + at.g * N);
    if (at.i >= 0) i = sigmoid(PLAIN ? load(z + at.i * N) : load(z + at.i * N) + p_i * before);
    if (at.f >= 0) f = sigmoid(PLAIN ? load(z + at.f * N) : load(z + at.f * N) + p_f * before);
    if (flags & CIFG) f = one - i;
    if (!(flags & NIAF)) g = tanh_(g);
    const V c = f * before + i * g;
    if (at.o >= 0) o = sigmoid(PLAIN ? load(z + at.o * N) : load(z + at.o * N) + p_o * c);
    const V s = flags & NOAF ? c : tanh_(c), h = o * s;
    store_n(to.h[r + q] + u, h, m);
    store_n(to.c[r + q] + u, c, m);
    store_n(to.out[r + q] + u, h, m);
    if (j.training) {
      T *save = gates + q * j.gates_stride;
      if (at.i >= 0) store_n(save + at.i * H, i, m);
      if (at.f >= 0) store_n(save + at.f * H, f, m);
      store_n(save + at.g * H, g, m);
      if (at.o >= 0) store_n(save + at.o * H, o, m);
      store(tanhs + q * Hp, s);
    }
  }
}

// Writes the gate gradients over the gates, from the gradient of h_t through step t+1 (z), of the output and of c_t.
template <class T, bool PLAIN>
void lstm_backward(const LayerCall &j, const T *z, int stride, i64 u, i64 r, int n, T **dout, const T *dh_end, T *dc_carry,
                   T *const *after, i64 row, i64 Hp, T *d_extra) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  const i64 flags = PLAIN ? 0 : j.flags, H = j.H;
  const Columns at = PLAIN ? Columns{0, 1, 2, 3, 4} : columns(flags);
  const int m = lanes_at(H, u, N);
  V p_i = V{}, p_f = V{}, p_o = V{}, dp_i = V{}, dp_f = V{}, dp_o = V{};
  if (flags & PEEPHOLE) {
    const T *p = (const T *)j.extra + u;
    p_i = load_n(p, m), p_f = load_n(p + H, m), p_o = load_n(p + 2 * H, m);
    dp_i = load(d_extra + u), dp_f = load(d_extra + Hp + u), dp_o = load(d_extra + 2 * Hp + u);
  }
  const T *cells = (const T *)j.cells + row * Hp + u, *tanhs = (const T *)j.tanhs + row * Hp + u;
  T *gates = (T *)j.gates + row * j.gates_stride + u;
  for (int q = 0; q < n; q++, z += stride) {
    T *save = gates + q * j.gates_stride;
    const V one = V{} + T(1), before = load(cells + q * Hp), s = load(tanhs + q * Hp);
    V i = one, f = one, o = one;
    const V g = load_n(save + at.g * H, m);
    if (at.i >= 0) i = load_n(save + at.i * H, m);
    if (at.f >= 0) f = load_n(save + at.f * H, m);
    if (flags & CIFG) f = one - i;
    if (at.o >= 0) o = load_n(save + at.o * H, m);
    V dh = load(z);
    if (dout) dh += load_n(dout[r + q] + u, m);
    if (dh_end) dh += load(dh_end + (r + q) * Hp + u);
    V dc = load(dc_carry + (r + q) * Hp + u);
    dc += flags & NOAF ? dh * o : (dh * o) * (one - s * s);
    if (at.o >= 0) {
      const V d = (dh * s) * (o * (one - o));
      store_n(save + at.o * H, d, m);
      if (flags & PEEPHOLE) dc += p_o * d, dp_o += d * load_n(after[r + q] + u, m);
    }
    V back = dc * f;
    if (at.i >= 0) {
      const V d = dc * (flags & CIFG ? g - before : g) * (i * (one - i));
      store_n(save + at.i * H, d, m);
      if (flags & PEEPHOLE) back += p_i * d, dp_i += d * before;
    }
    if (at.f >= 0) {
      const V d = (dc * before) * (f * (one - f));
      store_n(save + at.f * H, d, m);
      if (flags & PEEPHOLE) back += p_f * d, dp_f += d * before;
    }
    store_n(save + at.g * H, flags & NIAF ? dc * i : (dc * i) * (one - g * g), m);
    store(dc_carry + (r + q) * Hp + u, back);
  }
  if (flags & PEEPHOLE) store(d_extra + u, dp_i), store(d_extra + Hp + u, dp_f), store(d_extra + 2 * Hp + u, dp_o);
}

}  // namespace
