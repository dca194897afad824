// Vectors of the instruction set, elementary functions, the small matrix kernel, memory and threads.
// Compiled once per instruction set: ISA and VB, the vector's bytes, come from the build.
#pragma once

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__SSE__)
#include <immintrin.h>
#endif

#define PASTE2(a, b) a##_##b
#define PASTE(a, b) PASTE2(a, b)
#define UNROLL _Pragma("GCC unroll 16")

typedef int64_t i64;

namespace {

// ---------------------------------------------------------------------------------------------------- vectors
template <class T> struct Lanes;
template <> struct Lanes<float> {
  typedef float V __attribute__((vector_size(VB)));
  typedef int32_t M __attribute__((vector_size(VB)));
  enum { N = VB / 4 };
};
template <> struct Lanes<double> {
  typedef double V __attribute__((vector_size(VB)));
  typedef int64_t M __attribute__((vector_size(VB)));
  enum { N = VB / 8 };
};
typedef Lanes<float>::V Vf;
typedef Lanes<double>::V Vd;

#define INLINE static inline __attribute__((always_inline))

template <class T> INLINE typename Lanes<T>::V load(const T *p) {
  typename Lanes<T>::V v;
  memcpy(&v, p, sizeof v);
  return v;
}
template <class T, class V> INLINE void store(T *p, V v) { memcpy(p, &v, sizeof v); }

// The first m lanes only; memory behind them is never accessed.
template <class T> INLINE typename Lanes<T>::V load_n(const T *p, int m) {
  if (__builtin_expect(m >= Lanes<T>::N, 1)) return load(p);
#if VB == 64
  typedef typename Lanes<T>::V V;
  if (sizeof(T) == 4) return (V)_mm512_maskz_loadu_ps((__mmask16)((1u << m) - 1), p);
  return (V)_mm512_maskz_loadu_pd((__mmask8)((1u << m) - 1), p);
#else
  T lanes[Lanes<T>::N] = {};
  for (int i = 0; i < m; i++) lanes[i] = p[i];
  return load(lanes);
#endif
}
template <class T, class V> INLINE void store_n(T *p, V v, int m) {
  if (__builtin_expect(m >= Lanes<T>::N, 1)) return store(p, v);
#if VB == 64
  if (sizeof(T) == 4) _mm512_mask_storeu_ps(p, (__mmask16)((1u << m) - 1), (__m512)v);
  else _mm512_mask_storeu_pd(p, (__mmask8)((1u << m) - 1), (__m512d)v);
#else
  for (int i = 0; i < m; i++) p[i] = v[i];
#endif
}

// Clamp to low..high. NaN passes through: its comparisons are false.
template <class V, class T> INLINE V clamp(V x, T low, T high) {
  V lo = V{} + low, hi = V{} + high;
#if VB == 64
  if (sizeof(T) == 4) return (V)_mm512_min_ps((__m512)hi, _mm512_max_ps((__m512)lo, (__m512)x));
  return (V)_mm512_min_pd((__m512d)hi, _mm512_max_pd((__m512d)lo, (__m512d)x));
#elif VB == 32
  if (sizeof(T) == 4) return (V)_mm256_min_ps((__m256)hi, _mm256_max_ps((__m256)lo, (__m256)x));
  return (V)_mm256_min_pd((__m256d)hi, _mm256_max_pd((__m256d)lo, (__m256d)x));
#else
  x = x < lo ? lo : x;
  return x > hi ? hi : x;
#endif
}

// ----------------------------------------------------------------------------------------- elementary functions
// x = n + r, |r| <= 1/2; scale = 2^n, |n| <= 126.
INLINE Vf split_exponent(Vf x, Vf &scale) {
#if VB == 64
  Vf n = (Vf)_mm512_roundscale_ps((__m512)x, 8);
  scale = (Vf)_mm512_scalef_ps((__m512)(Vf{} + 1.0f), (__m512)n);
  return x - n;
#else
  typedef Lanes<float>::M M;
  Vf shifted = x + 12582912.0f;  // 1.5 * 2^23: the integer part lands in the low bits
  scale = (Vf)(((M)shifted << 23) + 0x3f800000);
  return x - (shifted - 12582912.0f);
#endif
}
// a / d: an estimate to 14 bits and one correction of the quotient itself, so that only the last rounding remains.
INLINE Vf quotient(Vf a, Vf d) {
#if VB == 64
  const Vf y = (Vf)_mm512_rcp14_ps((__m512)d), q = a * y;
  return q + y * (a - d * q);
#else
  return a / d;
#endif
}
INLINE Vf sigmoid(Vf x) {
  Vf scale, r = split_exponent(clamp(x * -1.44269504f, -126.0f, 126.0f), scale);
  Vf p = (((0.00133335387f * r + 0.00966624557f) * r + 0.0555050021f) * r + 0.240223513f) * r + 0.693147144f;
  return quotient(Vf{} + 1.0f, (p * r + 1.0f) * scale + 1.0f);
}
// By e^2x - 1, so that small arguments lose no digits.
INLINE Vf tanh_(Vf x) {
  Vf scale, r = split_exponent(clamp(x * 2.88539008f, -27.0f, 27.0f), scale);
  Vf p = 0.000154035128f * r + 0.00133907356f;  // (2^r - 1) / r, minimax
  p = (((p * r + 0.00961823749f) * r + 0.0555035743f) * r + 0.240226498f) * r + 0.693147188f;
  Vf m = (p * r) * scale + (scale - 1.0f);
  return quotient(m, m + 2.0f);
}
// e^x = scale (1 + the returned value) in double: Taylor to the 13th power after reduction by a split ln 2.
INLINE Vd reduced_exp(Vd x, Vd &scale) {
  typedef Lanes<double>::M M;
  Vd shifted = x * 1.4426950408889634 + 6755399441055744.0;
  Vd n = shifted - 6755399441055744.0;
  scale = (Vd)(((M)shifted << 52) + 0x3ff0000000000000LL);
  Vd r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
  const double inverse_factorial[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880,
                                      1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1.0};
  Vd p = Vd{};
  for (double a : inverse_factorial) p = p * r + a;
  return p * r;
}
INLINE Vd expm1_(Vd x, Vd &scale) {
  Vd p = reduced_exp(x, scale);
  return p * scale + (scale - 1.0);
}
// Saturates at the smallest and the largest normal number instead of 0 and infinity.
INLINE Vd exp_(Vd x) {
  Vd scale, p = reduced_exp(clamp(x, -708.0, 709.0), scale);
  return p * scale + scale;
}
INLINE Vf exp_(Vf x) {
  x = clamp(x, -87.3f, 88.3f);
  Vf scale, y = x * 1.44269504f, rest = split_exponent(y, scale), n = y - rest;
  Vf r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Vf p = ((((1.9875691500e-4f * r + 1.3981999507e-3f) * r + 8.3334519073e-3f) * r + 4.1665795894e-2f) * r +
          1.6666665459e-1f) * r + 5.0000001201e-1f;
  return (p * r * r + r) * scale + scale;
}
INLINE Vd sigmoid(Vd x) {
  Vd scale;
  return 1.0 / (2.0 + expm1_(clamp(-x, -708.0, 708.0), scale));
}
INLINE Vd tanh_(Vd x) {
  Vd scale, m = expm1_(clamp(x + x, -60.0, 60.0), scale);
  return m / (m + 2.0);
}

// x = 2^e m, sqrt(1/2) <= m < sqrt(2); log m = 2 artanh((m - 1) / (m + 1)), whose series is short there.
template <class V, class M> INLINE V log_series(V x, V m, V e, double last, int terms) {
  const V s = (m - 1) / (m + 1), q = s * s;
  V p = V{} + (decltype(x[0] + 0))last;
  for (int k = terms; k >= 0; k--) p = p * q + (decltype(x[0] + 0))(2.0 / (2 * k + 1));
  const V zero = V{}, y = p * s + e * (decltype(x[0] + 0))0.69314718055994530942;
  const V not_a_number = zero / zero, infinity = 1 / zero;
  return x > zero ? (x < infinity ? y : x) : x == zero ? -infinity : not_a_number;
}
INLINE Vf log_(Vf x) {
  typedef Lanes<float>::M M;
  const M bits = (M)x - 0x3f3504f3, e = bits >> 23;
  return log_series<Vf, M>(x, (Vf)((bits & 0x007fffff) + 0x3f3504f3), __builtin_convertvector(e, Vf), 2.0 / 11, 4);
}
INLINE Vd log_(Vd x) {
  typedef Lanes<double>::M M;
  const M bits = (M)x - 0x3fe6a09e667f3bcdLL, e = bits >> 52;
  const Vd m = (Vd)((bits & 0xfffffffffffffLL) + 0x3fe6a09e667f3bcdLL);
  return log_series<Vd, M>(x, m, __builtin_convertvector(e, Vd), 2.0 / 23, 10);
}
// log(1 + e^-|x|), corrected by the rounding error of 1 + e^-|x|.
template <class V> INLINE V log1p_exp(V x) {
  const V u = exp_(x < V{} ? x : -x), w = u + 1;
  return log_(w) + (u - (w - 1)) / w;
}

// --------------------------------------------------------------------------------------------- matrix kernel
// out[i][j] = sum_k a[i][k] w[k][j] for MR rows and NV vectors of columns; the sums stay in registers.
template <class T, int MR, int NV>
void tile(const T *__restrict a, i64 lda, const T *__restrict w, i64 K, T *__restrict out) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  V sum[MR][NV];
  UNROLL for (int i = 0; i < MR; i++)
    UNROLL for (int j = 0; j < NV; j++) sum[i][j] = V{};
  for (i64 k = 0; k < K; k++, w += NV * N) {
    V column[NV];
    UNROLL for (int j = 0; j < NV; j++) column[j] = load(w + j * N);
    UNROLL for (int i = 0; i < MR; i++) {
      const T s = a[i * lda + k];
      UNROLL for (int j = 0; j < NV; j++) sum[i][j] += s * column[j];
    }
  }
  UNROLL for (int i = 0; i < MR; i++)
    UNROLL for (int j = 0; j < NV; j++) store(out + (i * NV + j) * N, sum[i][j]);
}

