#include "transformer/dense_attention.hpp"

#include <algorithm>

namespace transformer {

DenseAttention::Layer::Layer(Config const& config, std::int64_t capacity_tokens)
    : memory(lacuna::ContiguousCache<float>::bytes(capacity_tokens, config.heads_kv, config.head_dim)),
      cache(memory.data(), capacity_tokens, config.heads_kv, config.head_dim) {}

DenseAttention::DenseAttention(Config const& config, std::int64_t capacity_tokens, std::int64_t kept_queries)
    : config_(config), kept_queries_(kept_queries) {
  for (std::int64_t layer = 0; layer < config.layers; ++layer) layers_.emplace_back(config, capacity_tokens);
}

lacuna::Problem<float> DenseAttention::remember(lacuna::Cpu exec, int layer, LayerRows const& rows) {
  auto& cache = layers_[static_cast<std::size_t>(layer)].cache;
  require(cache.append(exec, rows.k, rows.v));
  return {rows.q, cache.view()};
}

void DenseAttention::keep_queries(int layer, LayerRows const& rows) {
  std::int64_t const kept = std::min(kept_queries_, rows.q.extent(0));
  std::vector<float>& queries = layers_[static_cast<std::size_t>(layer)].queries;
  queries.clear();
  for (std::int64_t row = rows.q.extent(0) - kept; row < rows.q.extent(0); ++row)
    for (std::int64_t head = 0; head < config_.heads_q; ++head)
      queries.insert(queries.end(), &rows.q(row, head, 0), &rows.q(row, head, 0) + config_.head_dim);
}

lacuna::Problem<float> DenseAttention::last_queries(std::int64_t layer) const {
  Layer const& held = layers_[static_cast<std::size_t>(layer)];
  auto const rows = static_cast<std::int64_t>(held.queries.size()) / (config_.heads_q * config_.head_dim);
  return {lacuna::dense_view<float const, 3>(held.queries.data(), {rows, config_.heads_q, config_.head_dim}),
          held.cache.view()};
}

void DenseAttention::attend(lacuna::Cpu exec, int layer, LayerRows const& rows, lacuna::TensorView<float, 3> out) {
  lacuna::Problem<float> const problem = remember(exec, layer, rows);
  lacuna::Expected<lacuna::Plan> const plan = method_.plan(exec, lacuna::shape_of(problem));
  require(plan.status());
  workspace_.reserve(plan->workspace_bytes);
  lacuna::DenseIndex index;
  require(method_.run(exec, problem, workspace_.workspace(), index, lacuna::AttentionOut<float>{out}));
}

void DenseAttention::prefill(lacuna::Cpu exec, int layer, LayerRows const& rows, lacuna::TensorView<float, 3> out) {
  keep_queries(layer, rows);
  attend(exec, layer, rows, out);
}

void DenseAttention::step(lacuna::Cpu exec, int layer, LayerRows const& rows, lacuna::TensorView<float, 3> out) {
  attend(exec, layer, rows, out);
}

}  // namespace transformer
