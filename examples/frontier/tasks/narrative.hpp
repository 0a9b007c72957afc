#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "frontier/random.hpp"
#include "frontier/tasks/task.hpp"

namespace frontier {

/// A chronicle of numbered chapters about one protagonist who travels, meets one trader per chapter, buys one item and
/// sometimes sells an older one. The facts are drawn alike in both forms, so a longer prompt tells the same story.
class Narrative {
 public:
  enum class Form {
    compact,  // about 70 tokens a chapter: arrival, event, encounter, trades, farewell
    full,     // about 170: reasons, conversations and atmosphere too
  };

  struct Chapter {
    std::int64_t number = 0;
    std::string location;
    std::string character;
    std::string item;      // acquired; empty when the purchase is left out
    std::string purchase;  // the sentence of `text` that tells of it
    std::string text;      // header and sentences
  };

  /// Compact below 12K tokens.
  static Form form_at(std::int64_t max_tokens) { return max_tokens < 12288 ? Form::compact : Form::full; }

  /// As many chapters as `allowance` tokens hold, then single atmosphere sentences while they fit.
  Narrative(Random& random, Form form, std::int64_t allowance, CountTokens const& count);

  /// Takes the purchase sentences out of these chapters; atmosphere sentences take their room. Later sales of the items
  /// stay. Every number must be that of a chapter.
  void leave_out_purchases(std::vector<std::int64_t> const& numbers, CountTokens const& count);

  std::vector<Chapter> const& chapters() const { return chapters_; }
  std::string text() const;

 private:
  void pad(std::int64_t room, CountTokens const& count);

  std::vector<Chapter> chapters_;
};

/// What all story tasks say first.
std::string const& story_introduction();

}  // namespace frontier
