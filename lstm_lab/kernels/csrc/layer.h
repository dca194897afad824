// One recurrent layer over a padded batch: the caller's request, which thread computes which samples, packed weights.
//
// One row per valid (sample, step): [h_{t-1} | 1 | x_t]. One small matrix kernel over such rows does recurrent, input and
// bias products at once; the pointwise part follows while its tile is still in the first-level cache. Backward, the product
// with the gate gradients of step t+1 is followed at once by the pointwise part of step t, and gate gradients overwrite the
// gates. The gradients of the weights are one product over all rows, added up over a few steps at a time.
//
// Rows are packed by time: samples are sorted by length, so that those alive at step t are the first batch_sizes[t], and
// padding is never read, computed or stored. Each thread owns whole samples: no sum here depends on the number of threads,
// and every row is summed in the same order whatever block it falls into.
#pragma once
#include "noise.h"
#include "vectors.h"

// The caller's whole request. Mirrored field by field in native.py.
struct LayerCall {
  i64 family, flags, threads, training, reverse;
  i64 B, T, I, H;
  const void *x; i64 x_stride_b, x_stride_t;  // strides in elements; channels are contiguous
  const i64 *lengths;
  const void *W, *U, *b_ih, *b_hh;            // (G H, I), (G H, H), (G H), (G H): contiguous or null
  const void *extra;                          // peepholes (3, H), or gains and shifts (14, H): contiguous or null
  const void *h0, *c0;                        // (B, H) or null for zeros
  void *out, *hT, *cT;                        // (B, T, H), (B, H), (B, H)
  void *rows; i64 rows_stride;                // [h | 1 | x] of each row
  void *gates; i64 gates_stride;              // activations of each row; their gradients after the backward pass
  void *cells, *tanhs;                        // c_{t-1} and the factor of the output gate, (rows, Hp)
  const void *dout; i64 dout_stride_b, dout_stride_t;  // null for zeros
  const void *dhT, *dcT;                      // null for zeros
  void *dx, *dh0, *dc0, *d_extra;             // (B, T, I), (B, H), (B, H), (threads, like extra); null if not needed
  void *dW, *dU, *db_ih, *db_hh;              // like the weights; dW null if none is needed
  const Noise *noise;                         // null for none
  void *panels;                               // weights by pack_layer, for step_stack alone; other passes pack their own
};

