// Noise inside the recurrence: recurrent dropout of the state or of its update, and zoneout. noise.py defines them.
#pragma once
#include "vectors.h"

// Both mirrored field by field in noise_call.py.
struct Mask {
  const uint16_t *bits;    // (B, T, ceil(H / 16)) as DrawCall.bits; null: `one` everywhere
  i64 stride_b, stride_t;  // words; stride_t is 0 for a mask that is the same at all steps
  double one, zero;        // the value where a bit is 1, and where it is 0
};
struct Noise {
  Mask state, update;       // factors of h_{t-1} in its products, and of the candidate
  Mask zoneout_h, zoneout_c;  // the share of the old value in the new one
  void *before;             // h_{t-1} of each row without its factor, (rows, Hp); null where rows hold it
};

namespace {

// Values of a mask for N units from u on, of sample b at step t.
template <class T> INLINE typename Lanes<T>::V values(const Mask &m, i64 b, i64 t, i64 u) {
  typedef typename Lanes<T>::V V;
  typedef typename Lanes<T>::M M;
  if (!m.bits) return V{} + (T)m.one;
  const int word = m.bits[b * m.stride_b + t * m.stride_t + u / 16] >> (u % 16);
  M lane;
  for (int i = 0; i < Lanes<T>::N; i++) lane[i] = 1 << i;
  const V one = V{} + (T)m.one, zero = V{} + (T)m.zero;
  return ((M{} + word) & lane) != 0 ? one : zero;
}

}  // namespace
