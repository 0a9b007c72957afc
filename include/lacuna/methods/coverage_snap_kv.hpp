#pragma once

#include "lacuna/budgets/top_mass.hpp"
#include "lacuna/methods/snap_kv.hpp"

namespace lacuna {

/// SnapKV with a budget by coverage: each KV head keeps as many tokens as hold more than a share of the attention of
/// the last queries, at least floor_tokens and at most most_tokens. Heads differ in length afterwards, as in AdaSnapKv,
/// but there is no fixed total. The floor must exceed what is anchored. Ours.
using CoverageSnapKv = SnapKvOf<TopMass>;

}  // namespace lacuna
