// Pointwise part of the LSTM and its variants, forward and backward.
#pragma once
#include "layer.h"

namespace {

// h_t, c_t and what the backward pass needs, for rows [r, r + n) and the vector of units at u.
template <class T, bool PLAIN, bool NOISY>
void lstm_forward(const LayerCall &j, const T *z, int stride, i64 u, i64 r, int n, const Destinations<T> &to, i64 row, i64 Hp,
                  const Step &step) {
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
  i64 h_stride;
  const T *h_before = state_before<T>(j, row, Hp, h_stride) + u;
  for (int q = 0; q < n; q++, z += stride) {
    const V before = load(cells + q * Hp), one = V{} + T(1);
    V i = one, f = one, o = one, g = load(z + at.g * N);
    if (at.i >= 0) i = sigmoid(PLAIN ? load(z + at.i * N) : load(z + at.i * N) + p_i * before);
    if (at.f >= 0) f = sigmoid(PLAIN ? load(z + at.f * N) : load(z + at.f * N) + p_f * before);
    if (flags & CIFG) f = one - i;
    if (!(flags & NIAF)) g = tanh_(g);
    V c = f * before + i * (NOISY ? g * values<T>(j.noise->update, step.ids[r + q], step.t, u) : g);
    if (at.o >= 0) o = sigmoid(PLAIN ? load(z + at.o * N) : load(z + at.o * N) + p_o * c);
    const V s = flags & NOAF ? c : tanh_(c);
    V h = o * s;
    if (NOISY) {
      const V old_c = values<T>(j.noise->zoneout_c, step.ids[r + q], step.t, u);
      const V old_h = values<T>(j.noise->zoneout_h, step.ids[r + q], step.t, u);
      c = old_c * before + (one - old_c) * c;
      h = old_h * load_n(h_before + q * h_stride, m) + (one - old_h) * h;
    }
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
// With noise dh_carry is also what h_t gives h_{t+1} without a product.
template <class T, bool PLAIN, bool NOISY>
void lstm_backward(const LayerCall &j, const T *z, int stride, i64 u, i64 r, int n, T **dout, const T *dh_end, T *dh_carry,
                   T *dc_carry, T *const *after, i64 row, i64 Hp, T *d_extra, const Step &step) {
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
    V dc = load(dc_carry + (r + q) * Hp + u), update = one, candidate = g, c_direct = V{};
    if (NOISY) {
      const i64 b = step.ids[r + q];
      const V old_h = values<T>(j.noise->zoneout_h, b, step.t, u), old_c = values<T>(j.noise->zoneout_c, b, step.t, u);
      dh += load(dh_carry + (r + q) * Hp + u);
      store(dh_carry + (r + q) * Hp + u, old_h * dh);
      dh = (one - old_h) * dh;
      c_direct = old_c * dc, dc = (one - old_c) * dc;
      update = values<T>(j.noise->update, b, step.t, u), candidate = g * update;
    } else if (dh_end) dh += load(dh_end + (r + q) * Hp + u);
    dc += flags & NOAF ? dh * o : (dh * o) * (one - s * s);
    if (at.o >= 0) {
      const V d = (dh * s) * (o * (one - o));
      store_n(save + at.o * H, d, m);
      if (flags & PEEPHOLE) dc += p_o * d, dp_o += d * (NOISY ? f * before + i * candidate : load_n(after[r + q] + u, m));
    }
    V back = NOISY ? dc * f + c_direct : dc * f;
    if (at.i >= 0) {
      const V d = dc * (flags & CIFG ? candidate - before : candidate) * (i * (one - i));
      store_n(save + at.i * H, d, m);
      if (flags & PEEPHOLE) back += p_i * d, dp_i += d * before;
    }
    if (at.f >= 0) {
      const V d = (dc * before) * (f * (one - f));
      store_n(save + at.f * H, d, m);
      if (flags & PEEPHOLE) back += p_f * d, dp_f += d * before;
    }
    const V d_candidate = NOISY ? (dc * i) * update : dc * i;
    store_n(save + at.g * H, flags & NIAF ? d_candidate : d_candidate * (one - g * g), m);
    store(dc_carry + (r + q) * Hp + u, back);
  }
  if (flags & PEEPHOLE) store(d_extra + u, dp_i), store(d_extra + Hp + u, dp_f), store(d_extra + 2 * Hp + u, dp_o);
}

}  // namespace
