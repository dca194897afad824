// `step_stack` with weights of 8 bits: a quarter of the memory to read, and four products in one operation.
//
// Each row of U and of W has its own scale (largest magnitude = 127), and so have h and x of each step. Sums of products are
// exact integers, the same on every CPU; what follows is computed in float32, as ever. `panels` of a LayerCall points here:
// two parts, U's and W's, of weights [row / 16][k / 4][row % 16][k % 4], scales, corrections, biases. Rows are gate by gate,
// each in whole vectors of 16.
#pragma once
#include "stack_step.h"

namespace {

struct Int8Part {
  i64 K, rows;             // both padded: to 4, and to 16 for each gate
  int8_t *weights;
  float *scales;
  int32_t *corrections;    // 128 times the sum of a row: activations are stored 128 higher, without a sign
  float *biases;
};

// The part at `memory`, whose end is moved behind it.
Int8Part int8_part(const LayerCall &j, i64 width, char *&memory) {
  Int8Part part;
  part.K = (width + 3) / 4 * 4, part.rows = num_gates(j) * ((j.H + 15) / 16 * 16);
  part.weights = (int8_t *)memory, memory += part.K * part.rows;
  part.scales = (float *)memory, memory += part.rows * 4;
  part.corrections = (int32_t *)memory, memory += part.rows * 4;
  part.biases = (float *)memory, memory += part.rows * 4;
  memory += (64 - (size_t)memory % 64) % 64;
  return part;
}

void pack_int8_part(const LayerCall &j, const Int8Part &part, const float *matrix, i64 width, const float *bias) {
  const i64 H = j.H, Hp = (H + 15) / 16 * 16;
  memset(part.weights, 0, part.K * part.rows);
  for (i64 row = 0; row < part.rows; row++) {
    const i64 unit = row % Hp, from = row / Hp * H + unit;
    const float *w = matrix + from * width;
    float most = 0;
    int32_t sum = 0;
    for (i64 k = 0; unit < H && k < width; k++) most = __builtin_fabsf(w[k]) > most ? __builtin_fabsf(w[k]) : most;
    for (i64 k = 0; most > 0 && k < width; k++) {
      const int q = (int)__builtin_rintf(w[k] / most * 127);
      part.weights[row / 16 * 16 * part.K + k / 4 * 64 + row % 16 * 4 + k % 4] = (int8_t)q, sum += q;
    }
    part.scales[row] = most / 127, part.corrections[row] = 128 * sum;
    part.biases[row] = bias && unit < H ? bias[from] : 0;
  }
}

// Packs a layer's weights into `panels`, if that is there. Returns its bytes.
i64 pack_layer_int8(const LayerCall &j) {
  char *memory = (char *)j.panels, *end = memory;
  const Int8Part U = int8_part(j, j.H, end), W = int8_part(j, j.I, end);
  if (memory) {
    pack_int8_part(j, U, (const float *)j.U, j.H, (const float *)j.b_hh);
    pack_int8_part(j, W, (const float *)j.W, j.I, (const float *)j.b_ih);
  }
  return end - memory;
}

// x as integers 1 ... 255 around 128; returns their scale, not a number where one of x is not finite.
float quantize(const float *x, i64 n, uint8_t *to) {
  float most = 0, spoilt = 0;
  for (i64 k = 0; k < n; k++) {
    const float a = __builtin_fabsf(x[k]);
    most = a > most ? a : most, spoilt += x[k] * 0;
  }
  const float scale = most > 0 && most < INFINITY ? 127 / most : 0;
  for (i64 k = 0; k < n; k++) {
    const float shifted = x[k] * scale + 12582912.0f;  // 1.5 * 2^23: the integer lands in the low bits
    int32_t bits;
    memcpy(&bits, &shifted, 4);
    to[k] = (uint8_t)(bits - 0x4b400000 + 128);
  }
  for (i64 k = n; k % 4; k++) to[k] = 128;
  return most / 127 + spoilt;
}

// sums[row] = sum_k a[k] weights[row][k] for 16 rows after the other.
void int8_products(const Int8Part &part, const uint8_t *a, int32_t *sums) {
  for (i64 row = 0; row < part.rows; row += 16) {
    const int8_t *w = part.weights + row * part.K;
    int32_t sum[16] = {};
    for (i64 k = 0; k < part.K; k += 4, w += 64)
      for (int m = 0; m < 16; m++)
        for (int i = 0; i < 4; i++) sum[m] += (int32_t)a[k + i] * w[4 * m + i];
    memcpy(sums + row, sum, sizeof sum);
  }
}
#if VB == 64
__attribute__((target("avx512f,avx512dq,avx512vnni"))) void int8_products_vnni(const Int8Part &part, const uint8_t *a,
                                                                               int32_t *sums) {
  const i64 panel = 16 * part.K, panels = part.rows / 16;
  for (i64 p = 0; p < panels; p += 4) {
    const int n = panels - p < 4 ? (int)(panels - p) : 4;
    const int8_t *w = part.weights + p * panel;
    const i64 second = n > 1 ? panel : 0, third = n > 2 ? 2 * panel : 0, fourth = n > 3 ? 3 * panel : 0;
    __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
    for (i64 k = 0; k < part.K; k += 4, w += 64) {
      int32_t four;
      memcpy(&four, a + k, 4);
      const __m512i x = _mm512_set1_epi32(four);
      s0 = _mm512_dpbusd_epi32(s0, x, _mm512_loadu_si512(w));
      s1 = _mm512_dpbusd_epi32(s1, x, _mm512_loadu_si512(w + second));
      s2 = _mm512_dpbusd_epi32(s2, x, _mm512_loadu_si512(w + third));
      s3 = _mm512_dpbusd_epi32(s3, x, _mm512_loadu_si512(w + fourth));
    }
    int32_t *to = sums + 16 * p;
    _mm512_storeu_si512(to, s0);
    if (n > 1) _mm512_storeu_si512(to + 16, s1);
    if (n > 2) _mm512_storeu_si512(to + 32, s2);
    if (n > 3) _mm512_storeu_si512(to + 48, s3);
  }
}
#endif

// z[row] = W x + b of a part.
void int8_rows(const Int8Part &part, const float *x, i64 width, uint8_t *quantized, int32_t *sums, float *z) {
  const float scale = quantize(x, width, quantized);
#if VB == 64
  if (__builtin_cpu_supports("avx512vnni")) int8_products_vnni(part, quantized, sums);
  else
#endif
    int8_products(part, quantized, sums);
  for (i64 row = 0; row < part.rows; row++)
    z[row] = (float)(sums[row] - part.corrections[row]) * (scale * part.scales[row]) + part.biases[row];
}

// The pointwise part of one row, from the products with h and x (gates, Hp): as in `lstm_or_rnn_rows` and its siblings.
void int8_pointwise(const LayerCall &j, const float *z_h, const float *z_x, const Destinations<float> &to) {
  enum { N = Lanes<float>::N };
  const i64 H = j.H, Hp = (H + 15) / 16 * 16, cells = padded<float>(H), id = 0;
  const Step step = {0, &id};
  const int G = num_gates(j);
  float z[8 * N] __attribute__((aligned(64)));
  float *gates = (float *)j.gates;
  for (i64 u = 0; u < H; u += N) {
    const int m = lanes_at(H, u, N);
    for (int g = 0; g < G; g++) {
      const Vf h = load(z_h + g * Hp + u), x = load(z_x + g * Hp + u);
      if (j.family == GRU) store(z + (g + 1) % 3 * N, h), store(z + (3 + g) * N, x);
      else if (j.family == NORM) store_n(gates + g * H + u, h, m), store_n(gates + (4 + g) * H + u, x, m);
      else store(z + g * N, h + x);
    }
    if (j.family == GRU) gru_forward<float, false>(j, z, z + 3 * N, u, 0, 1, to, 0, cells, step);
    else if (j.family == RNN) rnn_forward<float, false>(j, z, N, u, 0, 1, to, 0, cells, step);
    else if (j.family == LSTM) lstm_forward<float, false, false>(j, z, G * N, u, 0, 1, to, 0, cells, step);
  }
  if (j.family == NORM) norm_forward<float, false, 1>(j, 0, to.h, to.c, to.out, cells, &id, 0);
}

// As step_stack; `scratch` holds 12 bytes for each padded row of a layer, and one for each value that is multiplied.
void step_stack_int8(const LayerCall *layers, i64 n, const float *x, char *scratch) {
  const FlushResults flush(true);
  if (n) memcpy((float *)layers[0].rows + layers[0].H + 1, x, layers[0].I * sizeof(float));
  for (i64 k = 0; k < n; k++) {
    const LayerCall &j = layers[k];
    char *memory = (char *)j.panels;
    const Int8Part U = int8_part(j, j.H, memory), W = int8_part(j, j.I, memory);
    float *row = (float *)j.rows, *z_h = (float *)scratch, *z_x = z_h + U.rows;
    int32_t *sums = (int32_t *)(z_x + U.rows);
    uint8_t *quantized = (uint8_t *)(sums + U.rows);
    int8_rows(U, row, j.H, quantized, sums, z_h);
    int8_rows(W, row + j.H + 1, j.I, quantized, sums, z_x);
    float *h = (float *)j.hT, *c = (float *)j.cT, *out = (float *)j.out;
    int8_pointwise(j, z_h, z_x, {&h, &c, &out});
    memcpy(row, h, j.H * sizeof(float));
    if (has_cell_state(j)) memcpy(j.cells, c, j.H * sizeof(float));
  }
}

}  // namespace
