// Whole-sequence forward and backward of recurrent cells on a CPU.
//
// One row per valid (sample, step): [h_{t-1} | 1 | x_t]. One small matrix kernel over such rows does recurrent, input and
// bias at once; what is pointwise follows while its tile is still in the first cache. Going back, the product with step
// t+1's gate gradients is followed at once by step t's pointwise part, and gate gradients overwrite the gates. What is left,
// every weight's gradient, is one product over all rows, done outside.
//
// Rows are packed by time: samples are sorted by length, so the ones alive at step t are the first count[t], and padding is
// never read, computed or stored. Each thread owns samples, never parts of one: no sum depends on the number of threads here,
// and every row is summed in the same order whatever block it falls into.
//
// Compiled once per instruction set (ISA and VB, the vector's bytes, come from the build); the caller asks which one to use.

#include "vectors.h"

// The caller's whole request. Mirrored field by field in native.py.
struct Job {
  i64 family, flags, threads, training, reversed;
  i64 B, T, I, H;
  const void *x; i64 x_b, x_t;            // strides in elements; channels are contiguous
  const i64 *lengths;
  const void *W, *U, *b_ih, *b_hh, *peep; // (G H, I), (G H, H), (G H), (G H), (3, H) or (14, H): contiguous or null
  const void *h0, *c0;                    // (B, H) or null for zeros
  void *out, *hT, *cT;                    // (B, T, H), (B, H), (B, H)
  void *rows; i64 rows_ld;                // [h | 1 | x] of each row
  void *gates; i64 gates_ld;              // activations of each row; gradients after the way back
  void *cells, *tanhs;                    // c_{t-1} and what the output gate multiplies, (rows, Hp)
  const void *dout; i64 dout_b, dout_t;   // null for zeros
  const void *dhT, *dcT;
  void *dx, *dh0, *dc0, *dpeep;           // (B, T, I), (B, H), (B, H), (threads, like peep); null where not asked for
  void *dW, *dU, *db_ih, *db_hh;          // like the weights; dW null where none is asked for
};

namespace {

enum Family { LSTM, GRU, RNN, NORM };  // NORM: an LSTM with layer normalisation
enum Flag { NIG = 1, NFG = 2, NOG = 4, NIAF = 8, NOAF = 16, PEEPHOLE = 32, CIFG = 64, RELU = 128 };

// ------------------------------------------------------------------------------------------------ who is where
// The samples of one thread, longest first, and where their rows lie.
struct Part {
  i64 n, base;      // samples; first row
  i64 *ids;         // sample of each
  i64 *count, *off; // alive at step t; rows before step t, counted from base
  i64 steps;        // of the longest
};
struct Plan {
  i64 threads, rows;
  Part *parts;
  void *memory;
};

i64 threads_for(const Job &j) {
  // A thread costs some ten microseconds to start: give each at least a few hundred to do.
  double flops = 2.0 * j.B * j.T * (j.H + j.I + 1) * 4.0 * j.H;
  i64 worth = (i64)(flops / 1.5e7), most = j.threads < j.B ? j.threads : j.B;
  i64 n = worth < most ? worth : most;
  return n < 1 ? 1 : n;
}

bool make_plan(const Job &j, Plan &plan) {
  i64 P = threads_for(j), B = j.B, T = j.T;
  size_t words = B * 2 + P * 2 * (T + 2) + T + 2;
  char *memory = (char *)malloc(P * sizeof(Part) + words * sizeof(i64));
  if (!memory) return false;
  plan.memory = memory;
  plan.parts = (Part *)memory;
  plan.threads = P;
  i64 *word = (i64 *)(memory + P * sizeof(Part));
  i64 *order = word, *ids = order + B, *first = ids + B, *steps = first + T + 2;
  memset(first, 0, (T + 2) * sizeof(i64));
  for (i64 b = 0; b < B; b++) {
    if (j.lengths[b] < 0 || j.lengths[b] > T) { free(memory); return false; }
    first[T - j.lengths[b] + 1]++;
  }
  for (i64 t = 0; t <= T; t++) first[t + 1] += first[t];
  for (i64 b = 0; b < B; b++) order[first[T - j.lengths[b]]++] = b;
  i64 base = 0;
  for (i64 p = 0; p < P; p++) {
    Part &part = plan.parts[p];
    part.ids = ids;
    part.n = 0;
    for (i64 r = p; r < B; r += P) ids[part.n++] = order[r];
    ids += part.n;
    part.count = steps, part.off = steps + T + 2, steps += 2 * (T + 2);
    part.base = base;
    part.steps = part.n ? j.lengths[part.ids[0]] : 0;
    i64 alive = part.n, off = 0;
    for (i64 t = 0; t <= T + 1; t++) {
      while (alive > 0 && j.lengths[part.ids[alive - 1]] <= t) alive--;
      part.count[t] = alive;
      part.off[t] = j.training ? off : (t & 1) * part.n;  // without a way back two steps are all that is kept
      off += alive;
    }
    base += j.training ? off : 2 * part.n;
  }
  plan.rows = base;
  return true;
}

// ------------------------------------------------------------------------------------------------ packed weights
// Panels of up to four vectors of columns, [panel][k][vector][lane]; lanes behind H are zero.
struct Layout {
  int gates;      // columns of W and U, in units of H
  int per_panel;  // unit vectors in a full forward panel
  int hidden;     // gate columns that the hidden state feeds going forward = columns of the way back
};

// Which column holds which gate; -1 where it is missing.
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
int gates_of(const Job &j) { return j.family == LSTM ? columns(j.flags).count : j.family == GRU ? 3 : j.family == NORM ? 4 : 1; }
bool has_c(const Job &j) { return j.family == LSTM || j.family == NORM; }

// The gate column where W's gradients begin; U's begin at 0.
i64 first_of_W(const Job &j) { return j.family == GRU ? j.H : j.family == NORM ? 4 * j.H : 0; }


// One column vector of a panel: K entries per lane, from `first` (bias, may be null, twice), U and W as the parts say.
template <class T> struct Source {
  const T *matrix;  // (gates * H, width)
  i64 width, at;    // goes to k = at ... at + width
};
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

// ------------------------------------------------------------------------------------------------ one thread's work
template <class T> struct Work {
  const Job *j;
  const Part *part;
  const T *panels, *panels_x;  // U and W, packed for this direction; in one going forward, but for a GRU
  T *memory;                   // scratch of this thread
  T *dpeep, *sums, *pack;      // its part of the weights' gradients
};

template <class T> struct Rows {  // where row r of the step under work reads and writes
  T **h, **c, **out;
};

INLINE i64 time_of(const Job &j, i64 length, i64 t) { return j.reversed ? length - 1 - t : t; }

// h_t, c_t and all that the way back needs, for rows [r, r + n) and the unit vector at u.
template <class T, bool PLAIN>
void lstm_forward(const Job &j, const T *z, int stride, i64 u, i64 r, int n, const Rows<T> &to, i64 row, i64 Hp) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  const i64 flags = PLAIN ? 0 : j.flags, H = j.H;
  const Columns at = PLAIN ? Columns{0, 1, 2, 3, 4} : columns(flags);
  const int m = lanes_at(H, u, N);
  V p_i = V{}, p_f = V{}, p_o = V{};
  if (flags & PEEPHOLE) {
    const T *p = (const T *)j.peep + u;
    p_i = get(p, m), p_f = get(p + H, m), p_o = get(p + 2 * H, m);
  }
  const T *cells = (const T *)j.cells + row * Hp + u;
  T *tanhs = (T *)j.tanhs + row * Hp + u, *gates = (T *)j.gates + row * j.gates_ld + u;
  for (int q = 0; q < n; q++, z += stride) {
    const V before = load(cells + q * Hp), one = V{} + T(1);
    V i = one, f = one, o = one, g = load(z + at.g * N);
    if (at.i >= 0) i = sigmoid(PLAIN ? load(z + at.i * N) : load(z + at.i * N) + p_i * before);
    if (at.f >= 0) f = sigmoid(PLAIN ? load(z + at.f * N) : load(z + at.f * N) + p_f * before);
    if (flags & CIFG) f = one - i;
    if (!(flags & NIAF)) g = tanh_(g);
    const V c = f * before + i * g;
    if (at.o >= 0) o = sigmoid(PLAIN ? load(z + at.o * N) : load(z + at.o * N) + p_o * c);
    const V s = flags & NOAF ? c : tanh_(c), h = o * s;
    put(to.h[r + q] + u, h, m);
    put(to.c[r + q] + u, c, m);
    put(to.out[r + q] + u, h, m);
    if (j.training) {
      T *save = gates + q * j.gates_ld;
      if (at.i >= 0) put(save + at.i * H, i, m);
      if (at.f >= 0) put(save + at.f * H, f, m);
      put(save + at.g * H, g, m);
      if (at.o >= 0) put(save + at.o * H, o, m);
      store(tanhs + q * Hp, s);
    }
  }
}