#if VB == 64
const int MAX_ROWS[5] = {0, 8, 8, 8, 6};  // rows per tile that fit 32 registers, by vectors per row
#else
const int MAX_ROWS[5] = {0, 6, 6, 4, 3};
#endif
template <class T> using Tile = void (*)(const T *, i64, const T *, i64, T *);
#define ROW8(NV) {0, tile<T, 1, NV>, tile<T, 2, NV>, tile<T, 3, NV>, tile<T, 4, NV>, tile<T, 5, NV>, tile<T, 6, NV>, \
                  tile<T, 7, NV>, tile<T, 8, NV>}
template <class T> const Tile<T> TILES[5][9] = {{}, ROW8(1), ROW8(2),
#if VB == 64
  ROW8(3), {0, tile<T, 1, 4>, tile<T, 2, 4>, tile<T, 3, 4>, tile<T, 4, 4>, tile<T, 5, 4>, tile<T, 6, 4>}};
#else
  {0, tile<T, 1, 3>, tile<T, 2, 3>, tile<T, 3, 3>, tile<T, 4, 3>}, {0, tile<T, 1, 4>, tile<T, 2, 4>, tile<T, 3, 4>}};
#endif
const int TILE_SIZE = 8 * 4 * 16;  // most elements of one tile

// f(first row, rows) over n rows in blocks of at most max_rows, as even as possible.
template <class F> INLINE void for_blocks(i64 n, int max_rows, F f) {
  if (n <= 0) return;
  i64 count = (n + max_rows - 1) / max_rows, size = n / count, larger = n % count;
  for (i64 b = 0, r = 0; b < count; b++) {
    int rows = (int)(size + (b < larger));
    f(r, rows);
    r += rows;
  }
}

