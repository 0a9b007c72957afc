#pragma once

#include "lacuna/budgets/top_mass.hpp"
#include "lacuna/kv/contiguous.hpp"
#include "lacuna/methods/method.hpp"
#include "lacuna/selectors/mean_pool.hpp"
#include "lacuna/selectors/normalised.hpp"
#include "lacuna/selectors/self_similar.hpp"
#include "lacuna/units/block.hpp"

namespace lacuna {

/// SpargeAttn's choice (arXiv 2502.18137) on square blocks: pooled scores as a softmax, the blocks that hold at most a
/// share of it, and whatever is unlike itself. Theirs are 128 queries by 64 keys, with means over the rows that a block
/// has: set MeanPool::true_counts. Its skipping of values and its 8-bit products are not part of a choice.
template <int BlockTokens>
using SpargeOf = Method<Block<BlockTokens>, SelfSimilar<Normalised<MeanPool>>, MassWithin, ContiguousCache>;

using Sparge = SpargeOf<64>;

}  // namespace lacuna
