#pragma once

#include "lacuna/budgets/fixed.hpp"
#include "lacuna/budgets/top_mass.hpp"
#include "lacuna/kv/contiguous.hpp"
#include "lacuna/methods/method.hpp"
#include "lacuna/selectors/anchored.hpp"
#include "lacuna/selectors/antidiagonal.hpp"
#include "lacuna/units/block.hpp"

namespace lacuna {

/// Blocks by their antidiagonals, the first and the query block's own always, then as many as hold the share
/// (XAttention, arXiv 2503.16428; blocks of 128 there).
template <int BlockTokens, class Budget = AnchoredTopMass>
using XAttentionOf = Method<Block<BlockTokens>, Anchored<Antidiagonal, BlockTokens>, Budget, ContiguousCache>;

using XAttention = XAttentionOf<128>;

/// XAttention's scores with Block-Sparse's budget and forced blocks: what the selector is worth at equal density.
template <int BlockTokens>
using BlockAntidiagonalOf =
    Method<Block<BlockTokens>, Anchored<Antidiagonal, 2 * BlockTokens>, FixedBudget, ContiguousCache>;

using BlockAntidiagonal = BlockAntidiagonalOf<16>;

}  // namespace lacuna
