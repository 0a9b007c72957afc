#pragma once

#include "lacuna/methods/pipeline.hpp"
#include "lacuna/methods/quest.hpp"
#include "lacuna/methods/snap_kv.hpp"

namespace lacuna {

/// SnapKV evicts to a generous number of tokens, then Quest reads the best pages of the compacted cache: the memory of
/// eviction, the traffic of page selection. The store is an EvictingCache with bounds of Quest's pages. Ours.
using SnapThenQuest = Pipeline<Dense, SnapKv, Quest>;

}  // namespace lacuna
