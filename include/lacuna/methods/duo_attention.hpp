#pragma once

#include "lacuna/methods/head_split.hpp"
#include "lacuna/methods/quest.hpp"
#include "lacuna/methods/streaming.hpp"
#include "lacuna/methods/streaming_cache.hpp"
#include "lacuna/methods/vertical_slash.hpp"

namespace lacuna {

// DuoAttention (arXiv 2410.10819): some KV heads stream, with the first and the recent tokens, the others retrieve.
// Which ones is the caller's knowledge: HeadSplit::chooser, the same array as StreamingRule::streaming. Decoding is
// DenseOver<StreamingCache>, called DuoAttention.

/// The prompt in one call: everything for retrieval heads, first and recent tokens for streaming heads.
using DuoPrefill = HeadSplit<Dense, Streaming>;

/// With Vertical-Slash on the retrieval heads.
using DuoVerticalSlash = HeadSplit<VerticalSlash, Streaming>;

/// A step with Quest on the retrieval heads, over a StreamingCache that keeps bounds of Quest's pages.
template <int PageTokens, class Budget = FixedBudget>
using DuoQuestOf = HeadSplit<Method<Page<PageTokens>, MinMaxBound, Budget, StreamingCache>, DenseOver<StreamingCache>>;

using DuoQuest = DuoQuestOf<16>;

}  // namespace lacuna
