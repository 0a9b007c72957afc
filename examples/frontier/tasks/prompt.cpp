#include "frontier/tasks/prompt.hpp"

#include <algorithm>
#include <cctype>
#include <stdexcept>

namespace frontier {
namespace {

std::string tagged(std::string const& tag, std::string const& text) {
  return "<" + tag + ">\n" + text + "\n</" + tag + ">\n";
}

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

constexpr std::int64_t kTemplateTokens = 64;

std::string render_natural(Draft const& draft) {
  std::string const tag = draft.several ? "questions" : "question";
  std::string const& question = draft.questions.front().text;
  std::string text = draft.introduction + "\n\nThe " + tag + (draft.several ? " are" : " is") +
                     " stated twice: once before the context and once after it.\n\n" + tagged(tag, question) + "\n" +
                     tagged("context", draft.context) + "\n" + tagged(tag + "_repeated", question);
  text +=
      "\nInstructions:\n"
      "1. First explain in one to three sentences where in the context you found the evidence and how the final answer "
      "follows from it.\n"
      "2. Then give the final answer, between answer tags as shown here and in exactly this format:\n";
  text += tagged("answer", draft.instructions);
  text +=
      "\nYour whole response looks like this, with both pairs of tags:\n"
      "<explanation>\nyour brief explanation\n</explanation>\n<answer>\nyour final answer\n</answer>\n"
      "\nImportant:\n";
  for (std::string const& reminder : draft.reminders) text += "- " + reminder + "\n";
  return text +
         "- Be clear and brief in the explanation.\n"
         "- Write nothing but the formatted answer inside the answer tags.";
}

void check_natural(Draft const& draft, Request const& request) {
  std::int64_t const text = request.count(render_prompt(draft));
  std::int64_t const room = prompt_room(Form::natural, request.max_tokens);
  if (text > room) {
    throw std::invalid_argument("the prompt has " + std::to_string(text) + " tokens before it is put into a chat " +
                                "template, more than " + std::to_string(room));
  }
  std::vector<std::string> golds = draft.questions.front().other_golds;
  golds.push_back(draft.questions.front().gold);
  for (std::string const& gold : golds) {
    if (request.count(gold) > request.max_output_tokens) {
      throw std::invalid_argument("a gold answer has " + std::to_string(request.count(gold)) +
                                  " tokens, more than the " + std::to_string(request.max_output_tokens) +
                                  " of an output");
    }
  }
}

}  // namespace

std::int64_t prompt_room(Form form, std::int64_t max_tokens) {
  return form == Form::compact ? max_tokens : max_tokens - kTemplateTokens;
}

std::string render_prompt(Draft const& draft) {
  if (draft.form == Form::natural) return render_natural(draft);
  std::string const tag = draft.several ? "questions" : "question";
  std::string const& question = draft.questions.front().text;
  return "<bos><user>\n" + draft.introduction + "\n" + tagged(tag, question) + tagged("context", draft.context) +
         tagged(tag + "_repeated", question) + draft.instructions + "\n<assistant>\n";
}

std::string response(std::string_view gold) { return "<answer>\n" + std::string(gold) + "\n</answer><eos>"; }

std::string explained_response(std::string_view explanation, std::string_view gold) {
  return tagged("explanation", std::string(explanation)) + tagged("answer", std::string(gold));
}

std::string render_turn(Draft const& draft, Question const& question) {
  std::string const tag = draft.several ? "questions_repeated" : "question_repeated";
  return "<user>\n" + tagged(tag, question.text) + "<assistant>\n";
}

std::string render_conversation(Draft const& draft) {
  std::string text = render_prompt(draft) + response(draft.questions.front().gold);
  for (std::size_t i = 1; i < draft.questions.size(); ++i)
    text += render_turn(draft, draft.questions[i]) + response(draft.questions[i].gold);
  return text;
}

std::optional<std::string> answer_block(std::string_view output, bool last) {
  static constexpr std::string_view kOpen = "<answer>";
  static constexpr std::string_view kClose = "</answer>";
  std::string folded(output);
  std::transform(folded.begin(), folded.end(), folded.begin(), lower);
  std::size_t const close_from = last ? folded.rfind(kClose) : std::string::npos;
  std::size_t open = 0;
  if (last) {
    if (close_from == std::string::npos || close_from < kOpen.size()) return std::nullopt;
    open = folded.rfind(kOpen, close_from - kOpen.size());
  } else {
    open = folded.find(kOpen);
  }
  if (open == std::string::npos) return std::nullopt;
  std::size_t const begin = open + kOpen.size();
  std::size_t const end = folded.find(kClose, begin);
  if (end == std::string::npos) return std::nullopt;
  return std::string(output.substr(begin, end - begin));
}

std::string normalised(std::string_view text) {
  std::string result;
  for (char c : text) {
    if (!is_space(c)) {
      result += lower(c);
    } else if (!result.empty() && result.back() != ' ') {
      result += ' ';
    }
  }
  if (!result.empty() && result.back() == ' ') result.pop_back();
  return result;
}

Sample checked_sample(Draft const& draft, Request const& request) {
  bool const natural = draft.form == Form::natural;
  if (natural) check_natural(draft, request);
  Question const& question = draft.questions.front();
  Sample sample{.prompt = render_prompt(draft), .gold = question.gold, .index = request.index};
  CountTokens const& count_whole = natural && request.count_turn ? request.count_turn : request.count;
  sample.prompt_tokens = count_whole(sample.prompt);
  sample.tail_tokens = request.count(std::string_view(sample.prompt).substr(sample.prompt.rfind("</context>") + 11));
  sample.other_golds = question.other_golds;
  sample.fields = draft.fields;
  for (std::size_t turn = 1; turn < draft.questions.size(); ++turn)
    sample.more.push_back({render_turn(draft, draft.questions[turn]), draft.questions[turn].gold});
  if (sample.prompt_tokens > request.max_tokens ||
      static_cast<double>(sample.prompt_tokens) < request.min_fill * static_cast<double>(request.max_tokens)) {
    throw std::invalid_argument("the prompt has " + std::to_string(sample.prompt_tokens) + " tokens, not between " +
                                std::to_string(request.min_fill) + " and 1 times the asked " +
                                std::to_string(request.max_tokens));
  }
  return sample;
}

std::string joined(std::vector<std::string> const& parts, std::string_view separator) {
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i) text.append(i == 0 ? "" : separator).append(parts[i]);
  return text;
}

}  // namespace frontier
