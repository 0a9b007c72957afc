#pragma once

#include <algorithm>
#include <cstdint>

#include "lacuna/cost/work.hpp"

namespace lacuna {

// The whole-model accounts of "The Sparse Frontier" (arXiv 2504.17768, appendix B), for comparing models of different
// sizes: FLOPs of a prefill, elements read by a decode step. Multiply elements by the bytes of each term's storage.
// Unlike the per-layer work, attention counts the full square of a prompt, dense and sparse alike; `density` is
// relative to the causal triangle. Where a figure of the paper only follows from another formula than the printed one,
// the one that reproduces the figure is used, and said.

/// Dimensions of a decoder with gated MLPs. The `sliding_layers` attend to the last `sliding_window` tokens, and are
/// never made sparse.
struct ModelDims {
  std::int64_t layers = 0;
  std::int64_t heads_q = 0;
  std::int64_t heads_kv = 0;
  std::int64_t dim = 0;  // of a head
  std::int64_t hidden = 0;
  std::int64_t mlp = 0;
  std::int64_t vocab = 0;
  std::int64_t sliding_layers = 0;
  std::int64_t sliding_window = 1024;

  constexpr std::int64_t global_layers() const { return layers - sliding_layers; }
};

/// What sparsity shrinks: the scores and the weighted sums of values; or, as in the speed-ups that the paper's
/// breakdown figure shows, the projections of q, k, v and out as well, which no method touches.
enum class Accounting : std::uint8_t { exact, published };

/// FLOPs of a prefill of one prompt.
struct PrefillFlops {
  double embedding = 0.0;
  double projections = 0.0;
  double scores = 0.0;  // logits, softmax and weighted sums
  double mlp = 0.0;
  double logits = 0.0;
  double selection = 0.0;

  constexpr double attention() const { return projections + scores; }
  constexpr double total() const { return embedding + attention() + mlp + logits + selection; }
};

/// `selection` is one of the *_index_flops below, or 0. Times the batch for a batch.
constexpr PrefillFlops prefill_flops(ModelDims const& model, std::int64_t len, double density = 1.0,
                                     Accounting accounting = Accounting::exact, double selection = 0.0) {
  auto const tokens = static_cast<double>(len), layers = static_cast<double>(model.layers);
  auto const hidden = static_cast<double>(model.hidden), mlp = static_cast<double>(model.mlp);
  auto const global = static_cast<double>(model.global_layers()), sliding = static_cast<double>(model.sliding_layers);
  double const projections_of_layer =
      2.0 * tokens * hidden * static_cast<double>(2 * model.dim * (model.heads_q + model.heads_kv));
  double const touched = accounting == Accounting::published ? density : 1.0;
  double const squares =
      global * density * tokens * tokens + sliding * tokens * static_cast<double>(std::min(len, model.sliding_window));
  return {.embedding = 2.0 * tokens * hidden,
          .projections = (global * touched + sliding) * projections_of_layer,
          .scores = static_cast<double>(model.heads_q * (4 * model.dim + 3)) * squares,
          .mlp = layers * 2.0 * tokens * mlp * (3.0 * hidden + 1.0),
          .logits = 2.0 * tokens * hidden * static_cast<double>(model.vocab),
          .selection = selection};
}

/// Elements that one decode step of a batch reads.
struct DecodeReads {
  double weights = 0.0;  // once for the whole batch
  double kv = 0.0;
  double selection = 0.0;

  constexpr double total() const { return weights + kv + selection; }
};

/// One step over `len` cached tokens in each of `batch` sequences. `selection` is quest_index_reads times the batch, or
/// 0. The printed formula has 4 hidden^2 for the projections; the figures follow from their grouped-query form.
constexpr DecodeReads decode_reads(ModelDims const& model, std::int64_t len, std::int64_t batch = 1,
                                   double density = 1.0, double selection = 0.0) {
  auto const hidden = static_cast<double>(model.hidden);
  double const of_layer = 2.0 * hidden * static_cast<double>(model.dim * (model.heads_q + model.heads_kv)) +
                          3.0 * hidden * static_cast<double>(model.mlp);
  double const kept = static_cast<double>(model.global_layers()) * density * static_cast<double>(len) +
                      static_cast<double>(model.sliding_layers * std::min(len, model.sliding_window));
  return {.weights = static_cast<double>(model.layers) * of_layer + hidden * static_cast<double>(model.vocab + 1),
          .kv = static_cast<double>(2 * batch * model.dim * model.heads_kv) * kept,
          .selection = selection};
}

// Selection over all global layers, for one sequence. The formulas for Vertical-Slash and Quest are the paper's, with
// its d read as the size of a head; the others are counted alike.

/// Logits of the last `window` queries, softmax, sums of columns and diagonals, two sorts, tile lists per 64 rows.
constexpr double vertical_slash_index_flops(ModelDims const& model, std::int64_t len, std::int64_t window,
                                            std::int64_t columns, std::int64_t diagonals) {
  auto const tokens = static_cast<double>(len);
  double const of_head = tokens * static_cast<double>(window) * static_cast<double>(2 * model.dim + 5) +
                         2.0 * detail::sort_comparisons(tokens) +
                         tokens / 64.0 * static_cast<double>(columns + diagonals);
  return static_cast<double>(model.global_layers() * model.heads_q) * of_head;
}

/// As Vertical-Slash with the counts that came out, and two running sums.
constexpr double flex_prefill_index_flops(ModelDims const& model, std::int64_t len, std::int64_t window,
                                          std::int64_t columns, std::int64_t diagonals) {
  return vertical_slash_index_flops(model, len, window, columns, diagonals) +
         static_cast<double>(2 * model.global_layers() * model.heads_q * len);
}

/// Means of query and key blocks, the causal half of their products, and a sort of each row.
constexpr double block_sparse_index_flops(ModelDims const& model, std::int64_t len, std::int64_t block) {
  double const blocks = static_cast<double>(len) / static_cast<double>(block);
  double const of_head = static_cast<double>(2 * len * model.dim) + blocks * blocks * static_cast<double>(model.dim) +
                         0.5 * blocks * detail::sort_comparisons(blocks);
  return static_cast<double>(model.global_layers() * model.heads_q) * of_head;
}

/// SnapKV and Ada-SnapKV, once per prompt: window scores per query head, smoothing and a sort per KV head. The cost of
/// a prefill, for a method that saves in decode.
constexpr double snap_kv_index_flops(ModelDims const& model, std::int64_t len, std::int64_t window,
                                     std::int64_t pool_width) {
  auto const tokens = static_cast<double>(len);
  double const of_query_head = tokens * static_cast<double>(window) * static_cast<double>(2 * model.dim + 5);
  double const of_kv_head = static_cast<double>(pool_width) * tokens + detail::sort_comparisons(tokens);
  return static_cast<double>(model.global_layers()) *
         (static_cast<double>(model.heads_q) * of_query_head + static_cast<double>(model.heads_kv) * of_kv_head);
}

/// Elements that a step reads to score the pages: 1 / page_tokens of a dense read.
constexpr double quest_index_reads(ModelDims const& model, std::int64_t len, std::int64_t page_tokens) {
  return static_cast<double>(2 * model.global_layers() * model.heads_kv * model.dim) * static_cast<double>(len) /
         static_cast<double>(page_tokens);
}

}  // namespace lacuna
