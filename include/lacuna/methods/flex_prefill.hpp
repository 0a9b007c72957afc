#pragma once

#include "lacuna/budgets/top_mass.hpp"
#include "lacuna/methods/vertical_slash.hpp"

namespace lacuna {

/// Vertical-Slash with a budget by coverage: each head keeps as many columns, and as many diagonals, as hold more than
/// `share` of what the last queries attend to, and at least floor_tokens of each (FlexPrefill, arXiv 2502.20766, in the
/// form of the Sparse Frontier, arXiv 2504.17768: no query-aware heads). A share of 0 is Vertical-Slash with
/// floor_tokens columns and as many diagonals. The paper's window is 512.
template <int Tile>
using FlexPrefillOf = VerticalSlashOf<Tile, TopMass>;

using FlexPrefill = FlexPrefillOf<64>;

}  // namespace lacuna
