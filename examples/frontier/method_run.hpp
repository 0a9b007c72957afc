#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <lacuna/lacuna.hpp>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "frontier/head_density.hpp"
#include "transformer/dense_attention.hpp"

namespace frontier {

/// One sequence under one method, from the end of its prompt on, or from its start where the method is about the
/// prompt.
class MethodRun : public transformer::Attention {
 public:
  /// Mean share of the dense work over everything measured so far; 1 before anything was.
  double density() const { return measurements_ == 0 ? 1.0 : sum_ / static_cast<double>(measurements_); }
  /// The same of each layer and head: a query head, or a KV head whose group shares the choice. Empty where nothing was
  /// measured head by head.
  std::vector<std::vector<double>> head_densities() const {
    std::vector<std::vector<double>> means = head_sums_;
    for (std::size_t layer = 0; layer < means.size(); ++layer)
      for (double& mean : means[layer]) mean /= static_cast<double>(layer_measurements_[layer]);
    return means;
  }
  /// The most that its caches have held, and the memory it asked for to select and to attend.
  virtual std::size_t peak_bytes() const = 0;
  /// Spent in step() so far: remembering, selecting and attending.
  double step_seconds() const { return std::chrono::duration<double>(step_time_).count(); }

  void prefill(lacuna::Cpu, int, transformer::LayerRows const&, lacuna::TensorView<float, 3>) override {
    throw std::logic_error("this method begins at the end of a prompt that was read densely");
  }
  void step(lacuna::Cpu exec, int layer, transformer::LayerRows const& rows, lacuna::TensorView<float, 3> out) final {
    auto const start = std::chrono::steady_clock::now();
    attend_step(exec, layer, rows, out);
    step_time_ += std::chrono::steady_clock::now() - start;
  }

 protected:
  void measured(double density) {
    sum_ += density;
    ++measurements_;
  }
  /// What an index keeps of what its cache holds, which is `held` of all that there was.
  template <class Index>
  void measured(std::int64_t layer, Index const& index, double held = 1.0) {
    measured(lacuna::density(index) * held);
    std::vector<double> const densities = frontier::head_densities(index);
    auto const at = static_cast<std::size_t>(layer);
    head_sums_.resize(std::max(head_sums_.size(), at + 1));
    layer_measurements_.resize(head_sums_.size());
    head_sums_[at].resize(densities.size());
    for (std::size_t head = 0; head < densities.size(); ++head) head_sums_[at][head] += densities[head] * held;
    ++layer_measurements_[at];
  }

 private:
  virtual void attend_step(lacuna::Cpu exec, int layer, transformer::LayerRows const& rows,
                           lacuna::TensorView<float, 3> out) = 0;

  double sum_ = 0.0;
  std::int64_t measurements_ = 0;
  std::vector<std::vector<double>> head_sums_;    // [layers][heads]
  std::vector<std::int64_t> layer_measurements_;  // [layers]
  std::chrono::steady_clock::duration step_time_{};
};

/// A lacuna method with the memory that it asks for.
template <class M>
class Planned {
 public:
  explicit Planned(M method) : method_(std::move(method)) {}

  M const& method() const { return method_; }
  typename M::Index const& index() const { return index_; }
  std::size_t bytes() const {
    return workspace_.workspace().capacity_bytes() + index_memory_.workspace().capacity_bytes();
  }

  /// Makes room for problems up to `shape`.
  void plan(lacuna::Cpu exec, lacuna::Shape const& shape) {
    lacuna::Expected<lacuna::Plan> const plan = method_.plan(exec, shape);
    transformer::require(plan.status());
    workspace_.reserve(plan->workspace_bytes);
    index_memory_.reserve(plan->index_bytes);
    lacuna::Workspace memory = index_memory_.workspace();
    index_ = method_.make_index(shape, memory);
  }
  void select(lacuna::Cpu exec, lacuna::Problem<float> const& problem) {
    transformer::require(method_.select(exec, problem, workspace_.workspace(), index_));
  }
  void run(lacuna::Cpu exec, lacuna::Problem<float> const& problem, lacuna::TensorView<float, 3> out) {
    transformer::require(method_.run(exec, problem, workspace_.workspace(), index_, lacuna::AttentionOut<float>{out}));
  }

