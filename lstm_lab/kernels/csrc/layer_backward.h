// A layer's backward pass over a padded batch.
#pragma once
#include "gru_rnn.h"
#include "lstm.h"
#include "norm_lstm.h"
#include "weight_gradients.h"

namespace {

// Scratch of one thread, (samples, Hp) each but for the last three.
template <class T> struct BackwardScratch {
  T *dh_carry, *dc_carry;  // gradients of the states that reach the current step
  T *dh_now;               // NORM: gradient of h_t
  T *d_extra;              // sums over all rows, see LayerCall.extra
  T **dout, **after;       // dout and c_t of each row of the current step
};

// Elements of the sums for `extra`, in whole cache lines.
template <class T> i64 extra_size(const LayerCall &j) {
  return j.family == NORM ? (14 * j.H + 15) / 16 * 16 : 3 * padded<T>(j.H);
}

// Lays out the scratch, takes the gradients of the final states, and zeroes the padding of dx.
template <class T> BackwardScratch<T> start_backward(const Work<T> &w) {
  const LayerCall &j = *w.call;
  const Shard &shard = *w.shard;
  const i64 H = j.H, Hp = padded<T>(H), n0 = shard.n;
  const T *dhT = (const T *)j.dhT, *dcT = (const T *)j.dcT;
  BackwardScratch<T> s;
  s.dh_carry = w.memory, s.dc_carry = s.dh_carry + n0 * Hp, s.dh_now = s.dc_carry + n0 * Hp;
  s.d_extra = j.family == NORM ? s.dh_now + n0 * Hp : s.dh_now;
  s.dout = (T **)(s.d_extra + extra_size<T>(j)), s.after = s.dout + n0;
  memset(w.memory, 0, (char *)s.dout - (char *)w.memory);
  for (i64 r = 0; r < n0; r++) {
    const i64 b = shard.ids[r];
    if (dhT) memcpy(s.dh_carry + r * Hp, dhT + b * H, H * sizeof(T));
    if (j.dx) memset((T *)j.dx + (b * j.T + j.lengths[b]) * j.I, 0, (j.T - j.lengths[b]) * j.I * sizeof(T));
    if (dcT && has_cell_state(j)) memcpy(s.dc_carry + r * Hp, dcT + b * H, H * sizeof(T));
  }
  if (j.dW) memset(w.sums, 0, sums_size<T>(j) * sizeof(T));
  return s;
}

// Pointwise part for rows [r, r + rows) of step t and NV vectors of units from u on. z: what step t+1 gives h_t; `ends`: these
// samples end here, and the gradient of their final h comes in. t = -1: the gradient of h0.
template <class T>
void backward_tile(const Work<T> &w, const BackwardScratch<T> &s, i64 t, T *z, int NV, i64 u, i64 r, int rows, bool ends) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  const LayerCall &j = *w.call;
  const i64 H = j.H, Hp = padded<T>(H), row = w.shard->base + (t < 0 ? 0 : w.shard->offset[t]) + r;
  const bool direct = j.family == GRU || j.noise;  // h_t reaches h_{t+1} without a product too
  const T *end = direct || (ends && j.dhT) ? s.dh_carry : 0;
  T **dout = j.dout ? s.dout : 0;
  const Step step = {t, w.shard->ids};
  if (j.noise && j.noise->state.bits && !ends)
    for (int q = 0; q < rows; q++)
      for (int v = 0; v < NV; v++) {
        T *to = z + (q * NV + v) * N;
        store(to, load(to) * values<T>(j.noise->state, step.ids[r + q], t + 1, u + v * N));
      }
  const auto gru = j.noise ? gru_backward<T, true> : gru_backward<T, false>;
  const auto rnn = j.noise ? rnn_backward<T, true> : rnn_backward<T, false>;
  const auto lstm = j.noise ? j.flags ? lstm_backward<T, false, true> : lstm_backward<T, true, true>
                            : j.flags ? lstm_backward<T, false, false> : lstm_backward<T, true, false>;
  for (int v = 0; v < NV; v++, z += N) {
    const i64 at = u + v * N;
    if (t < 0)
      for (int q = 0; q < rows; q++) {
        V dh = load(z + q * NV * N);
        if (ends || direct) dh += load(s.dh_carry + (r + q) * Hp + at);
        store_n((T *)j.dh0 + w.shard->ids[r + q] * H + at, dh, lanes_at(H, at, N));
      }
    else if (j.family == NORM)
      for (int q = 0; q < rows; q++) {
        V dh = load(z + q * NV * N);
        if (end) dh += load(end + (r + q) * Hp + at);
        store(s.dh_now + (r + q) * Hp + at, dh);
      }
    else if (j.family == GRU) gru(j, z, NV * N, at, r, rows, dout, s.dh_carry, row, Hp, step);
    else if (j.family == RNN) rnn(j, z, NV * N, at, r, rows, dout, end, s.dh_carry, row, Hp, step);
    else lstm(j, z, NV * N, at, r, rows, dout, end, s.dh_carry, s.dc_carry, s.after, row, Hp, s.d_extra, step);
  }
}

