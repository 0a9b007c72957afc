#pragma once

#include "lacuna/budgets/top_mass.hpp"
#include "lacuna/methods/divergence.hpp"
#include "lacuna/methods/head_split.hpp"
#include "lacuna/methods/query_aware_blocks.hpp"
#include "lacuna/methods/vertical_slash.hpp"

namespace lacuna {

/// Vertical-Slash with a budget by coverage: each head keeps as many columns, and as many diagonals, as hold more than
/// `share` of what the last queries attend to, and at least floor_tokens of each (FlexPrefill, arXiv 2502.20766, in the
/// form of the Sparse Frontier, arXiv 2504.17768: no query-aware heads). A share of 0 is Vertical-Slash with
/// floor_tokens columns and as many diagonals. The paper's window is 512.
template <int Tile>
using FlexPrefillOf = VerticalSlashOf<Tile, TopMass>;

using FlexPrefill = FlexPrefillOf<64>;

/// With the original's two patterns: heads whose pooled attention tells what they attend to get query-aware blocks, the
/// others columns and diagonals. Divergence decides at each call; a threshold of 0 gives FlexPrefill. The original
/// rounds columns and diagonals to blocks of 128 besides.
template <int Tile, int BlockTokens>
using OriginalFlexPrefillOf = HeadSplit<FlexPrefillOf<Tile>, QueryAwareBlocksOf<BlockTokens>, Divergence>;

using OriginalFlexPrefill = OriginalFlexPrefillOf<64, 128>;

}  // namespace lacuna
