#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace frontier {

using TextSet = std::set<std::string>;

/// Shared members over all members; 1 when both sets are empty.
double intersection_over_union(TextSet const& gold, TextSet const& predicted);

/// Without one leading "the ", "an " or "a ".
std::string without_article(std::string const& text);

/// How question answering is scored. Both compat forms look for answer tags in lower case only; no block reads as
/// empty.
struct TokenF1 {
  /// Sets of words, rounded to two decimals.
  static double compat(std::string const& gold, std::string const& output);
  /// Multisets of words, not rounded.
  static double strict(std::string const& gold, std::string const& output);
};

struct ChoiceMatch {
  /// Every A, B, C or D of the block counts, those inside other words too, and as often as it is written.
  static double compat(std::string const& gold, std::string const& output);
  /// The block must be letters alone, or one letter with its option's text; repeated letters are merged.
  static double strict(std::string const& gold, std::string const& output);
};

}  // namespace frontier
