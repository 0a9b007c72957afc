#pragma once

#include <lacuna/lacuna.hpp>

namespace transformer {

/// What one layer brings to attention: new rows of one sequence, rotary positions applied.
struct LayerRows {
  lacuna::TensorView<float const, 3> q;  // [tokens, heads_q, head_dim]
  lacuna::TensorView<float const, 3> k;  // [tokens, heads_kv, head_dim]
  lacuna::TensorView<float const, 3> v;  // [tokens, heads_kv, head_dim]
};

/// How one sequence attends, and what it remembers. The model says which phase it is in; the implementation stores k
/// and v in a cache of its choice and writes `out`, [tokens, heads_q, head_dim], every row of it.
class Attention {
 public:
  virtual ~Attention() = default;
  /// The whole prompt at once: once per layer, before any step.
  virtual void prefill(lacuna::Cpu exec, int layer, LayerRows const& rows, lacuna::TensorView<float, 3> out) = 0;
  /// One more token.
  virtual void step(lacuna::Cpu exec, int layer, LayerRows const& rows, lacuna::TensorView<float, 3> out) = 0;
};

}  // namespace transformer
