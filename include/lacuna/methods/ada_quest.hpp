#pragma once

#include "lacuna/budgets/adaptive_heads.hpp"
#include "lacuna/kv/paged.hpp"
#include "lacuna/methods/method.hpp"
#include "lacuna/selectors/min_max_bound.hpp"
#include "lacuna/selectors/normalised.hpp"
#include "lacuna/units/page.hpp"

namespace lacuna {

/// Quest, with one pool of pages that the heads of a layer compete for at every step: bounds become a softmax over the
/// pages of each head, so that heads can be compared. An adaptive budget that loses nothing for good. Ours.
template <int PageTokens>
using AdaQuestOf = Method<Page<PageTokens>, Normalised<MinMaxBound>, AdaptiveHeads, PagedCache>;

using AdaQuest = AdaQuestOf<16>;

}  // namespace lacuna
