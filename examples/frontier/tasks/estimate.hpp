#pragma once

#include <cstdint>
#include <string_view>

namespace frontier {

/// About how many tokens a byte-level BPE tokenizer of some 150,000 entries that splits digits makes of English text,
/// where no tokenizer is at hand: one for a word of up to ten letters, a digit, a run of punctuation, a line break; one
/// for two letters of a random string. Joining texts adds their estimates, give or take one for each seam.
std::int64_t estimate_tokens(std::string_view text);

}  // namespace frontier
