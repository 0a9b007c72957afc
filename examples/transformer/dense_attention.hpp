#pragma once

#include <cstdint>
#include <deque>
#include <lacuna/lacuna.hpp>
#include <vector>

#include "transformer/attention.hpp"
#include "transformer/config.hpp"
#include "transformer/memory.hpp"

namespace transformer {

/// Attention over everything, from one contiguous cache per layer.
class DenseAttention : public Attention {
 public:
  /// Room for `capacity_tokens`. The last `kept_queries` queries of the prompt stay readable, for those who choose from
  /// a dense prompt what to read later.
  DenseAttention(Config const& config, std::int64_t capacity_tokens, std::int64_t kept_queries = 0);

  void prefill(lacuna::Cpu exec, int layer, LayerRows const& rows, lacuna::TensorView<float, 3> out) override;
  void step(lacuna::Cpu exec, int layer, LayerRows const& rows, lacuna::TensorView<float, 3> out) override;

  /// Stores the rows; returns the problem that they pose, the rows themselves included.
  lacuna::Problem<float> remember(lacuna::Cpu exec, int layer, LayerRows const& rows);

  std::int64_t layers() const { return static_cast<std::int64_t>(layers_.size()); }
  std::int64_t tokens() const { return layers_.front().cache.length(); }
  /// The last queries of the prompt over everything that the layer holds. Meant for the prompt's end, before any step.
  lacuna::Problem<float> last_queries(std::int64_t layer) const;

 private:
  struct Layer {
    Layer(Config const& config, std::int64_t capacity_tokens);
    Buffer memory;
    lacuna::ContiguousCache<float> cache;
    std::vector<float> queries;  // [kept, heads_q, dim]
  };

  void keep_queries(int layer, LayerRows const& rows);
  void attend(lacuna::Cpu exec, int layer, LayerRows const& rows, lacuna::TensorView<float, 3> out);

  Config config_;
  std::int64_t kept_queries_;
  std::deque<Layer> layers_;
  lacuna::Dense method_;
  Buffer workspace_;
};

}  // namespace transformer
