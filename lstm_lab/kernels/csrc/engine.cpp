// The CPU engine: exported functions, each by data type and instruction set.
//
// Compiled once per instruction set (ISA and VB, the vector's bytes, come from the build); the caller chooses one at run time.
#include "layer_backward.h"
#include "layer_forward.h"
#include "optimizer_step.h"
#include "philox.h"
#include "stack_int8.h"
#include "stack_step.h"
#include "tape.h"

namespace {

template <class T> void activations(const T *x, i64 n, T *s, T *t) {
  enum { N = Lanes<T>::N };
  for (i64 i = 0; i < n; i += N) {
    const int m = lanes_at(n, i, N);
    store_n(s + i, sigmoid(load_n(x + i, m)), m);
    store_n(t + i, tanh_(load_n(x + i, m)), m);
  }
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))
#define NAME(what) PASTE(what, ISA)
EXPORT i64 NAME(forward_f32)(const LayerCall *j) { return forward<float>(*j); }
EXPORT i64 NAME(forward_f64)(const LayerCall *j) { return forward<double>(*j); }
EXPORT i64 NAME(backward_f32)(const LayerCall *j) { return backward<float>(*j); }
EXPORT i64 NAME(backward_f64)(const LayerCall *j) { return backward<double>(*j); }
EXPORT i64 NAME(pack_layer_f32)(const LayerCall *j) { return pack_layer<float>(*j); }
EXPORT i64 NAME(pack_layer_f64)(const LayerCall *j) { return pack_layer<double>(*j); }
EXPORT void NAME(step_stack_f32)(const LayerCall *layers, i64 n, const float *x) { step_stack<float>(layers, n, x); }
EXPORT void NAME(step_stack_f64)(const LayerCall *layers, i64 n, const double *x) { step_stack<double>(layers, n, x); }
EXPORT i64 NAME(pack_layer_int8)(const LayerCall *j) { return pack_layer_int8(*j); }
EXPORT void NAME(step_stack_int8)(const LayerCall *layers, i64 n, const float *x, char *scratch) {
  step_stack_int8(layers, n, x, scratch);
}
EXPORT i64 NAME(has_optimizer_step)(void) { return HAS_OPTIMIZER_STEP; }
EXPORT float NAME(clip_norm)(const OptimizerCall *p, double limit, float *norms) { return clip_norm(*p, limit, norms); }
EXPORT void NAME(adam)(const OptimizerCall *p) { adam(*p); }
EXPORT i64 NAME(threads)(const LayerCall *j) { return threads_for(*j); }
EXPORT void NAME(activations_f32)(const float *x, i64 n, float *s, float *t) { activations(x, n, s, t); }
EXPORT void NAME(activations_f64)(const double *x, i64 n, double *s, double *t) { activations(x, n, s, t); }
EXPORT i64 NAME(run_tape_f32)(const TapeCall *call) { return run_tape<float>(*call); }
EXPORT i64 NAME(run_tape_f64)(const TapeCall *call) { return run_tape<double>(*call); }
EXPORT void NAME(draw)(const DrawCall *call) { draw(*call); }
EXPORT void NAME(philox)(const uint32_t *counters, i64 n, i64 key0, i64 key1, uint32_t *words) {
  philox_words(counters, n, key0, key1, words);
}
EXPORT i64 NAME(supported)(void) {
#if VB == 64
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma");
#elif VB == 32
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return 1;
#endif
}
