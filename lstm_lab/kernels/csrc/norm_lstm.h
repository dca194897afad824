// Pointwise part of the LSTM with layer normalisation (Ba et al. 2016), forward and backward.
#pragma once
#include "layer.h"

namespace {

// z = N(U h) gain_h + N(W x) gain_x + b, and c' is normalised before its tanh.
// `extra` holds gain_h, gain_x, b (4 H each), gain_c, shift_c (H each). A row of gates: N(U h), N(W x), the gates (4 H each),
// N(c') and three scales; gradients of U h and W x overwrite the first two.
const double EPSILON = 1e-5;

template <class T> INLINE void moments(const T *x, i64 n, T &mean, T &scale) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  V sum = V{};
  for (i64 k = 0; k < n; k += N) sum += load_n(x + k, lanes_at(n, k, N));
  mean = sum_lanes<T>(sum) / n;
  sum = V{};
  i64 k = 0;
  for (; k + N <= n; k += N) {
    const V away = load(x + k) - mean;
    sum += away * away;
  }
  T square = sum_lanes<T>(sum);
  for (; k < n; k++) square += (x[k] - mean) * (x[k] - mean);
  scale = 1 / __builtin_sqrt(double(square / n) + EPSILON);
}

template <class T, bool NOISY>
void norm_forward(const LayerCall &j, i64 row, T *h_to, T *c_to, T *out, i64 Hp, i64 b, i64 t) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  const i64 H = j.H;
  const T *gain_h = (const T *)j.extra, *gain_x = gain_h + 4 * H, *bias = gain_x + 4 * H, *gain_c = bias + 4 * H;
  const T *before = (const T *)j.cells + row * Hp;
  T *n_h = (T *)j.gates + row * j.gates_stride, *n_x = n_h + 4 * H;
  T *gates = n_x + 4 * H, *n_c = gates + 4 * H, *scales = n_c + H;
  T mean_h, mean_x, mean_c;
  moments(n_h, 4 * H, mean_h, scales[0]);
  moments(n_x, 4 * H, mean_x, scales[1]);
  for (i64 u = 0; u < H; u += N) {
    const int m = lanes_at(H, u, N);
    V z[4];
    for (int g = 0; g < 4; g++) {
      const i64 at = g * H + u;
      const V a = (load_n(n_h + at, m) - mean_h) * scales[0], x = (load_n(n_x + at, m) - mean_x) * scales[1];
      store_n(n_h + at, a, m), store_n(n_x + at, x, m);
      z[g] = a * load_n(gain_h + at, m) + (x * load_n(gain_x + at, m) + load_n(bias + at, m));
    }
    const V i = sigmoid(z[0]), f = sigmoid(z[1]), g = tanh_(z[2]), o = sigmoid(z[3]);
    const V c = f * load(before + u) + i * (NOISY ? g * values<T>(j.noise->update, b, t, u) : g);
    store_n(gates + u, i, m), store_n(gates + H + u, f, m), store_n(gates + 2 * H + u, g, m), store_n(gates + 3 * H + u, o, m);
    store_n(c_to + u, c, m);
  }
  moments(c_to, H, mean_c, scales[2]);
  i64 h_stride;
  const T *h_before = state_before<T>(j, row, Hp, h_stride);
  for (i64 u = 0; u < H; u += N) {
    const int m = lanes_at(H, u, N);
    const V raw = load_n(c_to + u, m), c = (raw - mean_c) * scales[2], s = tanh_(c * load_n(gain_c + u, m) + load_n(gain_c + H + u, m));
    V h = load_n(gates + 3 * H + u, m) * s;
    if (NOISY) {
      const V one = V{} + T(1), old_c = values<T>(j.noise->zoneout_c, b, t, u), old_h = values<T>(j.noise->zoneout_h, b, t, u);
      store_n(c_to + u, old_c * load_n(before + u, m) + (one - old_c) * raw, m);
      h = old_h * load_n(h_before + u, m) + (one - old_h) * h;
    }
    store_n(n_c + u, c, m), store_n(h_to + u, h, m), store_n(out + u, h, m);
    if (j.training) store((T *)j.tanhs + row * Hp + u, s);
  }
}

