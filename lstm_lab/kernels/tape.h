// The step of any cell, recorded as a list of small operations on rows and played over whole sequences, forward and back.
//
// tape.py records and differentiates; here it is only played. One row per valid (sample, step), packed by time with the
// longest sample first, so that the rows of step t are the first count[t] samples. Rows go through the list in blocks that
// stay in the cache, and each thread owns samples, never parts of one.
#pragma once
#include "vectors.h"

// Mirrored field by field in tape.py.
struct Space {
  void *p;         // LOCAL, SUM: elements before it in a row of the scratch memory, in the sums
  i64 stride, by;  // elements from row to row; which row a pass reads: see By
  i64 step;        // GRID: elements from time to time
};
struct Move {
  i64 kind, add, width, matrix;              // `to` gets the result, or it is added to what stands there
  i64 to, to_at, a, a_at, b, b_at, c, c_at;  // number of a space and offset of the first element in its row
  double s, s2;
};
struct Matrix {
  const void *p;
  i64 k, n, row, column;  // (k, n) and its strides
};
struct Play {
  i64 threads, T, B, block, backward, scratch, sums;
  const i64 *count, *first;  // samples alive at step t, rows before it
  const Move *moves;
  i64 n_moves;
  const Space *spaces;
  i64 n_spaces;
  const Matrix *matrices;
  i64 n_matrices;
  void *sum;  // (threads, sums): gradients of what all rows share
};

namespace {

// One row for all; a row of all packed by time; of the sample; of the block; of the thread; of the sample at that time;
// and of all packed by time where those of the start come first: the row itself, and that of the step before.
enum By { FIXED, ROW, SAMPLE, LOCAL, SUM, GRID, AFTER, BEFORE };
enum Kind {
  FILL, COPY, PLUS, TIMES, OVER, LINEAR, SIGMOID, TANH, RELU_, EXP, LOG, LOGSIGMOID, SOFTPLUS, SQRT, ABS, MOST_OF,
  LEAST_OF, EXPAND, TOTAL, PRODUCT, NORMAL, D_SIGMOID, D_TANH, D_RELU, D_OVER, D_LOGSIGMOID, D_SOFTPLUS, D_SQRT, D_ABS,
  D_MOST, D_LEAST, D_NORMAL, SUM_ROWS, SUM_TIMES, OUTER
};

template <class T, class V, class F> INLINE V lanewise(V x, F f) {
  for (int i = 0; i < Lanes<T>::N; i++) x[i] = f(x[i]);
  return x;
}

// to (+)= f(a, b, c) over n rows of `width`; arguments that f has not are not read.
template <class T, int ARGS, class F>
INLINE void each(i64 n, const Move &m, T *to, i64 ts, const T *a, i64 as, const T *b, i64 bs, const T *c, i64 cs, F f) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  for (i64 q = 0; q < n; q++, to += ts, a += as, b += bs, c += cs) {
    i64 u = 0;
    for (; u + N <= m.width; u += N) {
      V v = f(ARGS > 0 ? load(a + u) : V{}, ARGS > 1 ? load(b + u) : V{}, ARGS > 2 ? load(c + u) : V{});
      if (m.add) v += load(to + u);
      store(to + u, v);
    }
    if (u < m.width) {
      const int k = (int)(m.width - u);
      V v = f(ARGS > 0 ? get(a + u, k) : V{}, ARGS > 1 ? get(b + u, k) : V{}, ARGS > 2 ? get(c + u, k) : V{});
      if (m.add) v += get(to + u, k);
      put(to + u, v, k);
    }
  }
}

template <class T, bool TIMES_B> void sum_rows(i64 n, const Move &m, T *to, const T *a, i64 as, const T *b, i64 bs) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  for (i64 u = 0; u < m.width; u += N) {
    const int k = lanes_at(m.width, u, N);
    V sum = get(to + u, k);
    for (i64 q = 0; q < n; q++) {
      const V x = get(a + q * as + u, k);
      sum += TIMES_B ? x * get(b + q * bs + u, k) : x;
    }
    put(to + u, sum, k);
  }
}