 private:
  M method_;
  transformer::Buffer workspace_;
  transformer::Buffer index_memory_;
  typename M::Index index_{};
};

/// The rows of a contiguous view, as append() takes them.
inline lacuna::TensorView<float const, 3> rows_of(lacuna::KvView<float> const& kv, float const* data) {
  return {data, {kv.len, kv.heads_kv, kv.dim}, {kv.stride_token, kv.stride_head, 1}};
}

/// Pages for all layers of one sequence, and a cache per layer. `Cache` is one of the library's paged caches, and
/// `rule` what it takes last: the tokens of the pages whose bounds it keeps, or a StreamingRule.
template <class Cache>
class PagedLayers {
 public:
  template <class Rule>
  PagedLayers(transformer::Config const& config, std::int64_t capacity_tokens, std::int64_t pages_per_head,
              Rule const& rule)
      : pool_memory_(Pool::bytes(pages_per_head * config.heads_kv, kPageTokens, config.head_dim)),
        pool_(pool_memory_.data(), pages_per_head * config.heads_kv, kPageTokens, config.head_dim) {
    for (std::int64_t layer = 0; layer < config.layers; ++layer) {
      tables_.emplace_back(Cache::bytes(pool_, capacity_tokens, config.heads_kv, rule));
      caches_.emplace_back(pool_, tables_.back().data(), capacity_tokens, config.heads_kv, rule);
    }
  }

  Cache& operator[](std::int64_t layer) { return caches_[static_cast<std::size_t>(layer)]; }

  /// The whole prompt of a layer.
  void append(lacuna::Cpu exec, std::int64_t layer, lacuna::KvView<float> const& kv) {
    transformer::require((*this)[layer].append(exec, rows_of(kv, kv.k), rows_of(kv, kv.v)));
    least_free_ = std::min(least_free_, pool_.free_pages());
  }

  /// Keys and values at most held: what a prompt needed, or what is held now.
  std::size_t peak_bytes() const {
    return Pool::bytes(pool_.pages() - std::min(least_free_, pool_.free_pages()), kPageTokens, pool_.dim());
  }

  static std::int64_t pages(std::int64_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

 private:
  using Pool = lacuna::PagePool<float>;
  static constexpr std::int64_t kPageTokens = 16;

  transformer::Buffer pool_memory_;
  Pool pool_;
  std::int64_t least_free_ = pool_.free_pages();
  std::deque<transformer::Buffer> tables_;
  std::deque<Cache> caches_;  // a deque, because caches cannot be moved
};

/// Keys and values of everything read so far.
inline std::size_t dense_bytes(transformer::DenseAttention const& dense) {
  std::size_t bytes = 0;
  for (std::int64_t layer = 0; layer < dense.layers(); ++layer) {
    lacuna::KvView<float> const kv = dense.last_queries(layer).kv;
    bytes += static_cast<std::size_t>(2 * kv.len * kv.heads_kv * kv.dim) * sizeof(float);
  }
  return bytes;
}

/// Dense steps after a dense prompt, whose cache it goes on filling.
class DenseRun final : public MethodRun {
 public:
  explicit DenseRun(std::shared_ptr<transformer::DenseAttention> prompt) : prompt_(std::move(prompt)) {}
  std::size_t peak_bytes() const override { return dense_bytes(*prompt_); }

 private:
  void attend_step(lacuna::Cpu exec, int layer, transformer::LayerRows const& rows,
                   lacuna::TensorView<float, 3> out) override {
    prompt_->step(exec, layer, rows, out);
  }

  std::shared_ptr<transformer::DenseAttention> prompt_;
};

/// A sparse prompt, then dense steps.
template <class M>
class PrefillRun final : public MethodRun {
 public:
  PrefillRun(M method, transformer::Config const& config, std::int64_t capacity_tokens)
      : planned_(std::move(method)), dense_(config, capacity_tokens) {}

  void prefill(lacuna::Cpu exec, int layer, transformer::LayerRows const& rows,
               lacuna::TensorView<float, 3> out) override {
    lacuna::Problem<float> const problem = dense_.remember(exec, layer, rows);
    planned_.plan(exec, lacuna::shape_of(problem));
    planned_.run(exec, problem, out);
    measured(layer, planned_.index());
  }
  std::size_t peak_bytes() const override { return dense_bytes(dense_) + planned_.bytes(); }

