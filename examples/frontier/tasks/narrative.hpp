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
    std::string sold;      // item of an earlier chapter; empty when nothing is sold
    std::string sale;      // the sentence of `text` that tells of it
  };

  /// Compact below 12K tokens; natural prompts always tell the story in full.
  static Form form_at(std::int64_t max_tokens, frontier::Form prompt = frontier::Form::compact) {
    return prompt == frontier::Form::compact && max_tokens < 12288 ? Form::compact : Form::full;
  }

  /// As many chapters as `allowance` tokens hold, then single atmosphere sentences while they fit. In a share of the
  /// chapters, on average 1 - purchase_probability of them, nothing is acquired.
  Narrative(Random& random, Form form, std::int64_t allowance, CountTokens const& count,
            double purchase_probability = 1.0);

  /// Takes the purchase sentences out of these chapters; atmosphere sentences take their room. Later sales of the items
  /// stay unless they are to be left out too. Every number must be that of a chapter.
  void leave_out_purchases(std::vector<std::int64_t> const& numbers, CountTokens const& count,
                           bool later_sales_too = false);

  std::vector<Chapter> const& chapters() const { return chapters_; }
  std::string text() const;

 private:
  void pad(std::int64_t room, CountTokens const& count);

  std::vector<Chapter> chapters_;
};

/// What all story tasks say first.
std::string story_introduction(Form form = Form::compact);

}  // namespace frontier
