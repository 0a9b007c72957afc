#pragma once

#include "lacuna/budgets/adaptive_heads.hpp"
#include "lacuna/budgets/fixed.hpp"
#include "lacuna/kv/evicting.hpp"
#include "lacuna/methods/method.hpp"
#include "lacuna/selectors/anchored.hpp"
#include "lacuna/selectors/before_window.hpp"
#include "lacuna/selectors/pooled.hpp"
#include "lacuna/selectors/window_attention.hpp"
#include "lacuna/units/token.hpp"

namespace lacuna {

/// SnapKV as its authors publish it (arXiv 2404.14469), but for one choice per KV head where theirs is per query head:
/// only what lies before the window is scored and smoothed, the window is kept whole, no sinks are forced. Their window
/// is 32, which recent_tokens must equal, and their smoothing 5 wide; set WindowAttention::window and Smoothed::width.
using OriginalSnapKv =
    Method<Token, Anchored<Smoothed<BeforeWindow<WindowAttention>>, 32, 0>, FixedBudget, EvictingCache>;

/// AdaKV likewise (arXiv 2407.11550): the mean over the window, pooled by the highest of 7. The pool is spent exactly,
/// where the original rounds per head.
using OriginalAdaKv =
    Method<Token, Anchored<HighestNear<BeforeWindow<WindowAttention>>, 32, 0>, AdaptiveHeads, EvictingCache>;

}  // namespace lacuna
