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

// Rows that are computed at once, so that gains and their gradients are read and written once for all of them.
enum { NORM_ROWS = VB == 64 ? 4 : 2 };

// Of R rows from `row` on.
template <class T, bool NOISY, int R>
void norm_forward(const LayerCall &j, i64 row, T *const *h_to, T *const *c_to, T *const *out, i64 Hp, const i64 *ids, i64 t) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  const i64 H = j.H;
  const T *gain_h = (const T *)j.extra, *gain_x = gain_h + 4 * H, *bias = gain_x + 4 * H, *gain_c = bias + 4 * H;
  const T *before[R];
  T *n_h[R], mean_h[R], mean_x[R], mean_c[R];
  for (int r = 0; r < R; r++) {
    before[r] = (const T *)j.cells + (row + r) * Hp, n_h[r] = (T *)j.gates + (row + r) * j.gates_stride;
    moments(n_h[r], 4 * H, mean_h[r], n_h[r][13 * H]);
    moments(n_h[r] + 4 * H, 4 * H, mean_x[r], n_h[r][13 * H + 1]);
  }
  for (i64 u = 0; u < H; u += N) {
    const int m = lanes_at(H, u, N);
    V z[R][4];
    UNROLL for (int g = 0; g < 4; g++) {
      const i64 at = g * H + u;
      const V g_h = load_n(gain_h + at, m), g_x = load_n(gain_x + at, m), b = load_n(bias + at, m);
      UNROLL for (int r = 0; r < R; r++) {
        T *n_x = n_h[r] + 4 * H;
        const V a = (load_n(n_h[r] + at, m) - mean_h[r]) * n_h[r][13 * H], x = (load_n(n_x + at, m) - mean_x[r]) * n_h[r][13 * H + 1];
        store_n(n_h[r] + at, a, m), store_n(n_x + at, x, m);
        z[r][g] = a * g_h + (x * g_x + b);
      }
    }
    UNROLL for (int r = 0; r < R; r++) {
      T *gates = n_h[r] + 8 * H;
      const V i = sigmoid(z[r][0]), f = sigmoid(z[r][1]), g = tanh_(z[r][2]), o = sigmoid(z[r][3]);
      const V c = f * load(before[r] + u) + i * (NOISY ? g * values<T>(j.noise->update, ids[r], t, u) : g);
      store_n(gates + u, i, m), store_n(gates + H + u, f, m), store_n(gates + 2 * H + u, g, m), store_n(gates + 3 * H + u, o, m);
      store_n(c_to[r] + u, c, m);
    }
  }
  for (int r = 0; r < R; r++) moments(c_to[r], H, mean_c[r], n_h[r][13 * H + 2]);
  for (i64 u = 0; u < H; u += N) {
    const int m = lanes_at(H, u, N);
    const V gain = load_n(gain_c + u, m), shift = load_n(gain_c + H + u, m);
    UNROLL for (int r = 0; r < R; r++) {
      const V raw = load_n(c_to[r] + u, m), c = (raw - mean_c[r]) * n_h[r][13 * H + 2], s = tanh_(c * gain + shift);
      V h = load_n(n_h[r] + 11 * H + u, m) * s;
      if (NOISY) {
        const V one = V{} + T(1), old_c = values<T>(j.noise->zoneout_c, ids[r], t, u), old_h = values<T>(j.noise->zoneout_h, ids[r], t, u);
        i64 h_stride;
        const T *h_before = state_before<T>(j, row + r, Hp, h_stride);
        store_n(c_to[r] + u, old_c * load_n(before[r] + u, m) + (one - old_c) * raw, m);
        h = old_h * load_n(h_before + u, m) + (one - old_h) * h;
      }
      store_n(n_h[r] + 12 * H + u, c, m), store_n(h_to[r] + u, h, m), store_n(out[r] + u, h, m);
      if (j.training) store((T *)j.tanhs + (row + r) * Hp + u, s);
    }
  }
}