 private:
  void attend_step(lacuna::Cpu exec, int layer, transformer::LayerRows const& rows,
                   lacuna::TensorView<float, 3> out) override {
    dense_.step(exec, layer, rows, out);
  }

  Planned<M> planned_;
  transformer::DenseAttention dense_;
};

/// A dense prompt that shrinks at its end; dense steps over what is left.
template <class M>
class EvictRun final : public MethodRun {
 public:
  EvictRun(lacuna::Cpu exec, M method, transformer::Config const& config, std::int64_t capacity_tokens,
           std::int64_t kept_tokens, transformer::DenseAttention const& prompt)
      // Layer after layer fills the pool and gives most of it back: there is never more than one whole prompt in it.
      // One page more for each, because heads of different lengths end in pages of their own.
      : layers_(config, capacity_tokens,
                Layers::pages(prompt.tokens()) +
                    config.layers * (Layers::pages(kept_tokens + capacity_tokens - prompt.tokens()) + 1),
                0) {
    Planned<M> planned(std::move(method));
    for (std::int64_t layer = 0; layer < config.layers; ++layer) {
      lacuna::Problem<float> const problem = prompt.last_queries(layer);
      planned.plan(exec, lacuna::shape_of(problem));
      planned.select(exec, problem);
      measured(layer, planned.index());
      layers_.append(exec, layer, problem.kv);
      transformer::require(layers_[layer].retain(exec, planned.index()));
    }
    dense_.plan({}, {1, capacity_tokens, config.heads_q, config.heads_kv, config.head_dim});
  }
  std::size_t peak_bytes() const override { return layers_.peak_bytes() + dense_.bytes(); }

 private:
  using Layers = PagedLayers<typename M::template Store<float>>;

  void attend_step(lacuna::Cpu exec, int layer, transformer::LayerRows const& rows,
                   lacuna::TensorView<float, 3> out) override {
    auto& cache = layers_[layer];
    transformer::require(cache.append(exec, rows.k, rows.v));
    dense_.run(exec, {rows.q, cache.view()}, out);
  }

  Layers layers_;
  Planned<lacuna::Dense> dense_{{}};
};

/// A dense prompt that is kept whole; every step reads a choice of it.
template <class M>
class StepRun final : public MethodRun {
 public:
  StepRun(lacuna::Cpu exec, M method, transformer::Config const& config, std::int64_t capacity_tokens,
          std::int64_t unit_tokens, transformer::DenseAttention const& prompt)
      : planned_(std::move(method)),
        layers_(config, capacity_tokens, config.layers * Layers::pages(capacity_tokens), unit_tokens) {
    for (std::int64_t layer = 0; layer < config.layers; ++layer)
      layers_.append(exec, layer, prompt.last_queries(layer).kv);
    planned_.plan({}, {1, capacity_tokens, config.heads_q, config.heads_kv, config.head_dim});
  }
  std::size_t peak_bytes() const override { return layers_.peak_bytes() + planned_.bytes(); }

 private:
  using Layers = PagedLayers<typename M::template Store<float>>;

  void attend_step(lacuna::Cpu exec, int layer, transformer::LayerRows const& rows,
                   lacuna::TensorView<float, 3> out) override {
    auto& cache = layers_[layer];
    transformer::require(cache.append(exec, rows.k, rows.v));
    planned_.run(exec, {rows.q, cache.view()}, out);
    measured(layer, planned_.index());
  }

  Planned<M> planned_;
  Layers layers_;
};

/// A dense prompt that shrinks at its end, by M; every step reads pages of what is left, by Step.
template <class M, class Step>
class EvictStepRun final : public MethodRun {
 public:
  EvictStepRun(lacuna::Cpu exec, M method, Step step, transformer::Config const& config, std::int64_t capacity_tokens,
               std::int64_t unit_tokens, transformer::DenseAttention const& prompt)
      : planned_(std::move(step)),
        layers_(config, capacity_tokens, config.layers * Layers::pages(capacity_tokens), unit_tokens),
        seen_(static_cast<std::size_t>(config.layers), prompt.tokens()) {
    Planned<M> planned(std::move(method));
    for (std::int64_t layer = 0; layer < config.layers; ++layer) {
      lacuna::Problem<float> const problem = prompt.last_queries(layer);
      planned.plan(exec, lacuna::shape_of(problem));
      planned.select(exec, problem);
      layers_.append(exec, layer, problem.kv);
      transformer::require(layers_[layer].retain(exec, planned.index()));
    }
    planned_.plan({}, {1, capacity_tokens, config.heads_q, config.heads_kv, config.head_dim});
  }
  std::size_t peak_bytes() const override { return layers_.peak_bytes() + planned_.bytes(); }