// Step t: the product with the gate gradients of step t+1, and the pointwise part.
template <class T> void backward_step(const Work<T> &w, const BackwardScratch<T> &s, i64 t, i64 n, T *z) {
  enum { N = Lanes<T>::N };
  const LayerCall &j = *w.call;
  const i64 Hp = padded<T>(j.H), K = num_gates(j) * j.H, stride = j.gates_stride;
  const i64 alive = w.shard->batch_sizes[t + 1], next = w.shard->base + w.shard->offset[t + 1];
  const T *gates = (const T *)j.gates, *panel = w.panels;
  for (i64 u = 0; u < Hp; u += 4 * N) {
    const int NV = (int)((Hp - u) / N < 4 ? (Hp - u) / N : 4);
    for_blocks(alive, MAX_ROWS[NV], [&](i64 r, int rows) {
      TILES<T>[NV][rows](gates + (next + r) * stride, stride, panel, K, z);
      backward_tile<T>(w, s, t, z, NV, u, r, rows, false);
    });
    if (alive < n) {
      memset(z, 0, TILE_SIZE * sizeof(T));
      for_blocks(n - alive, MAX_ROWS[NV], [&](i64 r, int rows) { backward_tile<T>(w, s, t, z, NV, u, alive + r, rows, true); });
    }
    panel += K * NV * N;
  }
}

// dx_t = W^T times the gate gradients of step t, while these are still in the cache.
template <class T> void input_gradient(const Work<T> &w, i64 t, T *z) {
  enum { N = Lanes<T>::N };
  const LayerCall &j = *w.call;
  const Shard &shard = *w.shard;
  const i64 I = j.I, Ip = padded<T>(I), stride = j.gates_stride, K = num_gates(j) * j.H;
  const T *gates = (const T *)j.gates + (shard.base + shard.offset[t]) * stride + first_column_of_W(j), *panel = w.panels_x;
  for (i64 u = 0; u < Ip; u += 4 * N) {
    const int NV = (int)((Ip - u) / N < 4 ? (Ip - u) / N : 4);
    for_blocks(shard.batch_sizes[t], MAX_ROWS[NV], [&](i64 r, int rows) {
      TILES<T>[NV][rows](gates + r * stride, stride, panel, K, z);
      for (int q = 0; q < rows; q++) {
        const i64 b = shard.ids[r + q];
        T *dx = (T *)j.dx + (b * j.T + time_index(j, j.lengths[b], t)) * I + u;
        for (int v = 0; v < NV; v++) store_n(dx + v * N, load(z + (q * NV + v) * N), lanes_at(I, u + v * N, N));
      }
    });
    panel += K * NV * N;
  }
}

