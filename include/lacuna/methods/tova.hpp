#pragma once

#include "lacuna/budgets/fixed.hpp"
#include "lacuna/kv/evicting.hpp"
#include "lacuna/methods/method.hpp"
#include "lacuna/selectors/anchored.hpp"
#include "lacuna/selectors/last_attention.hpp"
#include "lacuna/selectors/layer_shared.hpp"
#include "lacuna/units/token.hpp"

namespace lacuna {

/// After every step the token that the newest query of a KV head heeds least leaves (TOVA, arXiv 2401.06104), so memory
/// is bounded; the newest token itself is safe. The weights are the mean over the group, and each KV head has a victim
/// of its own. What stays keeps its order, so sinks and recent tokens
/// can be anchored. On a long prompt the first call keeps the best `tokens` at once.
using Tova = Method<StepToken, Anchored<LastAttention, 1, 0>, FixedBudget, EvictingCache>;

/// TOVA as its authors have it: one victim for all heads of the layer, by the mean over all of its query heads.
using OriginalTova = Method<StepToken, Anchored<LayerShared<LastAttention>, 1, 0>, FixedBudget, EvictingCache>;

}  // namespace lacuna