namespace {

enum Family { LSTM, GRU, RNN, NORM };  // NORM: an LSTM with layer normalisation
enum Flag { NIG = 1, NFG = 2, NOG = 4, NIAF = 8, NOAF = 16, PEEPHOLE = 32, CIFG = 64, RELU = 128 };

// ------------------------------------------------------------------------------------------ samples and threads
// The samples of one thread, longest first, and the location of their rows.
struct Shard {
  i64 n, base;                // samples; first row
  i64 *ids;                   // index of each sample in the batch
  i64 *batch_sizes, *offset;  // samples alive at step t; rows before step t, counted from base
  i64 steps;                  // of the longest sample
};
struct Plan {
  i64 threads, rows;
  Shard *shards;
  void *memory;
};

i64 threads_for(const LayerCall &j) {
  // A thread costs some ten microseconds to start: give each at least a few hundred of work.
  double flops = 2.0 * j.B * j.T * (j.H + j.I + 1) * 4.0 * j.H;
  i64 useful = (i64)(flops / 1.5e7), allowed = j.threads < j.B ? j.threads : j.B;
  i64 n = useful < allowed ? useful : allowed;
  return n < 1 ? 1 : n;
}

// 0; or -1, lengths outside 0..T; or -2, no memory.
i64 make_plan(const LayerCall &j, Plan &plan) {
  i64 P = threads_for(j), B = j.B, T = j.T;
  size_t words = B * 2 + P * 2 * (T + 2) + T + 2;
  char *memory = (char *)malloc(P * sizeof(Shard) + words * sizeof(i64));
  if (!memory) return -2;
  plan.memory = memory;
  plan.shards = (Shard *)memory;
  plan.threads = P;
  i64 *word = (i64 *)(memory + P * sizeof(Shard));
  i64 *order = word, *ids = order + B, *first = ids + B, *steps = first + T + 2;
  memset(first, 0, (T + 2) * sizeof(i64));
  for (i64 b = 0; b < B; b++) {  // sort by counting
    if (j.lengths[b] < 0 || j.lengths[b] > T) { free(memory); return -1; }
    first[T - j.lengths[b] + 1]++;
  }
  for (i64 t = 0; t <= T; t++) first[t + 1] += first[t];
  for (i64 b = 0; b < B; b++) order[first[T - j.lengths[b]]++] = b;
  i64 base = 0;
  for (i64 p = 0; p < P; p++) {
    Shard &shard = plan.shards[p];
    shard.ids = ids;
    shard.n = 0;
    for (i64 r = p; r < B; r += P) ids[shard.n++] = order[r];
    ids += shard.n;
    shard.batch_sizes = steps, shard.offset = steps + T + 2, steps += 2 * (T + 2);
    shard.base = base;
    shard.steps = shard.n ? j.lengths[shard.ids[0]] : 0;
    i64 alive = shard.n, offset = 0;
    for (i64 t = 0; t <= T + 1; t++) {
      while (alive > 0 && j.lengths[shard.ids[alive - 1]] <= t) alive--;
      shard.batch_sizes[t] = alive;
      shard.offset[t] = j.training ? offset : (t & 1) * shard.n;  // without a backward pass two steps are stored
      offset += alive;
    }
    base += j.training ? offset : 2 * shard.n;
  }
  plan.rows = base;
  return 0;
}

INLINE i64 time_index(const LayerCall &j, i64 length, i64 t) { return j.reverse ? length - 1 - t : t; }

// --------------------------------------------------------------------------------------------------------- gates
// Which column of W and U holds which gate; -1 where the variant has none.
struct Columns { int i, f, g, o, count; };
Columns columns(i64 flags) {
  Columns c;
  c.count = 0;
  c.i = flags & NIG ? -1 : c.count++;
  c.f = flags & (NFG | CIFG) ? -1 : c.count++;
  c.g = c.count++;
  c.o = flags & NOG ? -1 : c.count++;
  return c;
}
int num_gates(const LayerCall &j) {
  return j.family == LSTM ? columns(j.flags).count : j.family == GRU ? 3 : j.family == NORM ? 4 : 1;
}
bool has_cell_state(const LayerCall &j) { return j.family == LSTM || j.family == NORM; }

// First column of W's part of the gate gradients; U's part starts at 0.
i64 first_column_of_W(const LayerCall &j) { return j.family == GRU ? j.H : j.family == NORM ? 4 * j.H : 0; }

// ------------------------------------------------------------------------------------------------ packed weights
// Panels of up to four vectors of columns, [panel][k][vector][lane]; lanes behind H are zero.
template <class T> struct Source {
  const T *matrix;  // (gates * H, width)
  i64 width, at;    // goes to k = at ... at + width
};
// One vector of columns of a panel, K entries per lane: from n matrices, and from up to two biases at k = bias_at.
template <class T>
void pack_column(T *panel, int vectors, int vector, i64 row, int lanes, i64 K, const Source<T> *sources, int n,
                 i64 bias_at, const T *bias, const T *bias2) {
  enum { N = Lanes<T>::N };
  const i64 step = vectors * N;
  T *to = panel + vector * N;
  if (lanes < N)
    for (i64 k = 0; k < K; k++)
      for (int m = lanes; m < N; m++) to[k * step + m] = 0;
  for (int s = 0; s < n; s++)
    for (i64 k0 = 0; k0 < sources[s].width; k0 += 32)
      for (int m = 0; m < lanes; m++) {
        const T *from = sources[s].matrix + (row + m) * sources[s].width;
        i64 end = k0 + 32 < sources[s].width ? k0 + 32 : sources[s].width;
        for (i64 k = k0; k < end; k++) to[(sources[s].at + k) * step + m] = from[k];
      }
  for (int m = 0; bias_at >= 0 && m < lanes; m++)
    to[bias_at * step + m] = (bias ? bias[row + m] : T(0)) + (bias2 ? bias2[row + m] : T(0));
}

// A matrix (K, width) in panels of up to four vectors of columns; its last `rotate` rows come first.
template <class T> void pack_rows(const T *matrix, i64 K, i64 width, i64 rotate, T *to) {
  enum { N = Lanes<T>::N };
  const i64 Wp = padded<T>(width);
  for (i64 u = 0; u < Wp; u += 4 * N) {
    const int NV = (int)((Wp - u) / N < 4 ? (Wp - u) / N : 4);
    for (i64 k = 0; k < K; k++, to += NV * N) {
      const T *from = matrix + (k < rotate ? K - rotate + k : k - rotate) * width + u;
      for (int v = 0; v < NV; v++) store(to + v * N, load_n(from + v * N, lanes_at(width, u + v * N, N)));
    }
  }
}

// ----------------------------------------------------------------------------------------------- one thread's work
template <class T> struct Work {
  const LayerCall *call;
  const Shard *shard;
  const T *panels, *panels_x;  // U and W, packed for this direction; in one panel forward, except for GRU and NORM
  T *memory;                   // scratch of this thread
  T *d_extra, *sums, *pack;    // this thread's part of the weights' gradients
};

// Where the rows of the current step are written.
template <class T> struct Destinations {
  T **h, **c, **out;
};

// The step whose rows are computed, and the samples of its rows.
struct Step {
  i64 t;
  const i64 *ids;
};

// h_{t-1} of a row as the step before left it, and the elements from row to row.
template <class T> INLINE const T *state_before(const LayerCall &j, i64 row, i64 Hp, i64 &stride) {
  const bool masked = j.noise && j.noise->before;
  stride = masked ? Hp : j.rows_stride;
  return (const T *)(masked ? j.noise->before : j.rows) + row * stride;
}

}  // namespace
