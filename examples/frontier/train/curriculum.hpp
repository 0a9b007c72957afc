#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "frontier/tasks/prompt.hpp"
#include "transformer/tokenizer.hpp"

namespace frontier {

/// What one training row is about: a task, or a mixture that draws the task per row. The values are part of the seed of
/// a row, so they never change; `mixture` is over all nine tasks.
enum class Lesson {
  first_three,
  niah,
  vt,
  story_retrieval,
  cwe,
  story_multihop,
  story_filtering,
  qa_squad,
  qa_quality,
  qa_toefl,
  mixture
};

/// The lesson of that name; empty when there is none.
std::optional<Lesson> find_lesson(std::string_view name);

/// How much the loss of predicting a token counts, kept in the two upper bits of its 16-bit word.
enum class Weight : std::uint16_t {
  none = 0,     // random identifiers, drawn values, padding: nothing to learn
  context = 1,  // template words before the answer, and the question when it is repeated
  answer = 2,
};

/// `length + 1` words: token id | weight << 14, padded with id 0. Rows are a function of (lesson, length, row) alone.
/// Training rows draw their parameters and ask several questions; held-out rows have the form that evaluation uses.
std::vector<std::uint16_t> training_row(transformer::Tokenizer const& tokenizer, Lesson lesson, std::int64_t length,
                                        std::int64_t row);
std::vector<std::uint16_t> held_out_row(transformer::Tokenizer const& tokenizer, Lesson lesson, std::int64_t length,
                                        std::int64_t row);

}  // namespace frontier
