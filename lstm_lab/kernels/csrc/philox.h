// Random bits by key: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
//
// The counter of a number is (unit, t / 4, sample, step of training), and word t % 4 is its value: no number depends on the
// batch's other samples, on the order in which numbers are drawn, or on the width of a vector. philox.py is the same in torch.
#pragma once
#include "vectors.h"

// Mirrored field by field in draws.py.
struct DrawCall {
  i64 threads, B, T, H;
  i64 key0, key1, step;
  i64 threshold, below;  // a bit is 1 where the word is below the threshold; where it is not below it, if `below` is 0
  const i64 *samples;    // (B,)
  uint16_t *bits;        // (B, T, ceil(H / 16)), unit u in bit u % 16 of word u / 16; or null
  uint8_t *bytes;        // (B, T, H), one byte each; or null
};

namespace {

typedef uint32_t Vu __attribute__((vector_size(VB)));
typedef uint64_t Vw __attribute__((vector_size(VB)));
const int LANES = VB / 4;

// High and low words of a * m in each lane.
INLINE void multiply(Vu a, uint32_t m, Vu &high, Vu &low) {
#if VB == 64
  const __m512i x = (__m512i)a, y = _mm512_set1_epi32((int)m);
  const __m512i even = _mm512_mul_epu32(x, y), odd = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), y);
  high = (Vu)_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
  low = (Vu)_mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
#elif VB == 32
  const __m256i x = (__m256i)a, y = _mm256_set1_epi32((int)m);
  const __m256i even = _mm256_mul_epu32(x, y), odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), y);
  high = (Vu)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
  low = (Vu)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
#else
  for (int i = 0; i < LANES; i++) {
    const uint64_t p = (uint64_t)a[i] * m;
    high[i] = (uint32_t)(p >> 32), low[i] = (uint32_t)p;
  }
#endif
}

// Ten rounds, in place.
INLINE void philox(Vu c[4], uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    Vu high0, low0, high1, low1;
    multiply(c[0], 0xD2511F53u, high0, low0);
    multiply(c[2], 0xCD9E8D57u, high1, low1);
    c[0] = high1 ^ c[1] ^ k0, c[1] = low1, c[2] = high0 ^ c[3] ^ k1, c[3] = low0;
  }
}

INLINE uint32_t bits_below(Vu word, uint32_t threshold) {
#if VB == 64
  return _mm512_cmplt_epu32_mask((__m512i)word, _mm512_set1_epi32((int)threshold));
#else
  uint32_t bits = 0;
  for (int i = 0; i < LANES; i++) bits |= (uint32_t)(word[i] < threshold) << i;
  return bits;
#endif
}

// One thread's samples.
struct DrawWork {
  const DrawCall *call;
  i64 from, to;
};

void draw_samples(DrawWork &w) {
  const DrawCall &j = *w.call;
  const i64 wide = (j.H + 15) / 16;
  const uint32_t flip = j.below ? 0 : 0xffff, threshold = (uint32_t)j.threshold;
  Vu lane;
  for (int i = 0; i < LANES; i++) lane[i] = i;
  for (i64 b = w.from; b < w.to; b++)
    for (i64 t = 0; t < j.T; t += 4)
      for (i64 v = 0; v < wide; v++) {
        uint32_t bits[4] = {};
        for (int at = 0; at < 16; at += LANES) {
          Vu c[4] = {lane + (uint32_t)(v * 16 + at), Vu{} + (uint32_t)(t / 4), Vu{} + (uint32_t)j.samples[b], Vu{} + (uint32_t)j.step};
          philox(c, (uint32_t)j.key0, (uint32_t)j.key1);
          for (int k = 0; k < 4; k++) bits[k] |= bits_below(c[k], threshold) << at;
        }
        for (i64 k = 0; k < 4 && t + k < j.T; k++) {
          const uint32_t word = bits[k] ^ flip;
          if (j.bits) j.bits[(b * j.T + t + k) * wide + v] = (uint16_t)word;
          uint8_t *bytes = j.bytes ? j.bytes + (b * j.T + t + k) * j.H + v * 16 : 0;
          for (int i = 0; bytes && i < 16 && v * 16 + i < j.H; i++) bytes[i] = word >> i & 1;
        }
      }
}

void draw(const DrawCall &j) {
  i64 threads = j.B * j.T * j.H / 1000000;  // a thread costs some ten microseconds to start
  threads = threads < j.threads ? threads : j.threads;
  threads = threads < j.B ? threads : j.B;
  threads = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
  DrawWork works[MAX_THREADS];
  for (i64 k = 0; k < threads; k++) works[k] = {&j, k * j.B / threads, (k + 1) * j.B / threads};
  run_threads<DrawWork, draw_samples>(works, threads);
}

// Four words for each of n counters, all (n, 4).
void philox_words(const uint32_t *counters, i64 n, i64 key0, i64 key1, uint32_t *words) {
  for (i64 i = 0; i < n; i++) {
    Vu c[4];
    for (int k = 0; k < 4; k++) c[k] = Vu{} + counters[i * 4 + k];
    philox(c, (uint32_t)key0, (uint32_t)key1);
    for (int k = 0; k < 4; k++) words[i * 4 + k] = c[k][LANES - 1];
  }
}

}  // namespace
