#pragma once

#include "lacuna/budgets/fixed.hpp"
#include "lacuna/kv/contiguous.hpp"
#include "lacuna/methods/method.hpp"
#include "lacuna/selectors/anchored.hpp"
#include "lacuna/selectors/group_shared.hpp"
#include "lacuna/selectors/mean_pool.hpp"
#include "lacuna/units/block.hpp"

namespace lacuna {

/// The best key blocks of each query block by pooled queries and keys (the Block-Sparse pattern of MInference, arXiv
/// 2407.02490, as in the Sparse Frontier, arXiv 2504.17768): the first block, its own and the one before always win,
/// within budget.tokens = BlockTokens * top_k, so top_k should be 3 or more. MInference itself: blocks of 64, top_k
/// 100, and nothing forced (sink_tokens = recent_tokens = 0).
template <int BlockTokens, class Budget = FixedBudget>
using BlockSparseOf = Method<Block<BlockTokens>, Anchored<MeanPool, 2 * BlockTokens>, Budget, ContiguousCache>;

using BlockSparse = BlockSparseOf<16>;

/// The same with one choice per KV head, by the mean of its query heads' scores: the group reads the same blocks, and
/// each block once. Of the library's own making.
template <int BlockTokens, class Budget = FixedBudget>
using BlockSparseGqaOf =
    Method<Block<BlockTokens>, Anchored<GroupShared<MeanPool>, 2 * BlockTokens>, Budget, ContiguousCache>;

using BlockSparseGqa = BlockSparseGqaOf<16>;

}  // namespace lacuna
