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
  std::string text = {};
  std::string gold = {};
  std::vector<std::string> other_golds = {};  // as right as `gold`
};

/// The parts of a prompt before it is put together. Evaluation asks `questions[0]`; training may ask the others too, in
/// further turns about the same context.
struct Draft {
  Form form = Form::compact;
  std::string introduction = {};
  std::string context = {};
  std::string instructions = {};            // compact: what to write; natural: the format of the answer, as an example
  std::vector<std::string> reminders = {};  // natural: what is important about this task
  bool several = false;                     // whether the tags speak of questions
  bool drawn_words = false;  // whether the context's words of the common pool come by chance, so none can be foreseen
  std::vector<Question> questions = {};
  std::vector<Field> fields = {};
};

/// The one skeleton that all tasks share: introduction, question, context, the question again, instructions. The
/// compact one ends where the model starts to write; the natural one (tasks specification 1.4) asks for an explanation
/// before the answer.
std::string render_prompt(Draft const& draft);

/// Tokens that render_prompt may have: the natural form leaves 64 for the chat template.
std::int64_t prompt_room(Form form, std::int64_t max_tokens);

/// What the model should write in the compact form: the answer block and the end of the turn.
std::string response(std::string_view gold);

/// What it should write in the natural form.
std::string explained_response(std::string_view explanation, std::string_view gold);

/// What a further turn adds after the response before it, up to where the model starts to write.
std::string render_turn(Draft const& draft, Question const& question);

/// Prompt and response of the first question, then a turn for every further one.
std::string render_conversation(Draft const& draft);

/// The text inside the first (compat) or last (strict) complete pair of answer tags.
std::optional<std::string> answer_block(std::string_view output, bool last);

/// Lower case (ASCII), trimmed, inner white space collapsed to single spaces.
std::string normalised(std::string_view text);

/// Throws when the prompt breaks the length rule: at most max_tokens, and at least request.min_fill of them; in the
/// natural form also when the text leaves no room for the template or a gold answer is longer than an output may be.
Sample checked_sample(Draft const& draft, Request const& request);

/// The parts with a separator between each two.
std::string joined(std::vector<std::string> const& parts, std::string_view separator);

}  // namespace frontier
