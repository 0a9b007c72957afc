#pragma once

#include "lacuna/methods/vertical_slash.hpp"
#include "lacuna/selectors/group_shared.hpp"

namespace lacuna {

/// Vertical-Slash with one choice per KV head, by what the whole group attends to: its query heads read the same tiles,
/// and each tile once. Of the library's own making.
template <int Tile, class Budget = FixedPair>
using VerticalSlashGqaOf =
    Method<VerticalSlashUnit<Tile>, Anchored<GroupShared<WindowAttention>>, Budget, ContiguousCache>;

using VerticalSlashGqa = VerticalSlashGqaOf<64>;

}  // namespace lacuna