// dh (Hp): gradient of h_t through step t+1 and the final state, then scratch; `sums` is laid out like `extra`.
template <class T, bool NOISY>
void norm_backward(const LayerCall &j, i64 row, T *dh, const T *dout, T *dh_carry, T *dc_carry, T *sums, i64 Hp, i64 b, i64 t) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  const i64 H = j.H;
  const T *gain_h = (const T *)j.extra, *gain_x = gain_h + 4 * H, *gain_c = gain_x + 8 * H;
  const T *before = (const T *)j.cells + row * Hp, *tanhs = (const T *)j.tanhs + row * Hp;
  T *n_h = (T *)j.gates + row * j.gates_stride, *n_x = n_h + 4 * H;
  T *gates = n_x + 4 * H, *n_c = gates + 4 * H, *scales = n_c + H;
  const V one = V{} + T(1);
  auto add = [](T *to, V v, int m) { store_n(to, load_n(to, m) + v, m); };
  V first = V{}, second = V{};
  for (i64 u = 0; u < H; u += N) {
    const int m = lanes_at(H, u, N);
    const V s = load_n(tanhs + u, m), o = load_n(gates + 3 * H + u, m), c = load_n(n_c + u, m);
    V d = load_n(dh + u, m);
    if (dout) d += load_n(dout + u, m);
    if (NOISY) {
      const V old = values<T>(j.noise->zoneout_h, b, t, u);
      store_n(dh_carry + u, old * d, m);
      d = (one - old) * d;
    }
    store_n(gates + 3 * H + u, (d * s) * (o * (one - o)), m);
    const V y = (d * o) * (one - s * s), w = y * load_n(gain_c + u, m);
    add(sums + 12 * H + u, y * c, m), add(sums + 13 * H + u, y, m);
    store_n(dh + u, w, m);
    first += w, second += w * c;
  }
  const T mean = sum_lanes<T>(first) / H, slope = sum_lanes<T>(second) / H;
  V h_1 = V{}, h_2 = V{}, x_1 = V{}, x_2 = V{};
  for (i64 u = 0; u < H; u += N) {
    const int m = lanes_at(H, u, N);
    const V i = load_n(gates + u, m), f = load_n(gates + H + u, m), g = load_n(gates + 2 * H + u, m);
    const V back = load_n(dc_carry + u, m), old = NOISY ? values<T>(j.noise->zoneout_c, b, t, u) : V{};
    const V update = NOISY ? values<T>(j.noise->update, b, t, u) : one;
    const V dc = (load_n(dh + u, m) - mean - load_n(n_c + u, m) * slope) * scales[2] + (NOISY ? (one - old) * back : back);
    store_n(dc_carry + u, NOISY ? dc * f + old * back : dc * f, m);
    const V d_i = dc * (NOISY ? g * update : g), d_g = NOISY ? (dc * i) * update : dc * i;
    const V dz[4] = {d_i * (i * (one - i)), (dc * load_n(before + u, m)) * (f * (one - f)), d_g * (one - g * g),
                     load_n(gates + 3 * H + u, m)};
    for (int q = 0; q < 4; q++) {
      const i64 at = q * H + u;
      const V a = load_n(n_h + at, m), x = load_n(n_x + at, m);
      const V w_h = dz[q] * load_n(gain_h + at, m), w_x = dz[q] * load_n(gain_x + at, m);
      store_n(gates + at, dz[q], m);
      add(sums + at, dz[q] * a, m), add(sums + 4 * H + at, dz[q] * x, m), add(sums + 8 * H + at, dz[q], m);
      h_1 += w_h, h_2 += w_h * a, x_1 += w_x, x_2 += w_x * x;
    }
  }
  const T mean_h = sum_lanes<T>(h_1) / (4 * H), slope_h = sum_lanes<T>(h_2) / (4 * H);
  const T mean_x = sum_lanes<T>(x_1) / (4 * H), slope_x = sum_lanes<T>(x_2) / (4 * H);
  for (i64 k = 0; k < 4 * H; k += N) {
    const int m = lanes_at(4 * H, k, N);
    const V dz = load_n(gates + k, m), a = load_n(n_h + k, m), x = load_n(n_x + k, m);
    store_n(n_h + k, (dz * load_n(gain_h + k, m) - mean_h - a * slope_h) * scales[0], m);
    store_n(n_x + k, (dz * load_n(gain_x + k, m) - mean_x - x * slope_x) * scales[1], m);
  }
}

}  // namespace
