#pragma once

#include "lacuna/budgets/fixed.hpp"
#include "lacuna/kv/paged.hpp"
#include "lacuna/methods/method.hpp"
#include "lacuna/selectors/min_max_bound.hpp"
#include "lacuna/units/page.hpp"

namespace lacuna {

/// Keep everything, read the best pages at every step (Quest, arXiv 2406.10774). The cache keeps bounds of pages of
/// this size.
template <int PageTokens, class Budget = FixedBudget>
using QuestOf = Method<Page<PageTokens>, MinMaxBound, Budget, PagedCache>;

using Quest = QuestOf<16>;

}  // namespace lacuna