template <class T> T sum_of(const T *a, const T *b, i64 width) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  V sum = V{};
  for (i64 u = 0; u < width; u += N) {
    const int k = lanes_at(width, u, N);
    V x = get(a + u, k);
    if (b) x *= get(b + u, k);
    if (k < N) for (int i = k; i < N; i++) x[i] = 0;
    sum += x;
  }
  return total<T>(sum);
}

// (x - mean) / deviation of each row; c keeps mean and 1 / deviation.
template <class T> void normal(i64 n, const Move &m, T *to, i64 ts, const T *a, i64 as, T *c, i64 cs) {
  for (i64 q = 0; q < n; q++, to += ts, a += as, c += cs) {
    const T mean = sum_of<T>(a, 0, m.width) / m.width;
    for (i64 u = 0; u < m.width; u++) to[u] = a[u] - mean;
    const T scale = 1 / __builtin_sqrt(double(sum_of<T>(to, to, m.width) / m.width) + m.s);
    for (i64 u = 0; u < m.width; u++) to[u] *= scale;
    c[0] = mean, c[1] = scale;
  }
}
template <class T>
void d_normal(i64 n, const Move &m, T *to, i64 ts, const T *g, i64 gs, const T *x, i64 xs, const T *c, i64 cs) {
  for (i64 q = 0; q < n; q++, to += ts, g += gs, x += xs, c += cs) {
    const T mean = sum_of<T>(g, 0, m.width) / m.width, slope = sum_of<T>(g, x, m.width) / m.width;
    for (i64 u = 0; u < m.width; u++) {
      const T d = (g[u] - mean - x[u] * slope) * c[1];
      to[u] = m.add ? to[u] + d : d;
    }
  }
}

// to (+)= a M, M packed in panels of up to four vectors of columns.
template <class T> void product(i64 n, const Move &m, const Matrix &M, const T *panel, T *to, i64 ts, const T *a, i64 as) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  T z[SCRATCH] __attribute__((aligned(64)));
  const i64 width = padded<T>(M.n);
  for (i64 u = 0; u < width; u += 4 * N) {
    const int NV = (int)((width - u) / N < 4 ? (width - u) / N : 4);
    blocks(n, MOST[NV], [&](i64 r, int rows) {
      TILES<T>[NV][rows](a + r * as, as, panel, M.k, z);
      for (int q = 0; q < rows; q++)
        for (int v = 0; v < NV; v++) {
          T *at = to + (r + q) * ts + u + v * N;
          const int k = lanes_at(M.n, u + v * N, N);
          V x = load(z + (q * NV + v) * N);
          if (m.add) x += get(at, k);
          put(at, x, k);
        }
    });
    panel += M.k * NV * N;
  }
}
// to[i][j] += sum over rows of a[row][i] b[row][j], for MR columns of a and NV vectors of columns of b.
template <class T, int MR, int NV> void outer_tile(i64 n, T *to, i64 ld, const T *a, i64 as, const T *b, i64 bs, int last) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  V sum[MR][NV];
  UNROLL for (int i = 0; i < MR; i++)
    UNROLL for (int j = 0; j < NV; j++) sum[i][j] = j < NV - 1 ? load(to + i * ld + j * N) : get(to + i * ld + j * N, last);
  for (i64 q = 0; q < n; q++, a += as, b += bs) {
    V column[NV];
    UNROLL for (int j = 0; j < NV; j++) column[j] = j < NV - 1 ? load(b + j * N) : get(b + j * N, last);
    UNROLL for (int i = 0; i < MR; i++)
      UNROLL for (int j = 0; j < NV; j++) sum[i][j] += a[i] * column[j];
  }
  UNROLL for (int i = 0; i < MR; i++)
    UNROLL for (int j = 0; j < NV; j++)
      if (j < NV - 1) store(to + i * ld + j * N, sum[i][j]);
      else put(to + i * ld + j * N, sum[i][j], last);
}
template <class T, int NV> void outer_columns(i64 n, i64 k, T *to, i64 ld, const T *a, i64 as, const T *b, i64 bs, int last) {
  enum { MR = NV == 4 && VB == 64 ? 6 : 4 };
  i64 i = 0;
  for (; i + MR <= k; i += MR) outer_tile<T, MR, NV>(n, to + i * ld, ld, a + i, as, b, bs, last);
  for (; i < k; i++) outer_tile<T, 1, NV>(n, to + i * ld, ld, a + i, as, b, bs, last);
}
template <class T> void outer(i64 n, i64 k, i64 width, T *to, const T *a, i64 as, const T *b, i64 bs) {
  enum { N = Lanes<T>::N, MOST_NV = VB == 64 ? 4 : 2 };
  for (i64 u = 0; u < width; u += MOST_NV * N) {
    const i64 left = width - u < MOST_NV * N ? width - u : MOST_NV * N;
    const int NV = (int)((left + N - 1) / N), last = (int)(left - (NV - 1) * N);
    if (NV == 1) outer_columns<T, 1>(n, k, to + u, width, a, as, b + u, bs, last);
    else if (NV == 2) outer_columns<T, 2>(n, k, to + u, width, a, as, b + u, bs, last);
    else if (NV == 3) outer_columns<T, 3>(n, k, to + u, width, a, as, b + u, bs, last);
    else outer_columns<T, 4>(n, k, to + u, width, a, as, b + u, bs, last);
  }
}
template <class T> void pack_matrix(const Matrix &M, T *to) {
  enum { N = Lanes<T>::N };
  const T *from = (const T *)M.p;
  const i64 width = padded<T>(M.n);
  for (i64 u = 0; u < width; u += 4 * N) {
    const i64 step = (width - u < 4 * N ? width - u : 4 * N);
    for (i64 k0 = 0; k0 < M.k; k0 += 32) {
      const i64 end = k0 + 32 < M.k ? k0 + 32 : M.k;
      if (M.column == 1)
        for (i64 k = k0; k < end; k++)
          for (i64 j = 0; j < step; j++) to[k * step + j] = u + j < M.n ? from[k * M.row + u + j] : 0;
      else
        for (i64 j = 0; j < step; j++)
          for (i64 k = k0; k < end; k++) to[k * step + j] = u + j < M.n ? from[k * M.row + (u + j) * M.column] : 0;
    }
    to += M.k * step;
  }
}