// -------------------------------------------------------------------------------------------- memory and threads
template <class T> T *aligned(i64 elements) {
  void *p = 0;
  return posix_memalign(&p, 64, (elements < 16 ? 16 : elements) * sizeof(T)) ? 0 : (T *)p;
}
template <class T> i64 padded(i64 H) { return (H + Lanes<T>::N - 1) / Lanes<T>::N * Lanes<T>::N; }
INLINE int lanes_at(i64 H, i64 u, int N) { return H - u < N ? (int)(H - u) : N; }
template <class T> INLINE T sum_lanes(typename Lanes<T>::V v) {
  T sum = 0;
  for (int i = 0; i < Lanes<T>::N; i++) sum += v[i];
  return sum;
}

// While it lives, this thread's results below the smallest normal number are 0: gradients of steps long past and states that
// decay become subnormal, and each operation on such a number costs some hundred cycles. What is read stays as it is: a
// flushed denominator would turn a quotient into infinity. Nothing is set where the instructions are not x86's.
struct FlushResults {
#if defined(__SSE__)
  const unsigned before = _mm_getcsr();
  explicit FlushResults(bool on) { if (on) _mm_setcsr(before | _MM_FLUSH_ZERO_ON); }
  ~FlushResults() { _mm_setcsr(before); }
#else
  explicit FlushResults(bool) {}
#endif
  FlushResults(const FlushResults &) = delete;
};

const int MAX_THREADS = 256;
template <class W, void (*BODY)(W &)> void *start(void *work) {
  BODY(*(W *)work);
  return 0;
}

// Each part of the work on its own thread, the first on this one. If a thread cannot start, its part is done here.
template <class W, void (*BODY)(W &)> void run_threads(W *works, i64 n) {
  pthread_t ids[MAX_THREADS];
  bool started[MAX_THREADS];
  for (i64 p = 1; p < n; p++) started[p] = pthread_create(&ids[p], 0, start<W, BODY>, &works[p]) == 0;
  BODY(works[0]);
  for (i64 p = 1; p < n; p++) {
    if (started[p]) pthread_join(ids[p], 0);
    else BODY(works[p]);
  }
}

}  // namespace