 private:
  using Layers = PagedLayers<typename M::template Store<float>>;

  /// Tokens that are read, of all that there have been.
  void attend_step(lacuna::Cpu exec, int layer, transformer::LayerRows const& rows,
                   lacuna::TensorView<float, 3> out) override {
    auto& cache = layers_[layer];
    transformer::require(cache.append(exec, rows.k, rows.v));
    planned_.run(exec, {rows.q, cache.view()}, out);
    auto const seen = static_cast<double>(++seen_[static_cast<std::size_t>(layer)]);
    measured(layer, planned_.index(), static_cast<double>(cache.length(0)) / seen);
  }

  Planned<Step> planned_;
  Layers layers_;
  std::vector<std::int64_t> seen_;  // per layer
};

/// A dense prompt; at its end and after every step tokens leave.
template <class M>
class StepEvictRun final : public MethodRun {
 public:
  StepEvictRun(lacuna::Cpu exec, M method, transformer::Config const& config, std::int64_t capacity_tokens,
               transformer::DenseAttention const& prompt)
      : planned_(std::move(method)),
        layers_(config, capacity_tokens, config.layers * Layers::pages(capacity_tokens), std::int64_t{0}),
        seen_(static_cast<std::size_t>(config.layers), prompt.tokens()) {
    for (std::int64_t layer = 0; layer < config.layers; ++layer) {
      lacuna::Problem<float> problem = prompt.last_queries(layer);
      layers_.append(exec, layer, problem.kv);
      problem.kv = layers_[layer].view();
      planned_.plan(exec, lacuna::shape_of(problem));
      planned_.select(exec, problem);
      transformer::require(layers_[layer].retain(exec, planned_.index()));
    }
    planned_.plan({}, {1, capacity_tokens, config.heads_q, config.heads_kv, config.head_dim});
  }
  std::size_t peak_bytes() const override { return layers_.peak_bytes() + planned_.bytes(); }

 private:
  using Layers = PagedLayers<typename M::template Store<float>>;

  void attend_step(lacuna::Cpu exec, int layer, transformer::LayerRows const& rows,
                   lacuna::TensorView<float, 3> out) override {
    auto& cache = layers_[layer];
    transformer::require(cache.append(exec, rows.k, rows.v));
    auto const seen = static_cast<double>(++seen_[static_cast<std::size_t>(layer)]);
    measured(static_cast<double>(cache.length(0)) / seen);
    planned_.run(exec, {rows.q, cache.view()}, out);
    transformer::require(cache.retain(exec, planned_.index()));
  }

  Planned<M> planned_;
  Layers layers_;
  std::vector<std::int64_t> seen_;  // per layer
};

/// A dense prompt, of which the first and the last tokens stay; dense steps over sinks and a ring.
class RingRun final : public MethodRun {
 public:
  RingRun(lacuna::Cpu exec, lacuna::StreamingRule const& rule, transformer::Config const& config,
          std::int64_t capacity_tokens, transformer::DenseAttention const& prompt)
      : layers_(config, capacity_tokens, config.layers * Layers::pages(capacity_tokens), rule) {
    for (std::int64_t layer = 0; layer < config.layers; ++layer)
      layers_.append(exec, layer, prompt.last_queries(layer).kv);
    dense_.plan({}, {1, capacity_tokens, config.heads_q, config.heads_kv, config.head_dim});
  }
  std::size_t peak_bytes() const override { return layers_.peak_bytes() + dense_.bytes(); }

 private:
  using Layers = PagedLayers<lacuna::StreamingCache<float>>;

  void attend_step(lacuna::Cpu exec, int layer, transformer::LayerRows const& rows,
                   lacuna::TensorView<float, 3> out) override {
    auto& cache = layers_[layer];
    transformer::require(cache.append(exec, rows.k, rows.v));
    measured(static_cast<double>(cache.length(0)) / static_cast<double>(cache.seen()));
    dense_.run(exec, {rows.q, cache.view()}, out);
  }

  Layers layers_;
  Planned<lacuna::StreamingDecode> dense_{{}};
};

}  // namespace frontier
