// The operations of a tape, on blocks of rows. Mirrored in tape.py (Operation) and tape_call.py (Instruction, Matrix).
#pragma once
#include "vectors.h"

struct Instruction {
  i64 operation, accumulate, width, matrix;    // `to` is set to the result, or the result is added to it
  i64 to, to_at, a, a_at, b, b_at, c, c_at;    // index of a buffer, and offset of the first element in its row
  double scale, shift;
};
struct Matrix {
  const void *p;
  i64 k, n, row_stride, column_stride;  // shape (k, n)
};

namespace {

// D_*: derivatives; a is the gradient of the result. SUM_ROWS and SUM_PRODUCTS add up over rows, OUTER too.
enum class Operation : i64 {
  FILL, COPY, ADD, MUL, DIV, AFFINE, SIGMOID, TANH, RELU, EXP, LOG, LOGSIGMOID, SOFTPLUS, SQRT, ABS, MAX, MIN,
  EXPAND, SUM, MATMUL, NORMALIZE, D_SIGMOID, D_TANH, D_RELU, D_DIV, D_LOGSIGMOID, D_SOFTPLUS, D_SQRT, D_ABS,
  D_MAX, D_MIN, D_NORMALIZE, SUM_ROWS, SUM_PRODUCTS, OUTER
};

template <class T, class V, class F> INLINE V lanewise(V x, F f) {
  for (int i = 0; i < Lanes<T>::N; i++) x[i] = f(x[i]);
  return x;
}

// to (+)= f(a, b, c) over n rows of `width`; of a, b, c the first ARGS are read.
template <class T, int ARGS, class F>
INLINE void each(i64 n, const Instruction &m, T *to, i64 ts, const T *a, i64 as, const T *b, i64 bs, const T *c, i64 cs, F f) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  for (i64 q = 0; q < n; q++, to += ts, a += as, b += bs, c += cs) {
    i64 u = 0;
    for (; u + N <= m.width; u += N) {
      V v = f(ARGS > 0 ? load(a + u) : V{}, ARGS > 1 ? load(b + u) : V{}, ARGS > 2 ? load(c + u) : V{});
      if (m.accumulate) v += load(to + u);
      store(to + u, v);
    }
    if (u < m.width) {
      const int k = (int)(m.width - u);
      V v = f(ARGS > 0 ? load_n(a + u, k) : V{}, ARGS > 1 ? load_n(b + u, k) : V{}, ARGS > 2 ? load_n(c + u, k) : V{});
      if (m.accumulate) v += load_n(to + u, k);
      store_n(to + u, v, k);
    }
  }
}

template <class T, bool TIMES_B> void sum_rows(i64 n, const Instruction &m, T *to, const T *a, i64 as, const T *b, i64 bs) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  for (i64 u = 0; u < m.width; u += N) {
    const int k = lanes_at(m.width, u, N);
    V sum = load_n(to + u, k);
    for (i64 q = 0; q < n; q++) {
      const V x = load_n(a + q * as + u, k);
      sum += TIMES_B ? x * load_n(b + q * bs + u, k) : x;
    }
    store_n(to + u, sum, k);
  }
}

template <class T> T sum_of(const T *a, const T *b, i64 width) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  V sum = V{};
  for (i64 u = 0; u < width; u += N) {
    const int k = lanes_at(width, u, N);
    V x = load_n(a + u, k);
    if (b) x *= load_n(b + u, k);
    if (k < N) for (int i = k; i < N; i++) x[i] = 0;
    sum += x;
  }
  return sum_lanes<T>(sum);
}

// (x - mean) / std of each row; c receives mean and 1 / std.
template <class T> void normalize(i64 n, const Instruction &m, T *to, i64 ts, const T *a, i64 as, T *c, i64 cs) {
  for (i64 q = 0; q < n; q++, to += ts, a += as, c += cs) {
    const T mean = sum_of<T>(a, 0, m.width) / m.width;
    for (i64 u = 0; u < m.width; u++) to[u] = a[u] - mean;
    const T scale = 1 / __builtin_sqrt(double(sum_of<T>(to, to, m.width) / m.width) + m.scale);
    for (i64 u = 0; u < m.width; u++) to[u] *= scale;
    c[0] = mean, c[1] = scale;
  }
}
template <class T>
void d_normalize(i64 n, const Instruction &m, T *to, i64 ts, const T *g, i64 gs, const T *x, i64 xs, const T *c, i64 cs) {
  for (i64 q = 0; q < n; q++, to += ts, g += gs, x += xs, c += cs) {
    const T mean = sum_of<T>(g, 0, m.width) / m.width, slope = sum_of<T>(g, x, m.width) / m.width;
    for (i64 u = 0; u < m.width; u++) {
      const T d = (g[u] - mean - x[u] * slope) * c[1];
      to[u] = m.accumulate ? to[u] + d : d;
    }
  }
}

