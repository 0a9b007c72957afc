#pragma once

#include "lacuna/budgets/fixed.hpp"
#include "lacuna/kv/evicting.hpp"
#include "lacuna/methods/method.hpp"
#include "lacuna/selectors/anchored.hpp"
#include "lacuna/selectors/pooled.hpp"
#include "lacuna/selectors/window_attention.hpp"
#include "lacuna/units/token.hpp"

namespace lacuna {

/// Evict once after the prompt, the same number of tokens for every KV head (SnapKV, arXiv 2404.14469).
template <class Budget>
using SnapKvOf = Method<Token, Anchored<Smoothed<WindowAttention>, 128>, Budget, EvictingCache>;

using SnapKv = SnapKvOf<FixedBudget>;

}  // namespace lacuna
