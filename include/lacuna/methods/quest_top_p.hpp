#pragma once

#include "lacuna/budgets/top_mass.hpp"
#include "lacuna/kv/coded_keys.hpp"
#include "lacuna/kv/paged.hpp"
#include "lacuna/methods/method.hpp"
#include "lacuna/selectors/min_max_bound.hpp"
#include "lacuna/selectors/page_attention.hpp"
#include "lacuna/units/page.hpp"

namespace lacuna {

/// Quest's bounds name candidates, and of these each step reads the pages that hold more than a share of the attention
/// over them (top-p, Twilight, arXiv 2502.02770, by pages): the budget follows the query. The current page comes on
/// top. Typical shares are 0.85 to 0.95; 1 reads every candidate. floor_tokens and most_tokens bound what is read.
template <int PageTokens>
using QuestTopPOf = Method<Page<PageTokens>, PageAttention<MinMaxBound>, TopMass, PagedCache>;

using QuestTopP = QuestTopPOf<16>;

/// The same, with the attention of candidates estimated from a copy of the keys in 8 bits: a quarter of the bytes that
/// their keys and values have in 16 bits (Twilight's own way, with 4 bits there).
template <int PageTokens>
using TwilightOf = Method<Page<PageTokens>, PageAttention<MinMaxBound, true>, TopMass, CodedKeysCache>;

using Twilight = TwilightOf<16>;

}  // namespace lacuna