// Gate gradients over the gates, from what reaches h_t through step t+1 (z), the output and the carried state.
template <class T, bool PLAIN>
void lstm_backward(const Job &j, const T *z, int stride, i64 u, i64 r, int n, T **dout, const T *dh_end, T *dc_carry,
                   T *const *after, i64 row, i64 Hp, T *dpeep) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  const i64 flags = PLAIN ? 0 : j.flags, H = j.H;
  const Columns at = PLAIN ? Columns{0, 1, 2, 3, 4} : columns(flags);
  const int m = lanes_at(H, u, N);
  V p_i = V{}, p_f = V{}, p_o = V{}, dp_i = V{}, dp_f = V{}, dp_o = V{};
  if (flags & PEEPHOLE) {
    const T *p = (const T *)j.peep + u;
    p_i = get(p, m), p_f = get(p + H, m), p_o = get(p + 2 * H, m);
    dp_i = load(dpeep + u), dp_f = load(dpeep + Hp + u), dp_o = load(dpeep + 2 * Hp + u);
  }
  const T *cells = (const T *)j.cells + row * Hp + u, *tanhs = (const T *)j.tanhs + row * Hp + u;
  T *gates = (T *)j.gates + row * j.gates_ld + u;
  for (int q = 0; q < n; q++, z += stride) {
    T *save = gates + q * j.gates_ld;
    const V one = V{} + T(1), before = load(cells + q * Hp), s = load(tanhs + q * Hp);
    V i = one, f = one, o = one;
    const V g = get(save + at.g * H, m);
    if (at.i >= 0) i = get(save + at.i * H, m);
    if (at.f >= 0) f = get(save + at.f * H, m);
    if (flags & CIFG) f = one - i;
    if (at.o >= 0) o = get(save + at.o * H, m);
    V dh = load(z);
    if (dout) dh += get(dout[r + q] + u, m);
    if (dh_end) dh += load(dh_end + (r + q) * Hp + u);
    V dc = load(dc_carry + (r + q) * Hp + u);
    dc += flags & NOAF ? dh * o : (dh * o) * (one - s * s);
    if (at.o >= 0) {
      const V d = (dh * s) * (o * (one - o));
      put(save + at.o * H, d, m);
      if (flags & PEEPHOLE) dc += p_o * d, dp_o += d * get(after[r + q] + u, m);
    }
    V back = dc * f;
    if (at.i >= 0) {
      const V d = dc * (flags & CIFG ? g - before : g) * (i * (one - i));
      put(save + at.i * H, d, m);
      if (flags & PEEPHOLE) back += p_i * d, dp_i += d * before;
    }
    if (at.f >= 0) {
      const V d = (dc * before) * (f * (one - f));
      put(save + at.f * H, d, m);
      if (flags & PEEPHOLE) back += p_f * d, dp_f += d * before;
    }
    put(save + at.g * H, flags & NIAF ? dc * i : (dc * i) * (one - g * g), m);
    store(dc_carry + (r + q) * Hp + u, back);
  }
  if (flags & PEEPHOLE) store(dpeep + u, dp_i), store(dpeep + Hp + u, dp_f), store(dpeep + 2 * Hp + u, dp_o);
}

