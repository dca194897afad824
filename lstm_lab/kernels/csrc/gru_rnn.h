// Pointwise part of the GRU and of the Elman network, forward and backward.
#pragma once
#include "layer.h"

namespace {

// Gates are stored in the order U_n h, r, z, n: U's gradient needs the first three, W's the last three.
template <class T, bool NOISY>
void gru_forward(const LayerCall &j, const T *z_h, const T *z_x, i64 u, i64 r, int n, const Destinations<T> &to, i64 row, i64 Hp,
                 const Step &step) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  const i64 H = j.H;
  const int m = lanes_at(H, u, N);
  i64 h_stride;
  const T *h_before = state_before<T>(j, row, Hp, h_stride) + u;
  T *gates = (T *)j.gates + row * j.gates_stride + u;
  for (int q = 0; q < n; q++, z_h += 3 * N, z_x += 3 * N) {
    const V v = load(z_h);
    const V rr = sigmoid(load(z_h + N) + load(z_x)), z = sigmoid(load(z_h + 2 * N) + load(z_x + N));
    const V nn = tanh_(load(z_x + 2 * N) + rr * v), before = load_n(h_before + q * h_stride, m);
    V h;
    if (NOISY) {
      const i64 b = step.ids[r + q];
      const V one = V{} + T(1), old = values<T>(j.noise->zoneout_h, b, step.t, u);
      const V update = nn * values<T>(j.noise->update, b, step.t, u);
      h = old * before + (one - old) * (update + z * (before - update));
    } else h = nn + z * (before - nn);
    store_n(to.h[r + q] + u, h, m);
    store_n(to.out[r + q] + u, h, m);
    if (j.training) {
      T *save = gates + q * j.gates_stride;
      store_n(save, v, m), store_n(save + H, rr, m), store_n(save + 2 * H, z, m), store_n(save + 3 * H, nn, m);
    }
  }
}
template <class T, bool NOISY>
void gru_backward(const LayerCall &j, const T *z_, int stride, i64 u, i64 r, int n, T **dout, T *dh_carry, i64 row, i64 Hp,
                  const Step &step) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  const i64 H = j.H;
  const int m = lanes_at(H, u, N);
  i64 h_stride;
  const T *h_before = state_before<T>(j, row, Hp, h_stride) + u;
  T *gates = (T *)j.gates + row * j.gates_stride + u;
  for (int q = 0; q < n; q++, z_ += stride) {
    T *save = gates + q * j.gates_stride;
    const V one = V{} + T(1);
    const V v = load_n(save, m), rr = load_n(save + H, m), z = load_n(save + 2 * H, m), nn = load_n(save + 3 * H, m);
    V dh = load(z_) + load(dh_carry + (r + q) * Hp + u);
    if (dout) dh += load_n(dout[r + q] + u, m);
    V update = one, candidate = nn, direct = V{};
    if (NOISY) {
      const i64 b = step.ids[r + q];
      const V old = values<T>(j.noise->zoneout_h, b, step.t, u);
      direct = old * dh, dh = (one - old) * dh;
      update = values<T>(j.noise->update, b, step.t, u), candidate = nn * update;
    }
    const V d_candidate = NOISY ? (dh * (one - z)) * update : dh * (one - z), dn = d_candidate * (one - nn * nn);
    store_n(save, dn * rr, m);
    store_n(save + H, (dn * v) * (rr * (one - rr)), m);
    store_n(save + 2 * H, (dh * (load_n(h_before + q * h_stride, m) - candidate)) * (z * (one - z)), m);
    store_n(save + 3 * H, dn, m);
    store(dh_carry + (r + q) * Hp + u, NOISY ? dh * z + direct : dh * z);
  }
}

template <class T, bool NOISY>
void rnn_forward(const LayerCall &j, const T *z, int stride, i64 u, i64 r, int n, const Destinations<T> &to, i64 row, i64 Hp,
                 const Step &step) {
  typedef typename Lanes<T>::V V;
  const int m = lanes_at(j.H, u, Lanes<T>::N);
  T *gates = (T *)j.gates + row * j.gates_stride + u;
  i64 h_stride;
  const T *h_before = state_before<T>(j, row, Hp, h_stride) + u;
  for (int q = 0; q < n; q++, z += stride) {
    V a = load(z), zero = V{};
    V h = j.flags & RELU ? (a < zero ? zero : a) : tanh_(a);
    if (j.training) store_n(gates + q * j.gates_stride, h, m);
    if (NOISY) {
      const V old = values<T>(j.noise->zoneout_h, step.ids[r + q], step.t, u);
      h = old * load_n(h_before + q * h_stride, m) + (T(1) - old) * h;
    }
    store_n(to.h[r + q] + u, h, m);
    store_n(to.out[r + q] + u, h, m);
  }
}
template <class T, bool NOISY>
void rnn_backward(const LayerCall &j, const T *z, int stride, i64 u, i64 r, int n, T **dout, const T *dh_end, T *dh_carry, i64 row,
                  i64 Hp, const Step &step) {
  typedef typename Lanes<T>::V V;
  const int m = lanes_at(j.H, u, Lanes<T>::N);
  T *gates = (T *)j.gates + row * j.gates_stride + u;
  for (int q = 0; q < n; q++, z += stride) {
    T *save = gates + q * j.gates_stride;
    const V h = load_n(save, m), zero = V{};
    V dh = load(z);
    if (dout) dh += load_n(dout[r + q] + u, m);
    if (NOISY) {
      const V old = values<T>(j.noise->zoneout_h, step.ids[r + q], step.t, u);
      dh += load(dh_carry + (r + q) * Hp + u);
      store(dh_carry + (r + q) * Hp + u, old * dh);
      dh = (T(1) - old) * dh;
    } else if (dh_end) dh += load(dh_end + (r + q) * Hp + u);
    store_n(save, j.flags & RELU ? (h > zero ? dh : zero) : dh * (T(1) - h * h), m);
  }
}

}  // namespace
