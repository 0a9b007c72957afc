#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "frontier/tasks/task.hpp"

namespace frontier {

struct Question {
  std::string text;
  std::string gold;
};

/// The parts of a prompt before it is put together. Evaluation asks `questions[0]`; training may ask the others too, in
/// further turns about the same context.
struct Draft {
  std::string introduction = {};
  std::string context = {};
  std::string instructions = {};
  bool several = false;      // whether the tags speak of questions
  bool drawn_words = false;  // whether the context's words of the common pool come by chance, so none can be foreseen
  std::vector<Question> questions = {};
};

/// The one skeleton that all tasks share: introduction, question, context, the question again, instructions. It ends
/// where the model starts to write.
std::string render_prompt(Draft const& draft);

/// What the model should write: the answer block and the end of the turn.
std::string response(std::string_view gold);

/// Prompt and response of the first question, then a turn for every further one.
std::string render_conversation(Draft const& draft);

/// The text inside the first (compat) or last (strict) complete pair of answer tags.
std::optional<std::string> answer_block(std::string_view output, bool last);

/// Lower case (ASCII), trimmed, inner white space collapsed to single spaces.
std::string normalised(std::string_view text);

/// Throws when the prompt breaks the length rule: at most max_tokens, and at least min_fill of them.
Sample checked_sample(Draft const& draft, Request const& request, double min_fill = 0.95);

}  // namespace frontier