// to (+)= a M, M packed in panels of up to four vectors of columns.
template <class T> void matmul(i64 n, const Instruction &m, const Matrix &M, const T *panel, T *to, i64 ts, const T *a, i64 as) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  T z[TILE_SIZE] __attribute__((aligned(64)));
  const i64 width = padded<T>(M.n);
  for (i64 u = 0; u < width; u += 4 * N) {
    const int NV = (int)((width - u) / N < 4 ? (width - u) / N : 4);
    for_blocks(n, MAX_ROWS[NV], [&](i64 r, int rows) {
      TILES<T>[NV][rows](a + r * as, as, panel, M.k, z);
      for (int q = 0; q < rows; q++)
        for (int v = 0; v < NV; v++) {
          T *at = to + (r + q) * ts + u + v * N;
          const int k = lanes_at(M.n, u + v * N, N);
          V x = load(z + (q * NV + v) * N);
          if (m.accumulate) x += load_n(at, k);
          store_n(at, x, k);
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
    UNROLL for (int j = 0; j < NV; j++) sum[i][j] = j < NV - 1 ? load(to + i * ld + j * N) : load_n(to + i * ld + j * N, last);
  for (i64 q = 0; q < n; q++, a += as, b += bs) {
    V column[NV];
    UNROLL for (int j = 0; j < NV; j++) column[j] = j < NV - 1 ? load(b + j * N) : load_n(b + j * N, last);
    UNROLL for (int i = 0; i < MR; i++)
      UNROLL for (int j = 0; j < NV; j++) sum[i][j] += a[i] * column[j];
  }
  UNROLL for (int i = 0; i < MR; i++)
    UNROLL for (int j = 0; j < NV; j++)
      if (j < NV - 1) store(to + i * ld + j * N, sum[i][j]);
      else store_n(to + i * ld + j * N, sum[i][j], last);
}
// Rows of a and b wait until there are enough for a product that reads and writes the sums once: those of a few steps.
const i64 WAITING_ROWS = 192;
enum { OUTER_ROWS = VB == 64 ? 6 : 4, OUTER_VECTORS = VB == 64 ? 4 : 2 };  // of a tile of the sums

// Elements of the waiting rows of a (k wide) and b; a in blocks [row][OUTER_ROWS], b in panels [row][OUTER_VECTORS * N].
template <class T> i64 waiting_a(i64 k) { return WAITING_ROWS * ((k + 15) / 16 * 16); }
template <class T> i64 waiting_size(i64 k, i64 width) {
  const i64 panel = OUTER_VECTORS * Lanes<T>::N;
  return waiting_a<T>(k) + WAITING_ROWS * ((width + panel - 1) / panel * panel);
}
template <class T> void append_rows(i64 n, i64 k, i64 width, i64 waiting, T *to, const T *a, i64 as, const T *b, i64 bs) {
  const i64 panel = OUTER_VECTORS * Lanes<T>::N;
  T *to_b = to + waiting_a<T>(k);
  for (i64 q = 0; q < n; q++, a += as, b += bs) {
    const i64 row = waiting + q;
    for (i64 i = 0; i < k; i += OUTER_ROWS) {
      const i64 rows = k - i < OUTER_ROWS ? k - i : OUTER_ROWS;
      for (i64 j = 0; j < rows; j++) to[i * WAITING_ROWS + row * rows + j] = a[i + j];
    }
    for (i64 u = 0; u < width; u += panel)
      memcpy(to_b + u * WAITING_ROWS + row * panel, b + u, (width - u < panel ? width - u : panel) * sizeof(T));
  }
}
template <class T, int NV> void outer_columns(i64 n, i64 k, T *to, i64 ld, const T *a, const T *b, int last) {
  const i64 panel = OUTER_VECTORS * Lanes<T>::N, rest = k % OUTER_ROWS, whole = k - rest;
  for (i64 i = 0; i < whole; i += OUTER_ROWS)
    outer_tile<T, OUTER_ROWS, NV>(n, to + i * ld, ld, a + i * WAITING_ROWS, OUTER_ROWS, b, panel, last);
  for (i64 i = 0; i < rest; i++)
    outer_tile<T, 1, NV>(n, to + (whole + i) * ld, ld, a + whole * WAITING_ROWS + i, rest, b, panel, last);
}
// to (k, width) += a^T b, over n waiting rows.
template <class T> void add_outer(i64 n, i64 k, i64 width, T *to, const T *waiting) {
  enum { N = Lanes<T>::N };
  for (i64 u = 0; u < width; u += OUTER_VECTORS * N) {
    const T *b = waiting + waiting_a<T>(k) + u * WAITING_ROWS;
    const i64 left = width - u < OUTER_VECTORS * N ? width - u : OUTER_VECTORS * N;
    const int NV = (int)((left + N - 1) / N), last = (int)(left - (NV - 1) * N);
    if (NV == 1) outer_columns<T, 1>(n, k, to + u, width, waiting, b, last);
    else if (NV == 2) outer_columns<T, 2>(n, k, to + u, width, waiting, b, last);
#if VB == 64
    else if (NV == 3) outer_columns<T, 3>(n, k, to + u, width, waiting, b, last);
    else outer_columns<T, 4>(n, k, to + u, width, waiting, b, last);
#endif
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
      if (M.column_stride == 1)
        for (i64 k = k0; k < end; k++)
          for (i64 j = 0; j < step; j++) to[k * step + j] = u + j < M.n ? from[k * M.row_stride + u + j] : 0;
      else
        for (i64 j = 0; j < step; j++)
          for (i64 k = k0; k < end; k++) to[k * step + j] = u + j < M.n ? from[k * M.row_stride + (u + j) * M.column_stride] : 0;
    }
    to += M.k * step;
  }
}

}  // namespace
