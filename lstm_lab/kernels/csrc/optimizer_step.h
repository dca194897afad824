// Clipping by norm, and the step of Adam and AdamW, of all parameters of a small model in one call.
//
// What torch's own operators compute (ATen/native/cpu/FusedAdamKernel.cpp, ReduceOpsKernel.cpp), with their rounding: these
// work on 8 lanes whatever the CPU, and round the elements behind the last whole vector in another order. The caller
// compares with torch before it relies on that. Not there where this is compiled without AVX2.
#pragma once
#include <math.h>
#include "vectors.h"

// Mirrored field by field in optimizer_step.py.
struct OptimizerCall {
  i64 n;             // tensors
  const i64 *sizes;  // elements of each
  float *const *gradients, *const *parameters, *const *means, *const *squares, *const *steps;  // steps: () each
  double lr, beta1, beta2, weight_decay, eps;
  i64 decoupled;  // weight decay, as of AdamW
};

namespace {

#if defined(__AVX2__)
// The value as it is rounded to here, so that no product is contracted with a sum behind it.
INLINE __m256 rounded(__m256 v) {
  asm("" : "+x"(v));
  return v;
}
INLINE float rounded(float v) {
  asm("" : "+x"(v));
  return v;
}

float norm_of(const float *x, i64 n) {
  __m256 sums = _mm256_setzero_ps();
  i64 k = 0;
  for (; k + 8 <= n; k += 8) {
    const __m256 v = _mm256_loadu_ps(x + k);
    sums = _mm256_add_ps(sums, rounded(_mm256_mul_ps(v, v)));
  }
  float lanes[8], sum;
  _mm256_storeu_ps(lanes, sums);
  sum = lanes[0];
  for (int i = 1; i < 8; i++) sum += lanes[i];
  for (; k + 4 <= n; k += 4)  // as torch's compiler made it
    UNROLL for (int i = 0; i < 4; i++) sum += rounded(x[k + i] * x[k + i]);
  for (; k < n; k++) sum = __builtin_fmaf(x[k], x[k], sum);
  return sqrtf(sum);
}

// The norm of all gradients together, which are scaled so that it is at most `limit`; infinity: they are left as they are.
// `norms`: scratch (n).
float clip_norm(const OptimizerCall &p, double limit, float *norms) {
  for (i64 t = 0; t < p.n; t++) norms[t] = norm_of(p.gradients[t], p.sizes[t]);
  const float norm = norm_of(norms, p.n);
  if (!(limit < INFINITY)) return norm;
  float scale = rounded(1.0f / (norm + 1e-6f)) * (float)limit;
  if (scale > 1.0f) scale = 1.0f;
  for (i64 t = 0; t < p.n; t++)
    for (i64 k = 0; k < p.sizes[t]; k++) p.gradients[t][k] *= scale;
  return norm;
}

// beta1 > 1/2: below, torch interpolates from the other end.
void adam_tensor(const OptimizerCall &p, i64 t) {
  float *x = p.parameters[t], *g_ = p.gradients[t], *m_ = p.means[t], *v_ = p.squares[t];
  const float step = *p.steps[t] += 1;
  const double correction1 = 1 - pow(p.beta1, step), correction2 = 1 - pow(p.beta2, step);
  const float size = (float)(p.lr / correction1), root = (float)sqrt(correction2), eps = (float)p.eps;
  const float weight1 = (float)(1 - p.beta1), weight2 = (float)(1 - p.beta2), beta2 = (float)p.beta2;
  const float decay = (float)p.weight_decay, kept = (float)(1 - p.lr * p.weight_decay);
  const bool coupled = p.weight_decay != 0 && !p.decoupled, decoupled = p.weight_decay != 0 && p.decoupled;
  const __m256 W1 = _mm256_set1_ps(weight1), W2 = _mm256_set1_ps(weight2);
  i64 k = 0;
  for (; k + 8 <= p.sizes[t]; k += 8) {
    __m256 w = _mm256_loadu_ps(x + k), g = _mm256_loadu_ps(g_ + k), m = _mm256_loadu_ps(m_ + k), v = _mm256_loadu_ps(v_ + k);
    if (coupled) g = _mm256_fmadd_ps(w, _mm256_set1_ps(decay), g);
    if (decoupled) w = rounded(_mm256_mul_ps(w, _mm256_set1_ps(kept)));
    m = _mm256_fmadd_ps(W1, _mm256_sub_ps(g, m), m);
    v = _mm256_fmadd_ps(_mm256_mul_ps(W2, g), g, rounded(_mm256_mul_ps(v, _mm256_set1_ps(beta2))));
    const __m256 below = _mm256_add_ps(_mm256_div_ps(_mm256_sqrt_ps(v), _mm256_set1_ps(root)), _mm256_set1_ps(eps));
    w = _mm256_add_ps(w, _mm256_div_ps(_mm256_mul_ps(_mm256_set1_ps(-size), m), below));
    _mm256_storeu_ps(x + k, w), _mm256_storeu_ps(m_ + k, m), _mm256_storeu_ps(v_ + k, v);
  }
  for (; k < p.sizes[t]; k++) {
    float w = x[k], g = g_[k];
    if (coupled) g = __builtin_fmaf(w, decay, g);
    if (decoupled) w = rounded(w * kept);
    m_[k] = __builtin_fmaf(weight1, g - m_[k], m_[k]);
    v_[k] = __builtin_fmaf(v_[k], beta2, rounded(rounded(weight2 * g) * g));
    x[k] = w - rounded(rounded(size * m_[k]) / (rounded(sqrtf(v_[k]) / root) + eps));
  }
}

const bool HAS_OPTIMIZER_STEP = true;
void adam(const OptimizerCall &p) {
  for (i64 t = 0; t < p.n; t++) adam_tensor(p, t);
}
#else
const bool HAS_OPTIMIZER_STEP = false;
float clip_norm(const OptimizerCall &, double, float *) { return 0; }
void adam(const OptimizerCall &) {}
#endif

}  // namespace
