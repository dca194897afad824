// The step of any cell, recorded as a tape of operations on rows, executed over whole sequences, forward and backward.
//
// tape.py, recorder.py and backward.py make the tape; here it is only executed. One row per valid (sample, step), packed by
// time with the longest sample first, so that the rows of step t are the first batch_sizes[t] samples. Rows go through the
// tape in blocks that stay in the cache, and each thread owns whole samples.
#pragma once
#include "tape_operations.h"

// Mirrored field by field in tape_call.py.
struct Buffer {
  void *p;                 // LOCAL, SUM: offset of its elements in a row of the scratch memory, in the sums
  i64 stride, addressing;  // elements from row to row; which row is accessed
  i64 step;                // GRID: elements from step to step
};
struct TapeCall {
  i64 threads, T, B, block, backward, scratch, sums;
  const i64 *batch_sizes, *offsets;  // samples alive at step t; rows before it
  const Instruction *instructions;
  i64 n_instructions;
  const Buffer *buffers;
  i64 n_buffers;
  const Matrix *matrices;
  i64 n_matrices;
  void *sum;  // (threads, sums): gradients of what all rows share
};

namespace {

// FIXED: the same row always; ROW: of all rows packed by time; SAMPLE: of the sample; LOCAL: of the block; SUM: of the
// thread; GRID: of the sample at this step, in (B, T, width). SHIFTED, PREVIOUS: of all rows packed by time behind one row
// per sample for the initial state: the current row, and that of the step before.
enum class Addressing : i64 { FIXED, ROW, SAMPLE, LOCAL, SUM, GRID, SHIFTED, PREVIOUS };

const i64 MAX_BUFFERS = 64;

// One thread's work.
template <class T> struct TapeWorker {
  const TapeCall *call;
  T *const *panels;  // packed matrices
  i64 from, to;      // its samples
  i64 number;
  T *scratch;
  T *rows;           // waiting for the products of OUTER
  i64 waiting;       // how many they are, the same of each product
};

// Rows of the gradient of a matrix (k, n); backward, where OUTER is, it is transposed.
INLINE i64 outer_rows(const TapeCall &p, const Instruction &m) { return p.matrices[m.matrix].n; }

// One instruction on n rows; base[k] is the first row of buffer k, and OUTER appends to `rows`.
template <class T> void execute(const TapeWorker<T> &w, const Instruction &m, i64 n, T *const *base, T *rows) {
  typedef typename Lanes<T>::V V;
  const Buffer *B = w.call->buffers;
  T *to = base[m.to] + m.to_at;
  const T *a = base[m.a] + m.a_at, *b = base[m.b] + m.b_at, *c = base[m.c] + m.c_at;
  const i64 ts = B[m.to].stride, as = B[m.a].stride, bs = B[m.b].stride, cs = B[m.c].stride;
  const V one = V{} + T(1), zero = V{}, half = V{} + T(0.5);
  const T s = (T)m.scale, shift = (T)m.shift;
#define MAP(OPERATION, ARGS, RESULT) \
  case Operation::OPERATION:         \
    return each<T, ARGS>(n, m, to, ts, a, as, b, bs, c, cs, [=](V x, V y, V z) -> V { return RESULT; });
  switch ((Operation)m.operation) {
    MAP(FILL, 0, zero + s)
    MAP(COPY, 1, x)
    MAP(ADD, 2, x + s * y)
    MAP(MUL, 2, x * y)
    MAP(DIV, 2, x / y)
    MAP(AFFINE, 1, x * s + shift)
    MAP(SIGMOID, 1, sigmoid(x))
    MAP(TANH, 1, tanh_(x))
    MAP(RELU, 1, x < zero ? zero : x)
    MAP(EXP, 1, exp_(x))
    MAP(LOG, 1, log_(x))
    MAP(LOGSIGMOID, 1, (x < zero ? x : zero) - log1p_exp(x))
    MAP(SOFTPLUS, 1, (x < zero ? zero : x) + log1p_exp(x))
    MAP(SQRT, 1, (lanewise<T, V>(x, [](T v) { return (T)__builtin_sqrt(v); })))
    MAP(ABS, 1, x < zero ? -x : x)
    MAP(MAX, 2, x != x ? x : x > y ? x : y)
    MAP(MIN, 2, x != x ? x : x < y ? x : y)
    MAP(D_SIGMOID, 2, x * (y * (one - y)))
    MAP(D_TANH, 2, x * (one - y * y))
    MAP(D_RELU, 2, y > zero ? x : zero)
    MAP(D_DIV, 3, -(x * y) / z)
    MAP(D_LOGSIGMOID, 2, x * (one - exp_(y)))
    MAP(D_SOFTPLUS, 2, x * sigmoid(y))
    MAP(D_SQRT, 2, half * x / y)
    MAP(D_ABS, 2, y > zero ? x : y < zero ? -x : zero)
    MAP(D_MAX, 3, y > z ? x : y == z ? half * x : zero)
    MAP(D_MIN, 3, y < z ? x : y == z ? half * x : zero)
    case Operation::EXPAND:
      for (i64 q = 0; q < n; q++)
        for (i64 u = 0; u < m.width; u++) to[q * ts + u] = a[q * as] * s + (m.accumulate ? to[q * ts + u] : 0);
      return;
    case Operation::SUM:
      for (i64 q = 0; q < n; q++) to[q * ts] = s * sum_of<T>(a + q * as, 0, m.width) + (m.accumulate ? to[q * ts] : 0);
      return;
    case Operation::MATMUL: return matmul<T>(n, m, w.call->matrices[m.matrix], w.panels[m.matrix], to, ts, a, as);
    case Operation::NORMALIZE: return normalize<T>(n, m, to, ts, a, as, (T *)c, cs);
    case Operation::D_NORMALIZE: return d_normalize<T>(n, m, to, ts, a, as, b, bs, c, cs);
    case Operation::SUM_ROWS: return sum_rows<T, false>(n, m, to, a, as, a, as);
    case Operation::SUM_PRODUCTS: return sum_rows<T, true>(n, m, to, a, as, b, bs);
    case Operation::OUTER: return append_rows<T>(n, outer_rows(*w.call, m), m.width, w.waiting, rows, a, as, b, bs);
  }
#undef MAP
}

// First row of a buffer for rows from r on at step t.
template <class T> T *locate(const TapeWorker<T> &w, const Buffer &buffer, i64 t, i64 r) {
  const TapeCall &p = *w.call;
  T *start = (T *)buffer.p;
  i64 row = 0;
  switch ((Addressing)buffer.addressing) {
    case Addressing::FIXED: break;
    case Addressing::ROW: row = p.offsets[t] + r; break;
    case Addressing::SAMPLE:
    case Addressing::GRID: row = r; break;
    case Addressing::LOCAL: start = w.scratch + (i64)buffer.p * p.block; break;
    case Addressing::SUM: start = (T *)p.sum + w.number * p.sums + (i64)buffer.p; break;
    case Addressing::SHIFTED: row = p.B + p.offsets[t] + r; break;
    case Addressing::PREVIOUS: row = t ? p.B + p.offsets[t - 1] + r : r; break;
  }
  return start + row * buffer.stride + t * buffer.step;
}

// Elements of all rows that wait for products.
template <class T> i64 all_waiting(const TapeCall &p) {
  i64 size = 0;
  for (i64 k = 0; k < p.n_instructions; k++) {
    const Instruction &m = p.instructions[k];
    if ((Operation)m.operation == Operation::OUTER) size += waiting_size<T>(outer_rows(p, m), m.width);
  }
  return size;
}
template <class T> void add_products(TapeWorker<T> &w) {
  const TapeCall &p = *w.call;
  T *rows = w.rows;
  for (i64 k = 0; k < p.n_instructions && w.waiting; k++) {
    const Instruction &m = p.instructions[k];
    if ((Operation)m.operation != Operation::OUTER) continue;
    add_outer<T>(w.waiting, outer_rows(p, m), m.width, locate<T>(w, p.buffers[m.to], 0, 0) + m.to_at, rows);
    rows += waiting_size<T>(outer_rows(p, m), m.width);
  }
  w.waiting = 0;
}

template <class T> void run_samples(TapeWorker<T> &w) {
  const TapeCall &p = *w.call;
  const FlushResults flush(p.backward);  // not forward, where the logarithm of a small gate is finite
  T *base[MAX_BUFFERS];
  for (i64 i = 0; i < p.T; i++) {
    const i64 t = p.backward ? p.T - 1 - i : i, end = w.to < p.batch_sizes[t] ? w.to : p.batch_sizes[t];
    for (i64 r = w.from; r < end; r += p.block) {
      const i64 n = end - r < p.block ? end - r : p.block;
      if (w.waiting + n > WAITING_ROWS) add_products<T>(w);
      for (i64 k = 0; k < p.n_buffers; k++) base[k] = locate<T>(w, p.buffers[k], t, r);
      T *rows = w.rows;
      for (i64 k = 0; k < p.n_instructions; k++) {
        const Instruction &m = p.instructions[k];
        execute<T>(w, m, n, base, rows);
        if ((Operation)m.operation == Operation::OUTER) rows += waiting_size<T>(outer_rows(p, m), m.width);
      }
      w.waiting += n;
    }
  }
  add_products<T>(w);
}

// 0; or -2, no memory; or -3, more than MAX_BUFFERS buffers.
template <class T> i64 run_tape(const TapeCall &p) {
  if (p.n_buffers > MAX_BUFFERS || p.threads > MAX_THREADS) return -3;
  const i64 waiting = all_waiting<T>(p), own = p.block * p.scratch;
  i64 size = p.threads * (own + waiting), packed = 0;
  for (i64 k = 0; k < p.n_matrices; k++) packed += p.matrices[k].k * padded<T>(p.matrices[k].n);
  T *memory = aligned<T>(size + packed + 64);
  T **panels = (T **)malloc((p.n_matrices + 1) * sizeof(T *));
  TapeWorker<T> *workers = (TapeWorker<T> *)malloc(p.threads * sizeof(TapeWorker<T>));
  i64 result = 0;
  if (!memory || !panels || !workers) result = -2;
  else {
    T *to = memory + size;
    for (i64 k = 0; k < p.n_matrices; k++) {
      panels[k] = to;
      pack_matrix<T>(p.matrices[k], to);
      to += p.matrices[k].k * padded<T>(p.matrices[k].n);
    }
    for (i64 k = 0; k < p.threads; k++)
      workers[k] = {&p, panels, k * p.B / p.threads, (k + 1) * p.B / p.threads, k, memory + k * own,
                    memory + p.threads * own + k * waiting, 0};
    run_threads<TapeWorker<T>, run_samples<T>>(workers, p.threads);
  }
  free(memory), free(panels), free(workers);
  return result;
}

}  // namespace
