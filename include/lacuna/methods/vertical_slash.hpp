#pragma once

#include "lacuna/budgets/fixed.hpp"
#include "lacuna/kv/contiguous.hpp"
#include "lacuna/methods/method.hpp"
#include "lacuna/selectors/anchored.hpp"
#include "lacuna/selectors/window_attention.hpp"
#include "lacuna/units/vertical_slash.hpp"

namespace lacuna {

/// Fixed columns and diagonals per query head (the Vertical-Slash pattern of MInference, arXiv 2407.02490, with one
/// budget for all heads). A smaller tile serves shorter contexts.
template <int Tile, class Budget = FixedPair>
using VerticalSlashOf = Method<VerticalSlashUnit<Tile>, Anchored<WindowAttention>, Budget, ContiguousCache>;

using VerticalSlash = VerticalSlashOf<64>;

}  // namespace lacuna
