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

}  // namespace

std::string render_prompt(Draft const& draft) {
  std::string const tag = draft.several ? "questions" : "question";
  std::string const& question = draft.questions.front().text;
  return "<bos><user>\n" + draft.introduction + "\n" + tagged(tag, question) + tagged("context", draft.context) +
         tagged(tag + "_repeated", question) + draft.instructions + "\n<assistant>\n";
}

std::string response(std::string_view gold) { return "<answer>\n" + std::string(gold) + "\n</answer><eos>"; }

std::string render_conversation(Draft const& draft) {
  std::string const tag = draft.several ? "questions_repeated" : "question_repeated";
  std::string text = render_prompt(draft) + response(draft.questions.front().gold);
  for (std::size_t i = 1; i < draft.questions.size(); ++i) {
    text += "<user>\n" + tagged(tag, draft.questions[i].text) + "<assistant>\n" + response(draft.questions[i].gold);
  }
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

Sample checked_sample(Draft const& draft, Request const& request, double min_fill) {
  Sample sample;
  sample.prompt = render_prompt(draft);
  sample.gold = draft.questions.front().gold;
  sample.index = request.index;
  sample.prompt_tokens = request.count(sample.prompt);
  if (sample.prompt_tokens > request.max_tokens ||
      static_cast<double>(sample.prompt_tokens) < min_fill * static_cast<double>(request.max_tokens)) {
    throw std::invalid_argument("the prompt has " + std::to_string(sample.prompt_tokens) + " tokens, not between " +
                                std::to_string(min_fill) + " and 1 times the asked " +
                                std::to_string(request.max_tokens));
  }
  return sample;
}

}  // namespace frontier