// Of R rows from `row` on. dh (R, Hp): gradient of h_t through step t+1 and the final state, then scratch; `sums` is laid
// out like `extra`.
template <class T, bool NOISY, int R>
void norm_backward(const LayerCall &j, i64 row, T *dh, T *const *dout, T *dh_carry, T *dc_carry, T *sums, i64 Hp,
                   const i64 *ids, i64 t) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  const i64 H = j.H;
  const T *gain_h = (const T *)j.extra, *gain_x = gain_h + 4 * H, *gain_c = gain_x + 8 * H;
  const T *before = (const T *)j.cells + row * Hp, *tanhs = (const T *)j.tanhs + row * Hp;
  T *n_h[R];
  for (int r = 0; r < R; r++) n_h[r] = (T *)j.gates + (row + r) * j.gates_stride;
  const V one = V{} + T(1);
  V first[R], second[R];
  for (int r = 0; r < R; r++) first[r] = second[r] = V{};
  for (i64 u = 0; u < H; u += N) {
    const int m = lanes_at(H, u, N);
    const V gain = load_n(gain_c + u, m);
    V d_gain = load_n(sums + 12 * H + u, m), d_shift = load_n(sums + 13 * H + u, m);
    UNROLL for (int r = 0; r < R; r++) {
      T *gate = n_h[r] + 11 * H + u;
      const V s = load_n(tanhs + r * Hp + u, m), o = load_n(gate, m), c = load_n(n_h[r] + 12 * H + u, m);
      V d = load_n(dh + r * Hp + u, m);
      if (dout) d += load_n(dout[r] + u, m);
      if (NOISY) {
        const V old = values<T>(j.noise->zoneout_h, ids[r], t, u);
        store_n(dh_carry + r * Hp + u, old * d, m);
        d = (one - old) * d;
      }
      store_n(gate, (d * s) * (o * (one - o)), m);
      const V y = (d * o) * (one - s * s), w = y * gain;
      d_gain += y * c, d_shift += y;
      store_n(dh + r * Hp + u, w, m);
      first[r] += w, second[r] += w * c;
    }
    store_n(sums + 12 * H + u, d_gain, m), store_n(sums + 13 * H + u, d_shift, m);
  }
  T mean[R], slope[R];
  for (int r = 0; r < R; r++) mean[r] = sum_lanes<T>(first[r]) / H, slope[r] = sum_lanes<T>(second[r]) / H;
  V h_1[R], h_2[R], x_1[R], x_2[R];
  for (int r = 0; r < R; r++) h_1[r] = h_2[r] = x_1[r] = x_2[r] = V{};
  for (i64 u = 0; u < H; u += N) {
    const int m = lanes_at(H, u, N);
    UNROLL for (int r = 0; r < R; r++) {
      T *gates = n_h[r] + 8 * H + u;
      const V i = load_n(gates, m), f = load_n(gates + H, m), g = load_n(gates + 2 * H, m);
      const V back = load_n(dc_carry + r * Hp + u, m), old = NOISY ? values<T>(j.noise->zoneout_c, ids[r], t, u) : V{};
      const V update = NOISY ? values<T>(j.noise->update, ids[r], t, u) : one;
      const V dc = (load_n(dh + r * Hp + u, m) - mean[r] - load_n(n_h[r] + 12 * H + u, m) * slope[r]) * n_h[r][13 * H + 2] +
                   (NOISY ? (one - old) * back : back);
      store_n(dc_carry + r * Hp + u, NOISY ? dc * f + old * back : dc * f, m);
      const V d_i = dc * (NOISY ? g * update : g), d_g = NOISY ? (dc * i) * update : dc * i;
      store_n(gates, d_i * (i * (one - i)), m);
      store_n(gates + H, (dc * load_n(before + r * Hp + u, m)) * (f * (one - f)), m);
      store_n(gates + 2 * H, d_g * (one - g * g), m);
    }
  }
  for (i64 k = 0; k < 4 * H; k += N) {
    const int m = lanes_at(4 * H, k, N);
    const V g_h = load_n(gain_h + k, m), g_x = load_n(gain_x + k, m);
    V d_h = load_n(sums + k, m), d_x = load_n(sums + 4 * H + k, m), d_b = load_n(sums + 8 * H + k, m);
    UNROLL for (int r = 0; r < R; r++) {
      const V dz = load_n(n_h[r] + 8 * H + k, m), a = load_n(n_h[r] + k, m), x = load_n(n_h[r] + 4 * H + k, m);
      const V w_h = dz * g_h, w_x = dz * g_x;
      d_h += dz * a, d_x += dz * x, d_b += dz;
      h_1[r] += w_h, h_2[r] += w_h * a, x_1[r] += w_x, x_2[r] += w_x * x;
    }
    store_n(sums + k, d_h, m), store_n(sums + 4 * H + k, d_x, m), store_n(sums + 8 * H + k, d_b, m);
  }
  T mean_h[R], slope_h[R], mean_x[R], slope_x[R];
  for (int r = 0; r < R; r++) {
    mean_h[r] = sum_lanes<T>(h_1[r]) / (4 * H), slope_h[r] = sum_lanes<T>(h_2[r]) / (4 * H);
    mean_x[r] = sum_lanes<T>(x_1[r]) / (4 * H), slope_x[r] = sum_lanes<T>(x_2[r]) / (4 * H);
  }
  for (i64 k = 0; k < 4 * H; k += N) {
    const int m = lanes_at(4 * H, k, N);
    const V g_h = load_n(gain_h + k, m), g_x = load_n(gain_x + k, m);
    UNROLL for (int r = 0; r < R; r++) {
      T *at_h = n_h[r] + k, *at_x = at_h + 4 * H;
      const V dz = load_n(n_h[r] + 8 * H + k, m), a = load_n(at_h, m), x = load_n(at_x, m);
      store_n(at_h, (dz * g_h - mean_h[r] - a * slope_h[r]) * n_h[r][13 * H], m);
      store_n(at_x, (dz * g_x - mean_x[r] - x * slope_x[r]) * n_h[r][13 * H + 1], m);
    }
  }
}

}  // namespace
