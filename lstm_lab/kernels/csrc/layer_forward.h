// A layer's forward pass over a padded batch.
#pragma once
#include "gru_rnn.h"
#include "lstm.h"
#include "norm_lstm.h"

namespace {

// Initial states, and zeros in the padding of the outputs.
template <class T> void start_forward(const LayerCall &j, const Shard &shard) {
  const i64 H = j.H, Hp = padded<T>(H);
  T *rows = (T *)j.rows, *cells = (T *)j.cells, *out = (T *)j.out, *hT = (T *)j.hT, *cT = (T *)j.cT;
  const T *h0 = (const T *)j.h0, *c0 = (const T *)j.c0;
  for (i64 r = 0; r < shard.n; r++) {
    const i64 b = shard.ids[r], length = j.lengths[b];
    memset(out + (b * j.T + length) * H, 0, (j.T - length) * H * sizeof(T));
    T *h = length ? rows + (shard.base + r) * j.rows_stride : hT + b * H;
    T *c = length ? cells + (shard.base + r) * Hp : cT + b * H;
    for (i64 u = 0; u < H; u++) h[u] = h0 ? h0[b * H + u] : T(0);
    if (has_cell_state(j))
      for (i64 u = 0; u < H; u++) c[u] = c0 ? c0[b * H + u] : T(0);
  }
}

// [1 | x_t] of the rows of step t, and where their results go.
template <class T> void gather_inputs(const LayerCall &j, const Shard &shard, i64 t, const Destinations<T> &to) {
  const i64 H = j.H, I = j.I, Hp = padded<T>(H);
  const i64 alive = shard.batch_sizes[t + 1], row = shard.base + shard.offset[t], next = shard.base + shard.offset[t + 1];
  T *rows = (T *)j.rows, *cells = (T *)j.cells, *out = (T *)j.out, *hT = (T *)j.hT, *cT = (T *)j.cT;
  const T *x = (const T *)j.x;
  for (i64 r = 0; r < shard.batch_sizes[t]; r++) {
    const i64 b = shard.ids[r], s = time_index(j, j.lengths[b], t);
    T *in = rows + (row + r) * j.rows_stride + H;
    const T *x_t = x + b * j.x_stride_b + s * j.x_stride_t;
    in[0] = 1;
    for (i64 k = 0; k < I; k++) in[1 + k] = x_t[k];
    to.out[r] = out + (b * j.T + s) * H;
    to.h[r] = r < alive ? rows + (next + r) * j.rows_stride : hT + b * H;
    to.c[r] = r < alive ? cells + (next + r) * Hp : cT + b * H;
  }
}

// h_{t-1} of each row is copied where the step needs it, and multiplied by its mask for the products.
template <class T> void mask_states(const LayerCall &j, const Shard &shard, i64 t) {
  enum { N = Lanes<T>::N };
  const i64 row = shard.base + shard.offset[t], Hp = padded<T>(j.H);
  if (!j.noise || !j.noise->state.bits) return;
  for (i64 r = 0; r < shard.batch_sizes[t]; r++) {
    T *h = (T *)j.rows + (row + r) * j.rows_stride;
    if (j.noise->before) memcpy((T *)j.noise->before + (row + r) * Hp, h, j.H * sizeof(T));
    for (i64 u = 0; u < j.H; u += N) {
      const int m = lanes_at(j.H, u, N);
      store_n(h + u, load_n(h + u, m) * values<T>(j.noise->state, shard.ids[r], t, u), m);
    }
  }
}

// One step of n rows from `row` on: products and pointwise part, one vector of units after the other.
template <class T> void gru_rows(const Work<T> &w, i64 n, i64 row, const Destinations<T> &to, const Step &step) {
  enum { N = Lanes<T>::N };
  const LayerCall &j = *w.call;
  const i64 H = j.H, I = j.I, Hp = padded<T>(H), stride = j.rows_stride;
  const T *a = (const T *)j.rows + row * stride, *panel = w.panels, *panel_x = w.panels_x;
  T z[2 * TILE_SIZE] __attribute__((aligned(64)));
  for (i64 u = 0; u < Hp; u += N) {
    for_blocks(n, MAX_ROWS[3], [&](i64 r, int rows) {
      TILES<T>[3][rows](a + r * stride, stride, panel, H + 1, z);
      TILES<T>[3][rows](a + r * stride + H, stride, panel_x, I + 1, z + TILE_SIZE);
      (j.noise ? gru_forward<T, true> : gru_forward<T, false>)(j, z, z + TILE_SIZE, u, r, rows, to, row + r, Hp, step);
    });
    panel += (H + 1) * 3 * N, panel_x += (I + 1) * 3 * N;
  }
}
template <class T> void norm_rows(const Work<T> &w, i64 n, i64 row, const Destinations<T> &to, const Step &step) {
  enum { N = Lanes<T>::N };
  const LayerCall &j = *w.call;
  const i64 H = j.H, I = j.I, Hp = padded<T>(H), stride = j.rows_stride;
  const T *a = (const T *)j.rows + row * stride, *panel = w.panels, *panel_x = w.panels_x;
  T z[2 * TILE_SIZE] __attribute__((aligned(64)));
  for (i64 u = 0; u < Hp; u += N) {
    T *gates = (T *)j.gates + row * j.gates_stride + u;
    const int m = lanes_at(H, u, N);
    for_blocks(n, MAX_ROWS[4], [&](i64 r, int rows) {
      TILES<T>[4][rows](a + r * stride, stride, panel, H, z);
      TILES<T>[4][rows](a + r * stride + H + 1, stride, panel_x, I, z + TILE_SIZE);
      for (int q = 0; q < rows; q++)
        for (int g = 0; g < 4; g++) {
          T *save = gates + (r + q) * j.gates_stride + g * H;
          store_n(save, load(z + (q * 4 + g) * N), m);
          store_n(save + 4 * H, load(z + TILE_SIZE + (q * 4 + g) * N), m);
        }
    });
    panel += H * 4 * N, panel_x += I * 4 * N;
  }
  const auto several = j.noise ? norm_forward<T, true, NORM_ROWS> : norm_forward<T, false, NORM_ROWS>;
  const auto one = j.noise ? norm_forward<T, true, 1> : norm_forward<T, false, 1>;
  for (i64 r = 0; r < n;) {
    const bool whole = r + NORM_ROWS <= n;
    (whole ? several : one)(j, row + r, to.h + r, to.c + r, to.out + r, Hp, step.ids + r, step.t);
    r += whole ? NORM_ROWS : 1;
  }
}
template <class T> void lstm_or_rnn_rows(const Work<T> &w, i64 n, i64 row, const Destinations<T> &to, const Step &step) {
  enum { N = Lanes<T>::N };
  const LayerCall &j = *w.call;
  const i64 H = j.H, K = H + 1 + j.I, Hp = padded<T>(H), stride = j.rows_stride;
  const int G = num_gates(j), per_panel = j.family == RNN ? 4 : 1;
  const T *a = (const T *)j.rows + row * stride, *panel = w.panels;
  T z[TILE_SIZE] __attribute__((aligned(64)));
  const auto rnn = j.noise ? rnn_forward<T, true> : rnn_forward<T, false>;
  const auto lstm = j.noise ? j.flags ? lstm_forward<T, false, true> : lstm_forward<T, true, true>
                            : j.flags ? lstm_forward<T, false, false> : lstm_forward<T, true, false>;
  for (i64 u = 0; u < Hp; u += per_panel * N) {
    const int units = (int)((Hp - u) / N < per_panel ? (Hp - u) / N : per_panel), NV = G * units;
    for_blocks(n, MAX_ROWS[NV], [&](i64 r, int rows) {
      TILES<T>[NV][rows](a + r * stride, stride, panel, K, z);
      if (j.family == RNN)
        for (int v = 0; v < units; v++) rnn(j, z + v * N, NV * N, u + v * N, r, rows, to, row + r, Hp, step);
      else lstm(j, z, NV * N, u, r, rows, to, row + r, Hp, step);
    });
    panel += K * NV * N;
  }
}

// The rows of one step, which were gathered, through the layer.
template <class T> void step_rows(const Work<T> &w, i64 n, i64 row, const Destinations<T> &to, const Step &step) {
  if (w.call->family == GRU) gru_rows<T>(w, n, row, to, step);
  else if (w.call->family == NORM) norm_rows<T>(w, n, row, to, step);
  else lstm_or_rnn_rows<T>(w, n, row, to, step);
}

template <class T> void forward_shard(Work<T> &w) {
  const FlushResults flush(true);
  const LayerCall &j = *w.call;
  const Shard &shard = *w.shard;
  T **pointers = (T **)w.memory;
  const Destinations<T> to = {pointers, pointers + shard.n, pointers + 2 * shard.n};
  start_forward<T>(j, shard);
  for (i64 t = 0; t < shard.steps; t++) {
    const i64 n = shard.batch_sizes[t], row = shard.base + shard.offset[t];
    const Step step = {t, shard.ids};
    gather_inputs<T>(j, shard, t, to);
    mask_states<T>(j, shard, t);
    step_rows<T>(w, n, row, to, step);
  }
}

// Elements of the panels of `pack_forward`, and of those before the second kind.
template <class T> i64 panels_size(const LayerCall &j) { return (j.H + j.I + 2) * num_gates(j) * padded<T>(j.H); }
template <class T> i64 first_panels_size(const LayerCall &j) {
  return (j.family == NORM ? j.H * 4 : (j.H + 1) * 3) * padded<T>(j.H);
}

// U and W of all gates in panels, in the order in which forward_shard reads them.
template <class T> void pack_forward(const LayerCall &j, T *to, T *to_x) {
  enum { N = Lanes<T>::N };
  const i64 H = j.H, I = j.I, K = H + 1 + I, Hp = padded<T>(H);
  const int G = num_gates(j), per_panel = j.family == RNN ? 4 : 1;
  const T *W = (const T *)j.W, *U = (const T *)j.U, *b_ih = (const T *)j.b_ih, *b_hh = (const T *)j.b_hh;
  for (i64 u = 0; u < Hp; u += per_panel * N) {
    const int units = (int)((Hp - u) / N < per_panel ? (Hp - u) / N : per_panel);
    if (j.family == GRU) {
      const Source<T> h = {U, H, 0}, x = {W, I, 1};
      for (int g = 0; g < 3; g++) {  // torch's order r, z, n; U_n h goes first, W_n x last
        pack_column<T>(to, 3, (g + 1) % 3, g * H + u, lanes_at(H, u, N), H + 1, &h, 1, H, b_hh, 0);
        pack_column<T>(to_x, 3, g, g * H + u, lanes_at(H, u, N), I + 1, &x, 1, 0, b_ih, 0);
      }
      to += (H + 1) * 3 * N, to_x += (I + 1) * 3 * N;
    } else if (j.family == NORM) {
      const Source<T> h = {U, H, 0}, x = {W, I, 0};
      for (int g = 0; g < 4; g++) {
        pack_column<T>(to, 4, g, g * H + u, lanes_at(H, u, N), H, &h, 1, -1, 0, 0);
        pack_column<T>(to_x, 4, g, g * H + u, lanes_at(H, u, N), I, &x, 1, -1, 0, 0);
      }
      to += H * 4 * N, to_x += I * 4 * N;
    } else {
      const Source<T> both[2] = {{U, H, 0}, {W, I, H + 1}};
      const int NV = G * units;
      for (int g = 0; g < G; g++)
        for (int v = 0; v < units; v++) {
          const i64 at = u + v * N;
          pack_column<T>(to, NV, g * units + v, g * H + at, lanes_at(H, at, N), K, both, 2, H, b_ih, b_hh);
        }
      to += K * NV * N;
    }
  }
}

// Number of rows; or -1, lengths outside 0..T; or -2, no memory.
template <class T> i64 forward(LayerCall j) {
  if (j.threads > MAX_THREADS) j.threads = MAX_THREADS;
  Plan plan;
  if (const i64 fault = make_plan(j, plan)) return fault;
  T *panels = aligned<T>(panels_size<T>(j)), *panels_x = panels + first_panels_size<T>(j);
  T **memory = (T **)malloc(j.B * 3 * sizeof(T *) + 64);
  Work<T> *works = (Work<T> *)malloc(plan.threads * sizeof(Work<T>));
  if (!panels || !memory || !works) {
    free(panels), free(memory), free(works), free(plan.memory);
    return -2;
  }
  pack_forward<T>(j, panels, panels_x);
  i64 before = 0;
  for (i64 p = 0; p < plan.threads; p++) {
    works[p] = {&j, &plan.shards[p], panels, panels_x, (T *)(memory + 3 * before), 0, 0, 0};
    before += plan.shards[p].n;
  }
  run_threads<Work<T>, forward_shard<T>>(works, plan.threads);
  const i64 rows = plan.rows;
  free(panels), free(memory), free(works), free(plan.memory);
  return rows;
}

}  // namespace
