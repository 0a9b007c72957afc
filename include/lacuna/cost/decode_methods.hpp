#pragma once

#include <algorithm>
#include <cstdint>

#include "lacuna/cost/prefill_methods.hpp"
#include "lacuna/cost/work.hpp"

namespace lacuna {

// The methods that thin out what a decode step reads; their prompt attends densely. In decode() shape.len_k counts the
// tokens that dense attention would read, the current one included, whatever was evicted; `density` is the share that
// is read of them at this step, density(index) for a page index. Sources: the papers' algorithms as counted by arXiv
// 2504.17768.

/// Evict once after the prompt, the same number of tokens for every KV head (SnapKV, arXiv 2404.14469). `density` is
/// the capacity over the prompt in prefill(), (capacity + t) / (prompt + t) in decode() after t steps. Selection:
/// 2 dim w n + 5 w n per query head, n (pool_width + 1) per KV head; kept keys and values are read and written once.
struct SnapKvCost {
  double density = 1.0;
  WindowEstimate estimate{};
  std::int64_t pool_width = 21;

  constexpr AttentionWork prefill(Shape const& shape, StorageBytes storage) const {
    AttentionWork work = DenseCost{}.prefill(shape, storage);
    work.select.flops =
        estimate.flops(shape, 5.0) + static_cast<double>(shape.heads_kv * shape.len_k * (pool_width + 1));
    work.select.bytes = 2.0 * kv_bytes(shape, density * static_cast<double>(shape.len_k), storage);
    return work;
  }
  constexpr AttentionWork decode(Shape const& shape, StorageBytes storage) const {
    return {{}, step_attention(shape, density * static_cast<double>(shape.len_k), storage), true};
  }
};

/// SnapKV with one pool of tokens that the KV heads of a layer compete for (Ada-SnapKV, arXiv 2407.11550): one more
/// pass over the scores. `density` is the mean over heads; that the longest head may set the pace is not counted.
struct AdaSnapKvCost {
  double density = 1.0;
  WindowEstimate estimate{};
  std::int64_t pool_width = 21;

  constexpr AttentionWork prefill(Shape const& shape, StorageBytes storage) const {
    AttentionWork work = SnapKvCost{density, estimate, pool_width}.prefill(shape, storage);
    work.select.flops += static_cast<double>(shape.heads_kv * shape.len_k);
    return work;
  }
  constexpr AttentionWork decode(Shape const& shape, StorageBytes storage) const {
    return SnapKvCost{density, estimate, pool_width}.decode(shape, storage);
  }
};

/// Keep everything, read the best pages at every step (Quest, arXiv 2406.10774): selection reads two bounds for each
/// full page before the current one, 1 / page_tokens of the cache. The bounds are made from one pass over the prompt's
/// keys. When the heads of a group choose separately (`shared` false), reads are taken to overlap in no page.
/// Density 1 is dense: nothing is scored.
struct QuestCost {
  double density = 1.0;
  std::int64_t page_tokens = 16;
  bool shared = true;

  constexpr double scored_pages(Shape const& shape) const {
    return static_cast<double>((shape.len_k - 1) / page_tokens);
  }

  constexpr AttentionWork prefill(Shape const& shape, StorageBytes storage) const {
    AttentionWork work = DenseCost{}.prefill(shape, storage);
    auto const keys = static_cast<double>(shape.dim * shape.heads_kv * shape.len_q);
    auto const pages = static_cast<double>((shape.len_q + page_tokens - 1) / page_tokens);
    work.select = {2.0 * keys, keys * storage.kv + bounds_bytes(shape, pages, storage)};
    return work;
  }
  constexpr AttentionWork decode(Shape const& shape, StorageBytes storage) const {
    if (density >= 1.0) return DenseCost{}.decode(shape, storage);
    auto const len = static_cast<double>(shape.len_k);
    double const choices = static_cast<double>(shared ? shape.heads_kv : shape.heads_q);
    double const select = 4.0 * static_cast<double>(shape.dim) * scored_pages(shape) * choices;
    Work attend = step_attention(shape, density * len, storage);
    if (!shared)
      attend.bytes = kv_bytes(shape, std::min(static_cast<double>(shape.group()) * density, 1.0) * len, storage);
    return {{select, bounds_bytes(shape, scored_pages(shape), storage)}, attend, true};
  }

 private:
  static constexpr double bounds_bytes(Shape const& shape, double pages, StorageBytes storage) {
    return 2.0 * static_cast<double>(shape.dim * shape.heads_kv) * pages * storage.bounds;
  }
};

/// Pages or tokens by the mass of estimated weights (Twilight, arXiv 2502.02770): Quest proposes `candidates` of the
/// tokens, a 4-bit copy of their keys gives the weights, and `density` of the tokens is read.
struct TopMassCost {
  double density = 1.0;
  double candidates = 0.25;
  std::int64_t page_tokens = 16;

  constexpr AttentionWork prefill(Shape const& shape, StorageBytes storage) const {
    return QuestCost{density, page_tokens}.prefill(shape, storage);
  }
  constexpr AttentionWork decode(Shape const& shape, StorageBytes storage) const {
    AttentionWork work = QuestCost{density, page_tokens}.decode(shape, storage);
    if (!work.sparse) return work;
    double const estimated = candidates * static_cast<double>(shape.len_k);
    constexpr double kFourBits = 0.5;
    work.select =
        work.select + Work{0.5 * attend_flops(shape, estimated), 0.5 * kv_bytes(shape, estimated, {.kv = kFourBits})};
    return work;
  }
};

/// A cache of `capacity` tokens per head that forgets one at every step, by the current weights (TOVA, arXiv
/// 2401.06104) or, if `accumulated`, by the weights of all queries so far (H2O, arXiv 2306.14048), whose prompt needs
/// the logits of all causal pairs a second time. A step reads and writes the float score of each kept token.
struct EvictEachStepCost {
  std::int64_t capacity = 1024;
  bool accumulated = false;

  constexpr AttentionWork prefill(Shape const& shape, StorageBytes storage) const {
    AttentionWork work = DenseCost{}.prefill(shape, storage);
    if (accumulated) work.select.flops = 0.5 * work.attend.flops;
    return work;
  }
  constexpr AttentionWork decode(Shape const& shape, StorageBytes storage) const {
    auto const kept = static_cast<double>(std::min(capacity, shape.len_k));
    auto const scores = kept * static_cast<double>(shape.heads_kv);
    return {{scores, 8.0 * scores}, step_attention(shape, kept, storage), true};
  }
};

/// A share of the KV heads streams, the others attend to everything (DuoAttention, arXiv 2410.10819).
struct HeadSplitCost {
  double streaming_share = 0.5;
  StreamingCost streaming{64, 256};

  constexpr AttentionWork prefill(Shape const& shape, StorageBytes storage) const {
    return mixed(DenseCost{}.prefill(shape, storage), streaming.prefill(shape, storage));
  }
  constexpr AttentionWork decode(Shape const& shape, StorageBytes storage) const {
    return mixed(DenseCost{}.decode(shape, storage), streaming.decode(shape, storage));
  }

 private:
  constexpr AttentionWork mixed(AttentionWork const& dense, AttentionWork const& sparse) const {
    return {{}, (1.0 - streaming_share) * dense.attend + streaming_share * sparse.attend, true};
  }
};

}  // namespace lacuna