// Gates are kept in the order U_n h, r, z, n: the first three are what U's gradient needs, the last three W's.
template <class T>
void gru_forward(const Job &j, const T *z_h, const T *z_x, i64 u, i64 r, int n, const Rows<T> &to, i64 row) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  const i64 H = j.H;
  const int m = lanes_at(H, u, N);
  const T *h_before = (const T *)j.rows + row * j.rows_ld + u;
  T *gates = (T *)j.gates + row * j.gates_ld + u;
  for (int q = 0; q < n; q++, z_h += 3 * N, z_x += 3 * N) {
    const V v = load(z_h);
    const V rr = sigmoid(load(z_h + N) + load(z_x)), z = sigmoid(load(z_h + 2 * N) + load(z_x + N));
    const V nn = tanh_(load(z_x + 2 * N) + rr * v), h = nn + z * (get(h_before + q * j.rows_ld, m) - nn);
    put(to.h[r + q] + u, h, m);
    put(to.out[r + q] + u, h, m);
    if (j.training) {
      T *save = gates + q * j.gates_ld;
      put(save, v, m), put(save + H, rr, m), put(save + 2 * H, z, m), put(save + 3 * H, nn, m);
    }
  }
}
template <class T>
void gru_backward(const Job &j, const T *z_, int stride, i64 u, i64 r, int n, T **dout, T *dh_carry, i64 row, i64 Hp) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  const i64 H = j.H;
  const int m = lanes_at(H, u, N);
  const T *h_before = (const T *)j.rows + row * j.rows_ld + u;
  T *gates = (T *)j.gates + row * j.gates_ld + u;
  for (int q = 0; q < n; q++, z_ += stride) {
    T *save = gates + q * j.gates_ld;
    const V one = V{} + T(1);
    const V v = get(save, m), rr = get(save + H, m), z = get(save + 2 * H, m), nn = get(save + 3 * H, m);
    V dh = load(z_) + load(dh_carry + (r + q) * Hp + u);
    if (dout) dh += get(dout[r + q] + u, m);
    const V dn = (dh * (one - z)) * (one - nn * nn);
    put(save, dn * rr, m);
    put(save + H, (dn * v) * (rr * (one - rr)), m);
    put(save + 2 * H, (dh * (get(h_before + q * j.rows_ld, m) - nn)) * (z * (one - z)), m);
    put(save + 3 * H, dn, m);
    store(dh_carry + (r + q) * Hp + u, dh * z);
  }
}

template <class T> void rnn_forward(const Job &j, const T *z, int stride, i64 u, i64 r, int n, const Rows<T> &to, i64 row) {
  typedef typename Lanes<T>::V V;
  const int m = lanes_at(j.H, u, Lanes<T>::N);
  T *gates = (T *)j.gates + row * j.gates_ld + u;
  for (int q = 0; q < n; q++, z += stride) {
    V a = load(z), zero = V{};
    const V h = j.flags & RELU ? (a < zero ? zero : a) : tanh_(a);
    put(to.h[r + q] + u, h, m);
    put(to.out[r + q] + u, h, m);
    if (j.training) put(gates + q * j.gates_ld, h, m);
  }
}
template <class T>
void rnn_backward(const Job &j, const T *z, int stride, i64 u, i64 r, int n, T **dout, const T *dh_end, i64 row, i64 Hp) {
  typedef typename Lanes<T>::V V;
  const int m = lanes_at(j.H, u, Lanes<T>::N);
  T *gates = (T *)j.gates + row * j.gates_ld + u;
  for (int q = 0; q < n; q++, z += stride) {
    T *save = gates + q * j.gates_ld;
    const V h = get(save, m), zero = V{};
    V dh = load(z);
    if (dout) dh += get(dout[r + q] + u, m);
    if (dh_end) dh += load(dh_end + (r + q) * Hp + u);
    put(save, j.flags & RELU ? (h > zero ? dh : zero) : dh * (T(1) - h * h), m);
  }
}

// Layer normalisation (Ba et al. 2016): z = N(U h) gain_h + N(W x) gain_x + b, and c' is normalised before its tanh.
// `peep` holds gain_h, gain_x, b (4 H each), gain_c, shift_c (H each). A row of gates: N(U h), N(W x), the gates (4 H each),
// N(c') and three scales; gradients of U h and W x overwrite the first two.
const double EPSILON = 1e-5;

template <class T> INLINE void moments(const T *x, i64 n, T &mean, T &scale) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  V sum = V{};
  for (i64 k = 0; k < n; k += N) sum += get(x + k, lanes_at(n, k, N));
  mean = total<T>(sum) / n;
  sum = V{};
  i64 k = 0;
  for (; k + N <= n; k += N) {
    const V away = load(x + k) - mean;
    sum += away * away;
  }
  T square = total<T>(sum);
  for (; k < n; k++) square += (x[k] - mean) * (x[k] - mean);
  scale = 1 / __builtin_sqrt(double(square / n) + EPSILON);
}

