#pragma once

#include "lacuna/budgets/adaptive_heads.hpp"
#include "lacuna/kv/evicting.hpp"
#include "lacuna/methods/method.hpp"
#include "lacuna/selectors/anchored.hpp"
#include "lacuna/selectors/pooled.hpp"
#include "lacuna/selectors/window_peak.hpp"
#include "lacuna/units/token.hpp"

namespace lacuna {

/// Evict once after the prompt, KV heads compete for one pool of tokens (AdaKV, arXiv 2407.11550, in the form of the
/// Sparse Frontier, arXiv 2504.17768). Heads differ in length afterwards.
using AdaSnapKv = Method<Token, Anchored<Smoothed<WindowPeak>, 128>, AdaptiveHeads, EvictingCache>;

}  // namespace lacuna