template <class T> struct Player {
  const Play *play;
  T *const *panels;
  i64 from, to, number;  // samples of this thread, and which thread
  T *local;
};

template <class T> void perform(const Player<T> &w, const Move &m, i64 n, T *const *base) {
  typedef typename Lanes<T>::V V;
  const Space *S = w.play->spaces;
  T *to = base[m.to] + m.to_at;
  const T *a = base[m.a] + m.a_at, *b = base[m.b] + m.b_at, *c = base[m.c] + m.c_at;
  const i64 ts = S[m.to].stride, as = S[m.a].stride, bs = S[m.b].stride, cs = S[m.c].stride;
  const V one = V{} + T(1), zero = V{}, half = V{} + T(0.5);
  const T s = (T)m.s, s2 = (T)m.s2;
#define MAP(KIND, ARGS, RESULT) \
  case KIND: return each<T, ARGS>(n, m, to, ts, a, as, b, bs, c, cs, [=](V x, V y, V z) -> V { return RESULT; });
  switch (m.kind) {
    MAP(FILL, 0, zero + s)
    MAP(COPY, 1, x)
    MAP(PLUS, 2, x + s * y)
    MAP(TIMES, 2, x * y)
    MAP(OVER, 2, x / y)
    MAP(LINEAR, 1, x * s + s2)
    MAP(SIGMOID, 1, sigmoid(x))
    MAP(TANH, 1, tanh_(x))
    MAP(RELU_, 1, x < zero ? zero : x)
    MAP(EXP, 1, exp_(x))
    MAP(LOG, 1, log_(x))
    MAP(LOGSIGMOID, 1, (x < zero ? x : zero) - log1p_exp(x))
    MAP(SOFTPLUS, 1, (x < zero ? zero : x) + log1p_exp(x))
    MAP(SQRT, 1, (lanewise<T, V>(x, [](T v) { return (T)__builtin_sqrt(v); })))
    MAP(ABS, 1, x < zero ? -x : x)
    MAP(MOST_OF, 2, x != x ? x : x > y ? x : y)
    MAP(LEAST_OF, 2, x != x ? x : x < y ? x : y)
    MAP(D_SIGMOID, 2, x * (y * (one - y)))
    MAP(D_TANH, 2, x * (one - y * y))
    MAP(D_RELU, 2, y > zero ? x : zero)
    MAP(D_OVER, 3, -(x * y) / z)
    MAP(D_LOGSIGMOID, 2, x * (one - exp_(y)))
    MAP(D_SOFTPLUS, 2, x * sigmoid(y))
    MAP(D_SQRT, 2, half * x / y)
    MAP(D_ABS, 2, y > zero ? x : y < zero ? -x : zero)
    MAP(D_MOST, 3, y > z ? x : y == z ? half * x : zero)
    MAP(D_LEAST, 3, y < z ? x : y == z ? half * x : zero)
    case EXPAND:
      for (i64 q = 0; q < n; q++)
        for (i64 u = 0; u < m.width; u++) to[q * ts + u] = a[q * as] * s + (m.add ? to[q * ts + u] : 0);
      return;
    case TOTAL:
      for (i64 q = 0; q < n; q++) to[q * ts] = s * sum_of<T>(a + q * as, 0, m.width) + (m.add ? to[q * ts] : 0);
      return;
    case PRODUCT: return product<T>(n, m, w.play->matrices[m.matrix], w.panels[m.matrix], to, ts, a, as);
    case NORMAL: return normal<T>(n, m, to, ts, a, as, (T *)c, cs);
    case D_NORMAL: return d_normal<T>(n, m, to, ts, a, as, b, bs, c, cs);
    case SUM_ROWS: return sum_rows<T, false>(n, m, to, a, as, a, as);
    case OUTER: return outer<T>(n, w.play->matrices[m.matrix].n, m.width, to, a, as, b, bs);  // M turned: (n, k)
    case SUM_TIMES: return sum_rows<T, true>(n, m, to, a, as, b, bs);
  }
#undef MAP
}

