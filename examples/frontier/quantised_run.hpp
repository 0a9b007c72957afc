#pragma once

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <vector>

#include "frontier/method_run.hpp"

namespace frontier {

/// A dense prompt whose keys and values are kept as 8-bit codes; every step reads a choice of pages. The scales are
/// those that the prompt needs; what later tokens exceed them by is clamped.
template <class M, lacuna::Code C>
class QuantisedRun final : public MethodRun {
 public:
  QuantisedRun(lacuna::Cpu exec, M method, transformer::Config const& config, std::int64_t capacity_tokens,
               std::int64_t unit_tokens, transformer::DenseAttention const& prompt)
      : method_{std::move(method)} {
    std::int64_t const pages = (capacity_tokens + kPageTokens - 1) / kPageTokens * config.heads_kv;
    lacuna::Shape const shape{1, capacity_tokens, config.heads_q, config.heads_kv, config.head_dim};
    lacuna::Expected<lacuna::Plan> const plan = method_.plan(exec, shape);
    transformer::require(plan.status());
    workspace_.reserve(plan->workspace_bytes);
    index_memory_.reserve(plan->index_bytes);
    lacuna::Workspace memory = index_memory_.workspace();
    index_ = method_.make_index(shape, memory);
    for (std::int64_t layer = 0; layer < config.layers; ++layer) {
      lacuna::KvView<float> const kv = prompt.last_queries(layer).kv;
      layers_.push_back(std::make_unique<Layer>(config, capacity_tokens, pages, unit_tokens, scales_of(kv, kv.k),
                                                scales_of(kv, kv.v)));
      transformer::require(layers_.back()->cache.append(exec, rows_of(kv, kv.k), rows_of(kv, kv.v)));
    }
  }

  std::size_t peak_bytes() const override {
    std::size_t bytes = workspace_.workspace().capacity_bytes() + index_memory_.workspace().capacity_bytes();
    for (auto const& layer : layers_)
      bytes +=
          lacuna::PagePool<C>::bytes(layer->pool.pages() - layer->pool.free_pages(), kPageTokens, layer->pool.dim());
    return bytes;
  }

 private:
  static constexpr std::int64_t kPageTokens = 16;

  struct Layer {
    Layer(transformer::Config const& config, std::int64_t capacity_tokens, std::int64_t pages, std::int64_t unit_tokens,
          std::vector<float> of_keys, std::vector<float> of_values)
        : k_scales(std::move(of_keys)),
          v_scales(std::move(of_values)),
          pool_memory(lacuna::PagePool<C>::bytes(pages, kPageTokens, config.head_dim)),
          pool(pool_memory.data(), pages, kPageTokens, config.head_dim),
          table(lacuna::QuantisedCache<float, C>::bytes(pool, capacity_tokens, config.heads_kv, unit_tokens)),
          cache(pool, table.data(), capacity_tokens, config.heads_kv, unit_tokens,
                lacuna::dense_view<float const, 1>(k_scales.data(), {config.heads_kv}),
                lacuna::dense_view<float const, 1>(v_scales.data(), {config.heads_kv})) {}
    std::vector<float> k_scales, v_scales;
    transformer::Buffer pool_memory;
    lacuna::PagePool<C> pool;
    transformer::Buffer table;
    lacuna::QuantisedCache<float, C> cache;
  };

  /// The largest magnitude of each KV head becomes the largest code.
  static std::vector<float> scales_of(lacuna::KvView<float> const& kv, float const* data) {
    lacuna::TensorView<float const, 3> const rows = rows_of(kv, data);
    std::vector<float> scales(static_cast<std::size_t>(kv.heads_kv), 1e-6F);
    for (std::int64_t token = 0; token < kv.len; ++token)
      for (std::int64_t head = 0; head < kv.heads_kv; ++head)
        for (std::int64_t i = 0; i < kv.dim; ++i) {
          float& scale = scales[static_cast<std::size_t>(head)];
          scale = std::max(scale, std::abs(rows(token, head, i)) / lacuna::kLargestCode<C>);
        }
    return scales;
  }

  void attend_step(lacuna::Cpu exec, int layer, transformer::LayerRows const& rows,
                   lacuna::TensorView<float, 3> out) override {
    auto& cache = layers_[static_cast<std::size_t>(layer)]->cache;
    transformer::require(cache.append(exec, rows.k, rows.v));
    transformer::require(
        method_.run(exec, {rows.q, {}}, cache, workspace_.workspace(), index_, lacuna::AttentionOut<float>{out}));
    measured(layer, index_);
  }

  lacuna::OverQuantised<M, float, C> method_;
  transformer::Buffer workspace_;
  transformer::Buffer index_memory_;
  lacuna::PageIndex index_{};
  std::vector<std::unique_ptr<Layer>> layers_;
};

}  // namespace frontier