template <class T> void norm_forward(const Job &j, i64 row, T *h_to, T *c_to, T *out, i64 Hp) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  const i64 H = j.H;
  const T *gain_h = (const T *)j.peep, *gain_x = gain_h + 4 * H, *bias = gain_x + 4 * H, *gain_c = bias + 4 * H;
  const T *before = (const T *)j.cells + row * Hp;
  T *n_h = (T *)j.gates + row * j.gates_ld, *n_x = n_h + 4 * H, *gates = n_x + 4 * H, *n_c = gates + 4 * H, *scales = n_c + H;
  T mean_h, mean_x, mean_c;
  moments(n_h, 4 * H, mean_h, scales[0]);
  moments(n_x, 4 * H, mean_x, scales[1]);
  for (i64 u = 0; u < H; u += N) {
    const int m = lanes_at(H, u, N);
    V z[4];
    for (int g = 0; g < 4; g++) {
      const i64 at = g * H + u;
      const V a = (get(n_h + at, m) - mean_h) * scales[0], x = (get(n_x + at, m) - mean_x) * scales[1];
      put(n_h + at, a, m), put(n_x + at, x, m);
      z[g] = a * get(gain_h + at, m) + (x * get(gain_x + at, m) + get(bias + at, m));
    }
    const V i = sigmoid(z[0]), f = sigmoid(z[1]), g = tanh_(z[2]), o = sigmoid(z[3]), c = f * load(before + u) + i * g;
    put(gates + u, i, m), put(gates + H + u, f, m), put(gates + 2 * H + u, g, m), put(gates + 3 * H + u, o, m);
    put(c_to + u, c, m);
  }
  moments(c_to, H, mean_c, scales[2]);
  for (i64 u = 0; u < H; u += N) {
    const int m = lanes_at(H, u, N);
    const V c = (get(c_to + u, m) - mean_c) * scales[2], s = tanh_(c * get(gain_c + u, m) + get(gain_c + H + u, m));
    const V h = get(gates + 3 * H + u, m) * s;
    put(n_c + u, c, m), put(h_to + u, h, m), put(out + u, h, m);
    if (j.training) store((T *)j.tanhs + row * Hp + u, s);
  }
}

// dh (Hp) comes with what step t+1 and the end say; `sums` is laid out like `peep`.
template <class T> void norm_backward(const Job &j, i64 row, T *dh, const T *dout, T *dc_carry, T *sums, i64 Hp) {
  typedef typename Lanes<T>::V V;
  enum { N = Lanes<T>::N };
  const i64 H = j.H;
  const T *gain_h = (const T *)j.peep, *gain_x = gain_h + 4 * H, *gain_c = gain_x + 8 * H;
  const T *before = (const T *)j.cells + row * Hp, *tanhs = (const T *)j.tanhs + row * Hp;
  T *n_h = (T *)j.gates + row * j.gates_ld, *n_x = n_h + 4 * H, *gates = n_x + 4 * H, *n_c = gates + 4 * H, *scales = n_c + H;
  const V one = V{} + T(1);
  auto add = [](T *to, V v, int m) { put(to, get(to, m) + v, m); };
  V first = V{}, second = V{};
  for (i64 u = 0; u < H; u += N) {
    const int m = lanes_at(H, u, N);
    const V s = get(tanhs + u, m), o = get(gates + 3 * H + u, m), c = get(n_c + u, m);
    V d = get(dh + u, m);
    if (dout) d += get(dout + u, m);
    put(gates + 3 * H + u, (d * s) * (o * (one - o)), m);
    const V y = (d * o) * (one - s * s), w = y * get(gain_c + u, m);
    add(sums + 12 * H + u, y * c, m), add(sums + 13 * H + u, y, m);
    put(dh + u, w, m);
    first += w, second += w * c;
  }
  const T mean = total<T>(first) / H, slope = total<T>(second) / H;
  V h_1 = V{}, h_2 = V{}, x_1 = V{}, x_2 = V{};
  for (i64 u = 0; u < H; u += N) {
    const int m = lanes_at(H, u, N);
    const V i = get(gates + u, m), f = get(gates + H + u, m), g = get(gates + 2 * H + u, m);
    const V dc = (get(dh + u, m) - mean - get(n_c + u, m) * slope) * scales[2] + get(dc_carry + u, m);
    put(dc_carry + u, dc * f, m);
    const V dz[4] = {(dc * g) * (i * (one - i)), (dc * get(before + u, m)) * (f * (one - f)), (dc * i) * (one - g * g),
                     get(gates + 3 * H + u, m)};
    for (int q = 0; q < 4; q++) {
      const i64 at = q * H + u;
      const V a = get(n_h + at, m), x = get(n_x + at, m), w_h = dz[q] * get(gain_h + at, m), w_x = dz[q] * get(gain_x + at, m);
      put(gates + at, dz[q], m);
      add(sums + at, dz[q] * a, m), add(sums + 4 * H + at, dz[q] * x, m), add(sums + 8 * H + at, dz[q], m);
      h_1 += w_h, h_2 += w_h * a, x_1 += w_x, x_2 += w_x * x;
    }
  }
  const T mean_h = total<T>(h_1) / (4 * H), slope_h = total<T>(h_2) / (4 * H);
  const T mean_x = total<T>(x_1) / (4 * H), slope_x = total<T>(x_2) / (4 * H);
  for (i64 k = 0; k < 4 * H; k += N) {
    const int m = lanes_at(4 * H, k, N);
    const V dz = get(gates + k, m), a = get(n_h + k, m), x = get(n_x + k, m);
    put(n_h + k, (dz * get(gain_h + k, m) - mean_h - a * slope_h) * scales[0], m);
    put(n_x + k, (dz * get(gain_x + k, m) - mean_x - x * slope_x) * scales[1], m);
  }
}

// ------------------------------------------------------------------------------------------------ weights' gradients
// p[i][j] += sum_n a[n][i] d[n][j] for MR entries of a row and NV vectors of gate gradients.
template <class T, int MR, int NV> void outer(const T *__restrict a, const T *__restrict d, i64 rows, T *__restrict p) {
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
template <class T> using Outer = void (*)(const T *, const T *, i64, T *);
#define OUTER_ROW(NV) {0, outer<T, 1, NV>, outer<T, 2, NV>, outer<T, 3, NV>, outer<T, 4, NV>, outer<T, 5, NV>, outer<T, 6, NV>, \
                       outer<T, 7, NV>, outer<T, 8, NV>}
template <class T> const Outer<T> OUTERS[5][9] = {{}, OUTER_ROW(1), OUTER_ROW(2),
#if VB == 64
  OUTER_ROW(3), {0, outer<T, 1, 4>, outer<T, 2, 4>, outer<T, 3, 4>, outer<T, 4, 4>, outer<T, 5, 4>, outer<T, 6, 4>}};