template <class T> void backward_shard(Work<T> &w) {
  const FlushResults flush(true);
  const LayerCall &j = *w.call;
  const Shard &shard = *w.shard;
  const i64 H = j.H, Hp = padded<T>(H), n0 = shard.n;
  T *cells = (T *)j.cells, *cT = (T *)j.cT, *dout = (T *)j.dout;
  const BackwardScratch<T> s = start_backward<T>(w);
  T z[TILE_SIZE] __attribute__((aligned(64)));
  const auto several = j.noise ? norm_backward<T, true, NORM_ROWS> : norm_backward<T, false, NORM_ROWS>;
  const auto one = j.noise ? norm_backward<T, true, 1> : norm_backward<T, false, 1>;
  i64 summed = shard.base + shard.offset[shard.steps];  // rows from here on are in the weights' gradients
  for (i64 t = shard.steps - 1; t >= 0; t--) {
    const i64 n = shard.batch_sizes[t], alive = shard.batch_sizes[t + 1];
    const i64 row = shard.base + shard.offset[t], next = shard.base + shard.offset[t + 1];
    for (i64 r = 0; r < n; r++) {
      const i64 b = shard.ids[r];
      if (dout) s.dout[r] = dout + b * j.dout_stride_b + time_index(j, j.lengths[b], t) * j.dout_stride_t;
      s.after[r] = r < alive ? cells + (next + r) * Hp : cT + b * H;
    }
    backward_step<T>(w, s, t, n, z);
    for (i64 r = 0; j.family == NORM && r < n;) {
      const bool whole = r + NORM_ROWS <= n;
      (whole ? several : one)(j, row + r, s.dh_now + r * Hp, dout ? s.dout + r : 0, s.dh_carry + r * Hp,
                              s.dc_carry + r * Hp, s.d_extra, Hp, shard.ids + r, t);
      r += whole ? NORM_ROWS : 1;
    }
    if (j.dx) input_gradient<T>(w, t, z);
    if (j.dW && (summed - row >= BLOCK || t == 0)) {  // rows of a few steps, while they are still in the cache
      for_blocks(summed - row, BLOCK, [&](i64 r, int n) { add_rows<T>(j, row + r, n, w.pack, w.sums); });
      summed = row;
    }
  }
  if (j.dh0) backward_step<T>(w, s, -1, n0, z);
  if (j.dc0 && has_cell_state(j))
    for (i64 r = 0; r < n0; r++) memcpy((T *)j.dc0 + shard.ids[r] * H, s.dc_carry + r * Hp, H * sizeof(T));
  if (w.d_extra && j.family == NORM) memcpy(w.d_extra, s.d_extra, 14 * H * sizeof(T));
  else if (w.d_extra)
    for (int g = 0; g < 3; g++) memcpy(w.d_extra + g * H, s.d_extra + g * Hp, H * sizeof(T));
}

// As `forward`.
template <class T> i64 backward(LayerCall j) {
  if (j.threads > MAX_THREADS) j.threads = MAX_THREADS;
  j.training = 1;
  Plan plan;
  if (const i64 fault = make_plan(j, plan)) return fault;
  const i64 H = j.H, Hp = padded<T>(H), Ip = j.dx ? padded<T>(j.I) : 0, K = num_gates(j) * H, threads = plan.threads;
  const i64 per_sample = (j.family == NORM ? 3 : 2) * Hp + 4, fixed = extra_size<T>(j) + 16;  // see BackwardScratch
  T *panels = aligned<T>(K * (Hp + Ip)), *panels_x = panels + K * Hp;
  const i64 sums = j.dW ? sums_size<T>(j) : 0, pack = j.dW ? pack_size<T>(j) / 16 * 16 : 0;
  T *memory = aligned<T>(j.B * per_sample + threads * (fixed + pack + sums));
  Work<T> *works = (Work<T> *)malloc(threads * sizeof(Work<T>));
  i64 result = plan.rows;
  if (!panels || !memory || !works) result = -2;
  else {
    pack_rows<T>((const T *)j.U, K, H, j.family == GRU ? H : 0, panels);  // a GRU's gates are stored as n, r, z
    if (j.dx) pack_rows<T>((const T *)j.W, K, j.I, 0, panels_x);
    T *unused = memory + threads * sums;
    for (i64 p = 0; p < threads; p++) {
      T *d_extra = j.d_extra ? (T *)j.d_extra + p * (j.family == NORM ? 14 : 3) * H : 0;
      works[p] = {&j, &plan.shards[p], panels, panels_x, unused, d_extra, memory + p * sums, 0};
      unused += (plan.shards[p].n * per_sample + fixed) / 16 * 16;
      works[p].pack = unused;
      unused += pack;
    }
    run_threads<Work<T>, backward_shard<T>>(works, threads);
    if (j.dW) write_gradients<T>(j, memory, threads);
  }
  free(panels), free(memory), free(works), free(plan.memory);
  return result;
}

}  // namespace
