#pragma once

#include "lacuna/budgets/above_cut.hpp"
#include "lacuna/kv/contiguous.hpp"
#include "lacuna/methods/method.hpp"
#include "lacuna/selectors/anchored.hpp"
#include "lacuna/selectors/query_aware.hpp"
#include "lacuna/units/block.hpp"

namespace lacuna {

/// The blocks that FlexPrefill (arXiv 2502.20766) gives to heads which it finds query-aware: the first, the query
/// block's own, and the best pairs of the whole head that hold at most the selector's share of its mass.
template <int BlockTokens>
using QueryAwareBlocksOf = Method<Block<BlockTokens>, Anchored<QueryAware, BlockTokens>, AboveCut, ContiguousCache>;

using QueryAwareBlocks = QueryAwareBlocksOf<128>;

}  // namespace lacuna