#else
  {0, outer<T, 1, 3>, outer<T, 2, 3>, outer<T, 3, 3>, outer<T, 4, 3>}, {0, outer<T, 1, 4>, outer<T, 2, 4>, outer<T, 3, 4>}};
#endif

// rows[:, from : from + K]^T gates[:, column : column + C]: one of the products that make up the gradients.
struct Product { i64 from, K, column, C; };
int products_of(const Job &j, Product *products) {
  const i64 H = j.H, C = gates_of(j) * H;
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

// Where the sum for entry k of a row and gate column c belongs.
template <class T> INLINE void deliver(const Job &j, i64 k, i64 c, bool input_side, T value) {
  const i64 H = j.H, row = j.family != GRU || input_side ? c : c < H ? c + 2 * H : c - H;
  if (k < H) ((T *)j.dU)[row * H + k] = value;
  else if (k > H) ((T *)j.dW)[row * j.I + k - H - 1] = value;
  else {
    if (j.db_ih && (j.family != GRU || input_side)) ((T *)j.db_ih)[row] = value;
    if (j.db_hh && !(j.family == GRU && input_side)) ((T *)j.db_hh)[row] = value;
  }
}

const i64 BLOCK = 128;  // rows to sum over at once: as many gate gradients, one panel wide, stay near

// Elements of all sums, [product][panel][entry of a row][lane]; and of the scratch that adding to them needs.
template <class T> i64 sums_size(const Job &j) {
  Product products[2];
  i64 size = 0;
  for (int q = products_of(j, products) - 1; q >= 0; q--) size += products[q].K * padded<T>(products[q].C);
  return size;
}
template <class T> i64 pack_size(const Job &j) { return BLOCK * (j.H + 1 + j.I + 4 * Lanes<T>::N) + 64; }

// Adds what n <= BLOCK rows contribute.
template <class T> void add_rows(const Job &j, i64 row, i64 n, T *scratch, T *sums) {
  enum { N = Lanes<T>::N };
  T *d = scratch, *a = scratch + BLOCK * 4 * N;
  Product products[2];
  const int count = products_of(j, products);
  for (int q = 0; q < count; q++) {
    const Product &P = products[q];
    int packed_for = 0;
    for (i64 c = 0; c < P.C; c += 4 * N) {
      const i64 wide = P.C - c < 4 * N ? P.C - c : 4 * N;
      const int NV = (int)((wide + N - 1) / N), most = MOST[NV];
      const T *gates = (const T *)j.gates + row * j.gates_ld + P.column + c;
      for (i64 r = 0; r < n; r++)
        for (int v = 0; v < NV; v++) store(d + (r * NV + v) * N, get(gates + r * j.gates_ld + v * N, lanes_at(wide, v * N, N)));
      if (packed_for != most) {
        const T *rows = (const T *)j.rows + row * j.rows_ld + P.from;
        blocks(P.K, most, [&](i64 k, int mr) {
          T *to = a + k * n;
          i64 r = 0;
          // Eight at a time: the next row overwrites what is too much, and the last ones go one by one.
          if (P.from + k + 8 <= j.rows_ld)
            for (; r < n - 8; r++) memcpy(to + r * mr, rows + r * j.rows_ld + k, 8 * sizeof(T));
          for (; r < n; r++)
            for (int i = 0; i < mr; i++) to[r * mr + i] = rows[r * j.rows_ld + k + i];
        });
        packed_for = most;
      }
      blocks(P.K, most, [&](i64 k, int mr) { OUTERS<T>[NV][mr](a + k * n, d, n, sums + k * NV * N); });
      sums += P.K * NV * N;
    }
  }
}

// The sums of all threads, added in their order, to where the caller wants them.
template <class T> void deliver_all(const Job &j, T *sums, i64 threads) {
  enum { N = Lanes<T>::N };
  const i64 size = sums_size<T>(j);
  for (i64 p = 1; p < threads; p++)
    for (i64 i = 0; i < size; i++) sums[i] += sums[p * size + i];
  Product products[2];
  const int count = products_of(j, products);
  for (int q = 0; q < count; q++) {
    const Product &P = products[q];
    for (i64 c = 0; c < P.C; c += 4 * N) {
      const i64 wide = P.C - c < 4 * N ? P.C - c : 4 * N, NV = (wide + N - 1) / N;
      for (i64 k0 = 0; k0 < P.K; k0 += 16)
        for (i64 i = 0; i < wide; i++)
          for (i64 k = k0; k < P.K && k < k0 + 16; k++) deliver<T>(j, P.from + k, c + i, q == 1, sums[k * NV * N + i]);
      sums += P.K * NV * N;
    }
  }
}

// ------------------------------------------------------------------------------------------------ time loops
template <class T> void forward_part(Work<T> &w) {
  enum { N = Lanes<T>::N };
  const Job &j = *w.j;
  const Part &part = *w.part;
  const i64 H = j.H, I = j.I, K = H + 1 + I, Hp = padded<T>(H), n0 = part.n, ld = j.rows_ld;
  const int G = gates_of(j), per_panel = j.family == RNN ? 4 : 1;
  T *rows = (T *)j.rows, *cells = (T *)j.cells, *out = (T *)j.out, *hT = (T *)j.hT, *cT = (T *)j.cT;
  const T *x = (const T *)j.x, *h0 = (const T *)j.h0, *c0 = (const T *)j.c0;
  T **pointers = (T **)w.memory;
  const Rows<T> to = {pointers, pointers + n0, pointers + 2 * n0};

  for (i64 r = 0; r < n0; r++) {
    const i64 b = part.ids[r], length = j.lengths[b];
    memset(out + (b * j.T + length) * H, 0, (j.T - length) * H * sizeof(T));
    T *h = length ? rows + (part.base + r) * ld : hT + b * H, *c = length ? cells + (part.base + r) * Hp : cT + b * H;
    for (i64 u = 0; u < H; u++) h[u] = h0 ? h0[b * H + u] : T(0);
    if (has_c(j))
      for (i64 u = 0; u < H; u++) c[u] = c0 ? c0[b * H + u] : T(0);
  }
  for (i64 t = 0; t < part.steps; t++) {
    const i64 n = part.count[t], alive = part.count[t + 1], row = part.base + part.off[t], next = part.base + part.off[t + 1];
    for (i64 r = 0; r < n; r++) {
      const i64 b = part.ids[r], s = time_of(j, j.lengths[b], t);
      T *in = rows + (row + r) * ld + H;
      const T *x_t = x + b * j.x_b + s * j.x_t;
      in[0] = 1;
      for (i64 k = 0; k < I; k++) in[1 + k] = x_t[k];
      to.out[r] = out + (b * j.T + s) * H;
      to.h[r] = r < alive ? rows + (next + r) * ld : hT + b * H;
      to.c[r] = r < alive ? cells + (next + r) * Hp : cT + b * H;
    }
    const T *a = rows + row * ld, *panel = w.panels, *panel_x = w.panels_x;
    T z[2 * SCRATCH] __attribute__((aligned(64)));
    for (i64 u = 0; u < Hp; u += per_panel * N) {
      const int units = (int)((Hp - u) / N < per_panel ? (Hp - u) / N : per_panel), NV = has_c(j) ? G : G * units;
      if (j.family == GRU) {
        blocks(n, MOST[3], [&](i64 r, int mr) {
          TILES<T>[3][mr](a + r * ld, ld, panel, H + 1, z);
          TILES<T>[3][mr](a + r * ld + H, ld, panel_x, I + 1, z + SCRATCH);
          gru_forward<T>(j, z, z + SCRATCH, u, r, mr, to, row + r);
        });
        panel += (H + 1) * 3 * N, panel_x += (I + 1) * 3 * N;
        continue;
      }
      if (j.family == NORM) {
        T *gates = (T *)j.gates + row * j.gates_ld + u;
        const int m = lanes_at(H, u, N);
        blocks(n, MOST[4], [&](i64 r, int mr) {
          TILES<T>[4][mr](a + r * ld, ld, panel, H, z);
          TILES<T>[4][mr](a + r * ld + H + 1, ld, panel_x, I, z + SCRATCH);
          for (int q = 0; q < mr; q++)
            for (int g = 0; g < 4; g++) {
              T *to = gates + (r + q) * j.gates_ld + g * H;
              put(to, load(z + (q * 4 + g) * N), m), put(to + 4 * H, load(z + SCRATCH + (q * 4 + g) * N), m);
            }
        });
        panel += H * 4 * N, panel_x += I * 4 * N;
        continue;
      }
      blocks(n, MOST[NV], [&](i64 r, int mr) {
        TILES<T>[NV][mr](a + r * ld, ld, panel, K, z);
        if (j.family == RNN)
          for (int v = 0; v < units; v++) rnn_forward<T>(j, z + v * N, NV * N, u + v * N, r, mr, to, row + r);
        else if (j.flags == 0) lstm_forward<T, true>(j, z, NV * N, u, r, mr, to, row + r, Hp);
        else lstm_forward<T, false>(j, z, NV * N, u, r, mr, to, row + r, Hp);
      });
      panel += K * NV * N;
    }
    if (j.family == NORM)
      for (i64 r = 0; r < n; r++) norm_forward<T>(j, row + r, to.h[r], to.c[r], to.out[r], Hp);
  }
}

// dx_t = W^T of step t's gate gradients, while they are still near.
template <class T> void input_gradient(const Work<T> &w, i64 t, T *z) {
  enum { N = Lanes<T>::N };
  const Job &j = *w.j;
  const Part &part = *w.part;
  const i64 H = j.H, I = j.I, Ip = padded<T>(I), ld = j.gates_ld, K = gates_of(j) * H;
  const T *gates = (const T *)j.gates + (part.base + part.off[t]) * ld + first_of_W(j), *panel = w.panels_x;
  for (i64 u = 0; u < Ip; u += 4 * N) {
    const int NV = (int)((Ip - u) / N < 4 ? (Ip - u) / N : 4);
    blocks(part.count[t], MOST[NV], [&](i64 r, int mr) {
      TILES<T>[NV][mr](gates + r * ld, ld, panel, K, z);
      for (int q = 0; q < mr; q++) {
        const i64 b = part.ids[r + q];
        T *dx = (T *)j.dx + (b * j.T + time_of(j, j.lengths[b], t)) * I + u;
        for (int v = 0; v < NV; v++) put(dx + v * N, load(z + (q * NV + v) * N), lanes_at(I, u + v * N, N));
      }
    });
    panel += K * NV * N;
  }
}

// Elements that sums for `peep` take, in whole cache lines.
template <class T> i64 peep_size(const Job &j) { return j.family == NORM ? (14 * j.H + 15) / 16 * 16 : 3 * padded<T>(j.H); }

template <class T> void backward_part(Work<T> &w) {
  enum { N = Lanes<T>::N };
  const Job &j = *w.j;
  const Part &part = *w.part;
  const i64 H = j.H, Hp = padded<T>(H), n0 = part.n, ld = j.gates_ld;
  const int G = gates_of(j);
  T *gates = (T *)j.gates, *cells = (T *)j.cells, *cT = (T *)j.cT;
  const T *dhT = (const T *)j.dhT, *dcT = (const T *)j.dcT, *dout = (const T *)j.dout;
  T *dh_carry = w.memory, *dc_carry = dh_carry + n0 * Hp, *dh_now = dc_carry + n0 * Hp;
  T *dpeep = j.family == NORM ? dh_now + n0 * Hp : dh_now, **douts = (T **)(dpeep + peep_size<T>(j)), **after = douts + n0;
  T z[SCRATCH] __attribute__((aligned(64)));

  memset(w.memory, 0, (char *)douts - (char *)w.memory);
  for (i64 r = 0; r < n0; r++) {
    const i64 b = part.ids[r];
    if (dhT) memcpy(dh_carry + r * Hp, dhT + b * H, H * sizeof(T));
    if (j.dx) memset((T *)j.dx + (b * j.T + j.lengths[b]) * j.I, 0, (j.T - j.lengths[b]) * j.I * sizeof(T));
    if (dcT && has_c(j)) memcpy(dc_carry + r * Hp, dcT + b * H, H * sizeof(T));
  }
  i64 unsummed = part.base + part.off[part.steps];
  if (j.dW) memset(w.sums, 0, sums_size<T>(j) * sizeof(T));
  for (i64 t = part.steps - 1; t >= -1; t--) {
    // Rows before `alive` hear from step t+1; the others end here.
    const i64 n = t < 0 ? n0 : part.count[t], alive = part.count[t + 1];
    const i64 row = t < 0 ? 0 : part.base + part.off[t], next = part.base + part.off[t + 1];
    if (t < 0 && !j.dh0) break;
    for (i64 r = 0; t >= 0 && r < n; r++) {
      const i64 b = part.ids[r];
      if (dout) douts[r] = (T *)dout + b * j.dout_b + time_of(j, j.lengths[b], t) * j.dout_t;
      after[r] = r < alive ? cells + (next + r) * Hp : cT + b * H;
    }
    const T *panel = w.panels;
    for (i64 u = 0; u < Hp; u += 4 * N) {
      const int NV = (int)((Hp - u) / N < 4 ? (Hp - u) / N : 4);
      auto pointwise = [&](i64 r, int mr, bool ends) {
        for (int v = 0; v < NV; v++) {
          const i64 at = u + v * N;
          const T *zv = z + v * N, *end = ends && dhT ? dh_carry : 0;
          T **d = dout ? douts : 0;
          if (t < 0) {
            typedef typename Lanes<T>::V V;
            for (int q = 0; q < mr; q++) {
              V dh = load(zv + q * NV * N);
              if (ends || j.family == GRU) dh += load(dh_carry + (r + q) * Hp + at);
              put((T *)j.dh0 + part.ids[r + q] * H + at, dh, lanes_at(H, at, N));
            }
          } else if (j.family == NORM) {
            for (int q = 0; q < mr; q++) {
              typename Lanes<T>::V dh = load(zv + q * NV * N);
              if (end) dh += load(end + (r + q) * Hp + at);
              store(dh_now + (r + q) * Hp + at, dh);
            }
          } else if (j.family == GRU) gru_backward<T>(j, zv, NV * N, at, r, mr, d, dh_carry, row + r, Hp);
          else if (j.family == RNN) rnn_backward<T>(j, zv, NV * N, at, r, mr, d, end, row + r, Hp);
          else if (j.flags == 0) lstm_backward<T, true>(j, zv, NV * N, at, r, mr, d, end, dc_carry, after, row + r, Hp, dpeep);
          else lstm_backward<T, false>(j, zv, NV * N, at, r, mr, d, end, dc_carry, after, row + r, Hp, dpeep);
        }
      };
      blocks(alive, MOST[NV], [&](i64 r, int mr) {
        TILES<T>[NV][mr](gates + (next + r) * ld, ld, panel, G * H, z);
        pointwise(r, mr, false);
      });
      if (alive < n) {
        memset(z, 0, sizeof z);
        blocks(n - alive, MOST[NV], [&](i64 r, int mr) { pointwise(alive + r, mr, true); });
      }
      panel += G * H * NV * N;
    }
    for (i64 r = 0; t >= 0 && j.family == NORM && r < n; r++)
      norm_backward<T>(j, row + r, dh_now + r * Hp, dout ? douts[r] : 0, dc_carry + r * Hp, dpeep, Hp);
    if (t >= 0 && j.dx) input_gradient<T>(w, t, z);
    if (t >= 0 && j.dW && (unsummed - row >= BLOCK || t == 0)) {  // rows of a few steps, while they are still near
      blocks(unsummed - row, BLOCK, [&](i64 r, int n) { add_rows<T>(j, row + r, n, w.pack, w.sums); });
      unsummed = row;
    }
  }
  if (j.dc0 && has_c(j))
    for (i64 r = 0; r < n0; r++) memcpy((T *)j.dc0 + part.ids[r] * H, dc_carry + r * Hp, H * sizeof(T));
  if (w.dpeep && j.family == NORM) memcpy(w.dpeep, dpeep, 14 * H * sizeof(T));
  else if (w.dpeep)
    for (int g = 0; g < 3; g++) memcpy(w.dpeep + g * H, dpeep + g * Hp, H * sizeof(T));
}

// How many rows there were; or -1, lengths outside 0..T; or -2, no memory.
template <class T> i64 forward(Job j) {
  enum { N = Lanes<T>::N };
  if (j.threads > 256) j.threads = 256;
  Plan plan;
  if (!make_plan(j, plan)) return -1;
  const i64 H = j.H, I = j.I, K = H + 1 + I, Hp = padded<T>(H);
  const int G = gates_of(j), per_panel = j.family == RNN ? 4 : 1;
  const T *W = (const T *)j.W, *U = (const T *)j.U, *b_ih = (const T *)j.b_ih, *b_hh = (const T *)j.b_hh;
  T *panels = aligned<T>((K + 1) * G * Hp), *panels_x = panels + (j.family == NORM ? H * 4 : (H + 1) * 3) * Hp, *to = panels, *to_x = panels_x;
  T **memory = (T **)malloc(j.B * 3 * sizeof(T *) + 64);
  Work<T> *works = (Work<T> *)malloc(plan.threads * sizeof(Work<T>));
  if (!panels || !memory || !works) {
    free(panels), free(memory), free(works), free(plan.memory);
    return -2;
  }
  for (i64 u = 0; u < Hp; u += per_panel * N) {
    const int units = (int)((Hp - u) / N < per_panel ? (Hp - u) / N : per_panel);
    if (j.family == GRU) {
      const Source<T> h = {U, H, 0}, x = {W, I, 1};
      for (int g = 0; g < 3; g++) {  // torch's order r, z, n; U_n h goes first, W_n x last
        pack_column<T>(to, 3, (g + 1) % 3, g * H + u, lanes_at(H, u, N), H + 1, &h, 1, H, b_hh, 0);
        pack_column<T>(to_x, 3, g, g * H + u, lanes_at(H, u, N), I + 1, &x, 1, 0, b_ih, 0);
      }
      to += (H + 1) * 3 * N, to_x += (I + 1) * 3 * N;
      continue;
    }
    const Source<T> both[2] = {{U, H, 0}, {W, I, j.family == NORM ? 0 : H + 1}};
    if (j.family == NORM) {
      for (int g = 0; g < 4; g++) {
        pack_column<T>(to, 4, g, g * H + u, lanes_at(H, u, N), H, both, 1, -1, 0, 0);
        pack_column<T>(to_x, 4, g, g * H + u, lanes_at(H, u, N), I, both + 1, 1, -1, 0, 0);
      }
      to += H * 4 * N, to_x += I * 4 * N;
      continue;
    }
    const int NV = G * units;
    for (int g = 0; g < G; g++)
      for (int v = 0; v < units; v++)
        pack_column<T>(to, NV, g * units + v, g * H + u + v * N, lanes_at(H, u + v * N, N), K, both, 2, H, b_ih, b_hh);
    to += K * NV * N;
  }
  i64 before = 0;
  for (i64 p = 0; p < plan.threads; p++) {
    works[p] = {&j, &plan.parts[p], panels, panels_x, (T *)(memory + 3 * before), 0, 0, 0};
    before += plan.parts[p].n;
  }
  run<Work<T>, forward_part<T>>(works, plan.threads);
  const i64 rows = plan.rows;
  free(panels), free(memory), free(works), free(plan.memory);
  return rows;
}

// A matrix (K, width) in panels of up to four vectors of columns, [panel][k][vector][lane].
template <class T> void pack_rows(const T *matrix, i64 K, i64 width, i64 turn, T *to) {
  enum { N = Lanes<T>::N };
  const i64 Wp = padded<T>(width);
  for (i64 u = 0; u < Wp; u += 4 * N) {
    const int NV = (int)((Wp - u) / N < 4 ? (Wp - u) / N : 4);
    for (i64 k = 0; k < K; k++, to += NV * N) {
      const T *from = matrix + (k < turn ? K - turn + k : k - turn) * width + u;  // the last `turn` rows come first
      for (int v = 0; v < NV; v++) store(to + v * N, get(from + v * N, lanes_at(width, u + v * N, N)));
    }
  }
}

template <class T> i64 backward(Job j) {
  if (j.threads > 256) j.threads = 256;
  j.training = 1;
  Plan plan;
  if (!make_plan(j, plan)) return -1;
  const i64 H = j.H, I = j.I, Hp = padded<T>(H), Ip = j.dx ? padded<T>(I) : 0, K = gates_of(j) * H, threads = plan.threads;
  const i64 per_sample = (j.family == NORM ? 3 : 2) * Hp + 4, fixed = peep_size<T>(j) + 16;  // carries, two pointers; sums
  T *panels = aligned<T>(K * (Hp + Ip)), *panels_x = panels + K * Hp;
  const i64 sums = j.dW ? sums_size<T>(j) : 0, pack = j.dW ? pack_size<T>(j) / 16 * 16 : 0;
  T *memory = aligned<T>(j.B * per_sample + threads * (fixed + pack + sums));
  Work<T> *works = (Work<T> *)malloc(threads * sizeof(Work<T>));
  i64 result = plan.rows;
  if (!panels || !memory || !works) result = -2;
  else {
    pack_rows<T>((const T *)j.U, K, H, j.family == GRU ? H : 0, panels);  // a GRU's gates are kept as n, r, z
    if (j.dx) pack_rows<T>((const T *)j.W, K, I, 0, panels_x);
    T *free_from = memory + threads * sums;
    for (i64 p = 0; p < threads; p++) {
      T *peep = j.dpeep ? (T *)j.dpeep + p * (j.family == NORM ? 14 : 3) * H : 0;
      works[p] = {&j, &plan.parts[p], panels, panels_x, free_from, peep, memory + p * sums, 0};
      free_from += (plan.parts[p].n * per_sample + fixed) / 16 * 16;
      works[p].pack = free_from;
      free_from += pack;
    }
    run<Work<T>, backward_part<T>>(works, threads);
    if (j.dW) deliver_all<T>(j, memory, threads);
  }
  free(panels), free(memory), free(works), free(plan.memory);
  return result;
}

template <class T> void activations(const T *x, i64 n, T *s, T *t) {
  enum { N = Lanes<T>::N };
  for (i64 i = 0; i < n; i += N) {
    const int m = lanes_at(n, i, N);
    put(s + i, sigmoid(get(x + i, m)), m);
    put(t + i, tanh_(get(x + i, m)), m);
  }
}

}  // namespace

#include "tape.h"

#define EXPORT extern "C" __attribute__((visibility("default")))
#define NAME(what) PASTE(what, ISA)
EXPORT i64 NAME(forward_f32)(const Job *j) { return forward<float>(*j); }
EXPORT i64 NAME(forward_f64)(const Job *j) { return forward<double>(*j); }
EXPORT i64 NAME(backward_f32)(const Job *j) { return backward<float>(*j); }
EXPORT i64 NAME(backward_f64)(const Job *j) { return backward<double>(*j); }
EXPORT i64 NAME(threads)(const Job *j) { return threads_for(*j); }
EXPORT void NAME(activations_f32)(const float *x, i64 n, float *s, float *t) { activations(x, n, s, t); }
EXPORT void NAME(activations_f64)(const double *x, i64 n, double *s, double *t) { activations(x, n, s, t); }
EXPORT i64 NAME(play_f32)(const Play *play) { return play_all<float>(*play); }
EXPORT i64 NAME(play_f64)(const Play *play) { return play_all<double>(*play); }
EXPORT i64 NAME(supported)(void) {
#if VB == 64
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma");
#elif VB == 32
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return 1;
#endif
}
