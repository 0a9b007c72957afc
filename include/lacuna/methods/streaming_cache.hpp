#pragma once

#include "lacuna/kv/streaming.hpp"
#include "lacuna/methods/dense.hpp"

namespace lacuna {

/// StreamingLLM in decode (arXiv 2309.17453): the store forgets all but the first and the last tokens, and attention is
/// dense over what is left. Positions stay the original ones.
using StreamingDecode = DenseOver<StreamingCache>;

/// DuoAttention in decode (arXiv 2410.10819): the same, for the heads that StreamingRule::streaming names; the others,
/// the retrieval heads, keep everything. Which head is which is the caller's knowledge.
using DuoAttention = DenseOver<StreamingCache>;

}  // namespace lacuna