template <class T> void play_part(Player<T> &w) {
  const Play &p = *w.play;
  T *base[64];
  for (i64 i = 0; i < p.T; i++) {
    const i64 t = p.backward ? p.T - 1 - i : i, end = w.to < p.count[t] ? w.to : p.count[t];
    for (i64 r = w.from; r < end; r += p.block) {
      const i64 n = end - r < p.block ? end - r : p.block;
      for (i64 k = 0; k < p.n_spaces; k++) {
        const Space &s = p.spaces[k];
        i64 row = 0;
        if (s.by == ROW) row = p.first[t] + r;
        else if (s.by == SAMPLE || s.by == GRID) row = r;
        else if (s.by == AFTER) row = p.B + p.first[t] + r;
        else if (s.by == BEFORE) row = t ? p.B + p.first[t - 1] + r : r;
        base[k] = (s.by == LOCAL ? w.local + (i64)s.p * p.block : s.by == SUM ? (T *)p.sum + w.number * p.sums + (i64)s.p : (T *)s.p) + row * s.stride + t * s.step;
      }
      for (i64 k = 0; k < p.n_moves; k++) perform<T>(w, p.moves[k], n, base);
    }
  }
}

// 0; or -2, no memory; or -3, more spaces than there is room for.
template <class T> i64 play_all(const Play &p) {
  if (p.n_spaces > 64 || p.threads > 256) return -3;
  i64 size = p.threads * p.block * p.scratch, packed = 0;
  for (i64 k = 0; k < p.n_matrices; k++) packed += p.matrices[k].k * padded<T>(p.matrices[k].n);
  T *memory = aligned<T>(size + packed + 64);
  T **panels = (T **)malloc((p.n_matrices + 1) * sizeof(T *));
  Player<T> *works = (Player<T> *)malloc(p.threads * sizeof(Player<T>));
  i64 result = 0;
  if (!memory || !panels || !works) result = -2;
  else {
    T *to = memory + size;
    for (i64 k = 0; k < p.n_matrices; k++) {
      panels[k] = to;
      pack_matrix<T>(p.matrices[k], to);
      to += p.matrices[k].k * padded<T>(p.matrices[k].n);
    }
    for (i64 k = 0; k < p.threads; k++)
      works[k] = {&p, panels, k * p.B / p.threads, (k + 1) * p.B / p.threads, k, memory + k * p.block * p.scratch};
    run<Player<T>, play_part<T>>(works, p.threads);
  }
  free(memory), free(panels), free(works);
  return result;
}

}  // namespace
