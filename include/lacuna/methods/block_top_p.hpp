#pragma once

#include "lacuna/budgets/top_mass.hpp"
#include "lacuna/methods/block_sparse.hpp"
#include "lacuna/selectors/normalised.hpp"

namespace lacuna {

/// Block-Sparse with a budget by coverage, the block form of FlexPrefill: pooled scores become a softmax over the
/// causal blocks, and each query block keeps what holds more than `share` of it. Of the library's own making. The floor
/// should leave room for the three forced blocks.
template <int BlockTokens>
using BlockTopPOf =
    Method<Block<BlockTokens>, Anchored<Normalised<MeanPool>, 2 * BlockTokens>, TopMass, ContiguousCache>;

using BlockTopP = BlockTopPOf<16>;

}  // namespace lacuna
