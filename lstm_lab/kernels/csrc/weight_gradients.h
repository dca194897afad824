// Gradients of a layer's weights: products of rows and gate gradients over all steps.
#pragma once
#include "layer.h"

namespace {

// p[i][j] += sum_n a[n][i] d[n][j] for MR entries of a row and NV vectors of gate gradients.
template <class T, int MR, int NV> void gradient_tile(const T *__restrict a, const T *__restrict d, i64 rows, T *__restrict p) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  V sum[MR][NV];
  UNROLL for (int i = 0; i < MR; i++)
    UNROLL for (int j = 0; j < NV; j++) {
      __builtin_prefetch(p + (i * NV + j) * N, 1);
      sum[i][j] = V{};
    }
  for (i64 n = 0; n < rows; n++, a += MR, d += NV * N) {
    V column[NV];
    UNROLL for (int j = 0; j < NV; j++) column[j] = load(d + j * N);
    UNROLL for (int i = 0; i < MR; i++) {
      const T s = a[i];
      UNROLL for (int j = 0; j < NV; j++) sum[i][j] += s * column[j];
    }
  }
  UNROLL for (int i = 0; i < MR; i++)
    UNROLL for (int j = 0; j < NV; j++) {
      T *to = p + (i * NV + j) * N;
      store(to, load(to) + sum[i][j]);
    }
}
template <class T> using GradientTile = void (*)(const T *, const T *, i64, T *);
#define TILES_1_TO_4(NV) 0, gradient_tile<T, 1, NV>, gradient_tile<T, 2, NV>, gradient_tile<T, 3, NV>, gradient_tile<T, 4, NV>
#define TILES_1_TO_6(NV) TILES_1_TO_4(NV), gradient_tile<T, 5, NV>, gradient_tile<T, 6, NV>
#define TILES_1_TO_8(NV) TILES_1_TO_6(NV), gradient_tile<T, 7, NV>, gradient_tile<T, 8, NV>
template <class T> const GradientTile<T> GRADIENT_TILES[5][9] = {  // by NV and MR, as MAX_ROWS allows
#if VB == 64
  {}, {TILES_1_TO_8(1)}, {TILES_1_TO_8(2)}, {TILES_1_TO_8(3)}, {TILES_1_TO_6(4)}};
#else
  {}, {TILES_1_TO_8(1)}, {TILES_1_TO_8(2)}, {TILES_1_TO_4(3)}, {TILES_1_TO_4(4)}};
#endif

// One of the products that give the gradients: rows[:, from : from + K]^T gates[:, column : column + C].
struct Product { i64 from, K, column, C; };
int gradient_products(const LayerCall &j, Product *products) {
  const i64 H = j.H, C = num_gates(j) * H;
  if (j.family == NORM) {  // the bias is not in the rows: it comes after the normalisation
    products[0] = {0, H, 0, C};
    products[1] = {H + 1, j.I, C, C};
    return 2;
  }
  if (j.family != GRU) return products[0] = {0, H + 1 + j.I, 0, C}, 1;
  products[0] = {0, H + 1, 0, C};
  products[1] = {H, 1 + j.I, H, C};
  return 2;
}

// Writes the sum for entry k of a row and gate column c into the gradient it belongs to.
template <class T> INLINE void write_gradient(const LayerCall &j, i64 k, i64 c, bool input_side, T value) {
  const i64 H = j.H, row = j.family != GRU || input_side ? c : c < H ? c + 2 * H : c - H;
  if (k < H) ((T *)j.dU)[row * H + k] = value;
  else if (k > H) ((T *)j.dW)[row * j.I + k - H - 1] = value;
  else {
    if (j.db_ih && (j.family != GRU || input_side)) ((T *)j.db_ih)[row] = value;
    if (j.db_hh && !(j.family == GRU && input_side)) ((T *)j.db_hh)[row] = value;
  }
}

const i64 BLOCK = 128;  // rows to sum over at once: as many gate gradients, one panel wide, stay in the cache

// Elements of all sums, [product][panel][entry of a row][lane]; and of the scratch of add_rows.
template <class T> i64 sums_size(const LayerCall &j) {
  Product products[2];
  i64 size = 0;
  for (int q = gradient_products(j, products) - 1; q >= 0; q--) size += products[q].K * padded<T>(products[q].C);
  return size;
}
template <class T> i64 pack_size(const LayerCall &j) { return BLOCK * (j.H + 1 + j.I + 4 * Lanes<T>::N) + 64; }

// Adds the contributions of n <= BLOCK rows to the sums.
template <class T> void add_rows(const LayerCall &j, i64 row, i64 n, T *scratch, T *sums) {
  enum { N = Lanes<T>::N };
  T *d = scratch, *a = scratch + BLOCK * 4 * N;
  Product products[2];
  const int count = gradient_products(j, products);
  for (int q = 0; q < count; q++) {
    const Product &P = products[q];
    int packed_for = 0;
    for (i64 c = 0; c < P.C; c += 4 * N) {
      const i64 wide = P.C - c < 4 * N ? P.C - c : 4 * N;
      const int NV = (int)((wide + N - 1) / N), max_rows = MAX_ROWS[NV];
      const T *gates = (const T *)j.gates + row * j.gates_stride + P.column + c;
      for (i64 r = 0; r < n; r++)
        for (int v = 0; v < NV; v++)
          store(d + (r * NV + v) * N, load_n(gates + r * j.gates_stride + v * N, lanes_at(wide, v * N, N)));
      if (packed_for != max_rows) {
        const T *rows = (const T *)j.rows + row * j.rows_stride + P.from;
        for_blocks(P.K, max_rows, [&](i64 k, int mr) {
          T *to = a + k * n;
          i64 r = 0;
          // Eight at a time: the next row overwrites the surplus, and the last rows go one by one.
          if (P.from + k + 8 <= j.rows_stride)
            for (; r < n - 8; r++) memcpy(to + r * mr, rows + r * j.rows_stride + k, 8 * sizeof(T));
          for (; r < n; r++)
            for (int i = 0; i < mr; i++) to[r * mr + i] = rows[r * j.rows_stride + k + i];
        });
        packed_for = max_rows;
      }
      for_blocks(P.K, max_rows, [&](i64 k, int mr) { GRADIENT_TILES<T>[NV][mr](a + k * n, d, n, sums + k * NV * N); });
      sums += P.K * NV * N;
    }
  }
}

// Adds the sums of all threads, in their order, and writes the gradients.
template <class T> void write_gradients(const LayerCall &j, T *sums, i64 threads) {
  enum { N = Lanes<T>::N };
  const i64 size = sums_size<T>(j);
  for (i64 p = 1; p < threads; p++)
    for (i64 i = 0; i < size; i++) sums[i] += sums[p * size + i];
  Product products[2];
  const int count = gradient_products(j, products);
  for (int q = 0; q < count; q++) {
    const Product &P = products[q];
    for (i64 c = 0; c < P.C; c += 4 * N) {
      const i64 wide = P.C - c < 4 * N ? P.C - c : 4 * N, NV = (wide + N - 1) / N;
      for (i64 k0 = 0; k0 < P.K; k0 += 16)
        for (i64 i = 0; i < wide; i++)
          for (i64 k = k0; k < P.K && k < k0 + 16; k++)
            write_gradient<T>(j, P.from + k, c + i, q == 1, sums[k * NV * N + i]);
      sums += P.K * NV * N;
    }
  }
}

}  // namespace
