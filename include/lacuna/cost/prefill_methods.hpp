#pragma once

#include <algorithm>
#include <cstdint>

#include "lacuna/cost/work.hpp"

namespace lacuna {

// The methods that thin out the prompt's attention; all of them decode densely. `density` is the share of the causal
// work that the kernel executes: for tiles that is 1 - paper_sparsity(index), a little above density(index), which
// counts no masked cell. Sources: the papers' algorithms as counted by arXiv 2504.17768, on the causal basis.

/// Columns and diagonals from the attention of the last queries (MInference, arXiv 2407.02490). Selection per query
/// head: 2 dim w n (logits) + 5 w n (softmax) + 2 w n (column and diagonal sums) + 2 n log2 n (two top-k).
struct VerticalSlashCost {
  double density = 1.0;
  WindowEstimate estimate{};

  constexpr AttentionWork prefill(Shape const& shape, StorageBytes storage) const {
    double const sorts = 2.0 * detail::sort_comparisons(static_cast<double>(shape.len_k));
    double const select = estimate.flops(shape, 7.0) + static_cast<double>(shape.heads_q) * sorts;
    return {{select, 0.0}, prompt_attention(shape, density * causal_pairs(shape), storage), true};
  }
  constexpr AttentionWork decode(Shape const& shape, StorageBytes storage) const {
    return DenseCost{}.decode(shape, storage);
  }
};

/// The same units with a budget by coverage (FlexPrefill, arXiv 2502.20766): two full sorts and two running sums more.
struct FlexPrefillCost {
  double density = 1.0;
  WindowEstimate estimate{512};

  constexpr AttentionWork prefill(Shape const& shape, StorageBytes storage) const {
    AttentionWork work = VerticalSlashCost{density, estimate}.prefill(shape, storage);
    auto const len = static_cast<double>(shape.len_k);
    work.select.flops += static_cast<double>(shape.heads_q) * (2.0 * detail::sort_comparisons(len) + 2.0 * len);
    return work;
  }
  constexpr AttentionWork decode(Shape const& shape, StorageBytes storage) const {
    return DenseCost{}.decode(shape, storage);
  }
};

/// The best key blocks of each query block by the product of block means (Block-Sparse of MInference). `density` is
/// that of blocks, block_sparse_density(); a block on the diagonal is computed whole. Selection per query head: 2 n dim
/// additions for the means and 2 dim (n / block)^2 for the scores, of which a kernel that skips the blocks above the
/// diagonal computes half.
struct BlockSparseCost {
  double density = 1.0;
  std::int64_t block = 16;

  constexpr AttentionWork prefill(Shape const& shape, StorageBytes storage) const {
    Shape blocks = shape;
    blocks.len_q = (shape.len_q + block - 1) / block;
    blocks.len_k = (shape.len_k + block - 1) / block;
    double const means = static_cast<double>(shape.len_q + shape.len_k);
    double const scores = 2.0 * static_cast<double>(blocks.len_q) * static_cast<double>(blocks.len_k);
    double const select = static_cast<double>(shape.heads_q * shape.dim) * (means + scores);
    double const pairs = density * causal_pairs(blocks) * static_cast<double>(block * block);
    return {{select, 0.0}, prompt_attention(shape, pairs, storage), true};
  }
  constexpr AttentionWork decode(Shape const& shape, StorageBytes storage) const {
    return DenseCost{}.decode(shape, storage);
  }
};

/// Blocks by the sum of every stride-th antidiagonal (XAttention, arXiv 2503.16428): 1 / (2 stride) of the dense causal
/// FLOPs to select.
struct XAttentionCost {
  double density = 1.0;
  std::int64_t stride = 8;

  constexpr AttentionWork prefill(Shape const& shape, StorageBytes storage) const {
    double const pairs = causal_pairs(shape);
    double const select = 0.5 * attend_flops(shape, pairs) / static_cast<double>(stride);
    return {{select, 0.0}, prompt_attention(shape, density * pairs, storage), true};
  }
  constexpr AttentionWork decode(Shape const& shape, StorageBytes storage) const {
    return DenseCost{}.decode(shape, storage);
  }
};

/// The first `sinks` tokens and the last `window`, in both phases and without selection (StreamingLLM, arXiv
/// 2309.17453; A-shape in prefill). The baseline that a method with a selection has to beat.
struct StreamingCost {
  std::int64_t sinks = 4;
  std::int64_t window = 1020;

  constexpr double kept_tokens(std::int64_t len) const { return static_cast<double>(std::min(len, sinks + window)); }

  /// Share of the causal pairs that is kept.
  constexpr double density(Shape const& shape) const {
    double const dense = causal_pairs(shape);
    std::int64_t const first = shape.len_k - shape.len_q;
    std::int64_t const full = std::max<std::int64_t>(sinks + window - first, 0);  // rows that still see everything
    Shape early = shape;
    early.len_q = std::min(full, shape.len_q);
    early.len_k = first + early.len_q;
    double const late = static_cast<double>(shape.len_q - early.len_q) * static_cast<double>(sinks + window);
    return dense == 0.0 ? 1.0 : (causal_pairs(early) + late) / dense;
  }

  constexpr AttentionWork prefill(Shape const& shape, StorageBytes storage) const {
    return {{}, prompt_attention(shape, density(shape) * causal_pairs(shape), storage), true};
  }
  constexpr AttentionWork decode(Shape const& shape, StorageBytes storage) const {
    return {{}, step_attention(shape, kept_tokens(shape.len_k), storage), true};
  }
};

}  // namespace lacuna
