// One step of one sample through a stack of layers: their weights stay packed, their state stays where it is.
//
// Of each layer's LayerCall are read: the sizes, `extra` and `panels`; `rows` with one row [h | 1 | x] and `cells` with c,
// which hold the state; `hT` and `cT`, scratch for the new one; `gates`, scratch of NORM. `out` is where its output goes:
// for all layers but the last one, x in the row of the layer above.
#pragma once
#include "layer_forward.h"

namespace {

// Packs a layer's weights into `panels`, if that is there. Returns its elements.
template <class T> i64 pack_layer(const LayerCall &j) {
  T *panels = (T *)j.panels;
  if (panels) pack_forward<T>(j, panels, panels + first_panels_size<T>(j));
  return panels_size<T>(j);
}

template <class T> void step_layer(const LayerCall &j) {
  const T *panels = (const T *)j.panels;
  const Work<T> w = {&j, 0, panels, panels + first_panels_size<T>(j), 0, 0, 0, 0};
  T *h = (T *)j.hT, *c = (T *)j.cT, *out = (T *)j.out;
  const i64 id = 0;
  step_rows<T>(w, 1, 0, {&h, &c, &out}, {0, &id});
  memcpy(j.rows, h, j.H * sizeof(T));
  if (has_cell_state(j)) memcpy(j.cells, c, j.H * sizeof(T));
}

// x (I,) of the first layer.
template <class T> void step_stack(const LayerCall *layers, i64 n, const T *x) {
  const FlushResults flush(true);
  if (n) memcpy((T *)layers[0].rows + layers[0].H + 1, x, layers[0].I * sizeof(T));
  for (i64 k = 0; k < n; k++) step_layer<T>(layers[k]);
}

}  // namespace
