// Pointwise part of the GRU and of the Elman network, forward and backward.
#pragma once
#include "layer.h"

namespace {

// Gates are stored in the order U_n h, r, z, n: U's gradient needs the first three, W's the last three.
template <class T>
void gru_forward(const LayerCall &j, const T *z_h, const T *z_x, i64 u, i64 r, int n, const Destinations<T> &to, i64 row) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  const i64 H = j.H;
  const int m = lanes_at(H, u, N);
  const T *h_before = (const T *)j.rows + row * j.rows_stride + u;
  T *gates = (T *)j.gates + row * j.gates_stride + u;
  for (int q = 0; q < n; q++, z_h += 3 * N, z_x += 3 * N) {
    const V v = load(z_h);
    const V rr = sigmoid(load(z_h + N) + load(z_x)), z = sigmoid(load(z_h + 2 * N) + load(z_x + N));
    const V nn = tanh_(load(z_x + 2 * N) + rr * v), h = nn + z * (load_n(h_before + q * j.rows_stride, m) - nn);
    store_n(to.h[r + q] + u, h, m);
    store_n(to.out[r + q] + u, h, m);
    if (j.training) {
      T *save = gates + q * j.gates_stride;
      store_n(save, v, m), store_n(save + H, rr, m), store_n(save + 2 * H, z, m), store_n(save + 3 * H, nn, m);
    }
  }
}
template <class T>
void gru_backward(const LayerCall &j, const T *z_, int stride, i64 u, i64 r, int n, T **dout, T *dh_carry, i64 row, i64 Hp) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  const i64 H = j.H;
  const int m = lanes_at(H, u, N);
  const T *h_before = (const T *)j.rows + row * j.rows_stride + u;
  T *gates = (T *)j.gates + row * j.gates_stride + u;
  for (int q = 0; q < n; q++, z_ += stride) {
    T *save = gates + q * j.gates_stride;
    const V one = V{} + T(1);
    const V v = load_n(save, m), rr = load_n(save + H, m), z = load_n(save + 2 * H, m), nn = load_n(save + 3 * H, m);
    V dh = load(z_) + load(dh_carry + (r + q) * Hp + u);
    if (dout) dh += load_n(dout[r + q] + u, m);
    const V dn = (dh * (one - z)) * (one - nn * nn);
    store_n(save, dn * rr, m);
    store_n(save + H, (dn * v) * (rr * (one - rr)), m);
    store_n(save + 2 * H, (dh * (load_n(h_before + q * j.rows_stride, m) - nn)) * (z * (one - z)), m);
    store_n(save + 3 * H, dn, m);
    store(dh_carry + (r + q) * Hp + u, dh * z);
  }
}

template <class T>
void rnn_forward(const LayerCall &j, const T *z, int stride, i64 u, i64 r, int n, const Destinations<T> &to, i64 row) {
  typedef typename Lanes<T>::V V;
  const int m = lanes_at(j.H, u, Lanes<T>::N);
  T *gates = (T *)j.gates + row * j.gates_stride + u;
  for (int q = 0; q < n; q++, z += stride) {
    V a = load(z), zero = V{};
    const V h = j.flags & RELU ? (a < zero ? zero : a) : tanh_(a);
    store_n(to.h[r + q] + u, h, m);
    store_n(to.out[r + q] + u, h, m);
    if (j.training) store_n(gates + q * j.gates_stride, h, m);
  }
}
template <class T>
void rnn_backward(const LayerCall &j, const T *z, int stride, i64 u, i64 r, int n, T **dout, const T *dh_end, i64 row, i64 Hp) {
  typedef typename Lanes<T>::V V;
  const int m = lanes_at(j.H, u, Lanes<T>::N);
  T *gates = (T *)j.gates + row * j.gates_stride + u;
  for (int q = 0; q < n; q++, z += stride) {
    T *save = gates + q * j.gates_stride;
    const V h = load_n(save, m), zero = V{};
    V dh = load(z);
    if (dout) dh += load_n(dout[r + q] + u, m);
    if (dh_end) dh += load(dh_end + (r + q) * Hp + u);
    store_n(save, j.flags & RELU ? (h > zero ? dh : zero) : dh * (T(1) - h * h), m);
  }
}

}  // namespace
