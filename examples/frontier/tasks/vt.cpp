#include "frontier/tasks/vt.hpp"

#include <algorithm>
#include <cctype>
#include <set>
#include <stdexcept>

#include "frontier/tasks/scores.hpp"
#include "frontier/words.hpp"

namespace frontier {
namespace {

using Names = TextSet;

constexpr std::string_view kKeyword = "VAR";

std::vector<std::string> const& filler() {
  static std::vector<std::string> const sentences = {"The grass is green.", "The sky is blue.", "The sun is yellow.",
                                                     "Here we go.", "There and back again."};
  return sentences;
}

std::string joined(std::vector<std::string> const& parts, char separator) {
  std::string text;
  for (std::string const& part : parts) {
    if (!text.empty()) text += separator;
    text += part;
  }
  return text;
}

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

Names split(std::string const& text, std::string_view separators) {
  Names names;
  std::string current;
  for (char c : text + " ") {
    bool const ends = std::isspace(static_cast<unsigned char>(c)) != 0 || separators.find(c) != std::string_view::npos;
    if (!ends) {
      current += c;
    } else if (!current.empty()) {
      names.insert(current);
      current.clear();
    }
  }
  return names;
}

/// The published reading: every keyword that white space follows is deleted, at word starts or not.
Names parse_compat(std::string const& text) {
  std::string folded = upper(normalised(text));
  std::string const keyword = std::string(kKeyword) + " ";
  for (std::size_t at = folded.find(keyword); at != std::string::npos; at = folded.find(keyword, at)) {
    folded.erase(at, keyword.size());
  }
  return split(folded, "");
}

Names parse_strict(std::string const& text) {
  Names names = split(upper(text), ",;");
  names.erase(std::string(kKeyword));
  return names;
}

}  // namespace

VariableTracking::Shape VariableTracking::shape_at(std::int64_t max_tokens) {
  if (max_tokens < 3072) return {.chains = 2, .hops = 2};
  if (max_tokens < 6144) return {.chains = 4, .hops = 2};
  if (max_tokens < 12288) return {.chains = 4, .hops = 4};
  return {.chains = 8, .hops = 4};
}

Draft VariableTracking::draft(Random& random, Shape shape, std::int64_t max_tokens, CountTokens const& count) {
  Draft draft{
      .introduction =
          "The context holds assignments of variables among other sentences. A variable resolves to a value if "
          "it is assigned the value or a variable that resolves to it.",
      .instructions = "Write the names of the variables, one on each line, from the first assignment to the last."};
  std::vector<std::string> names;
  std::set<std::string> used;
  auto const wanted = static_cast<std::size_t>(shape.chains * (shape.hops + 1));
  while (names.size() < wanted) {
    std::string name = random.choice(words::symbols()) + random.choice(words::symbols());
    if (used.insert(name).second) names.push_back(std::move(name));
  }
  std::vector<std::string> values;
  while (values.size() < static_cast<std::size_t>(shape.chains)) {
    std::string value = std::to_string(random.between(100, 999));
    if (used.insert(value).second) values.push_back(std::move(value));
  }

  std::vector<std::string> statements;
  auto name = names.begin();
  for (std::string const& value : values) {
    std::vector<std::string> const chain(name, name + shape.hops + 1);
    name += shape.hops + 1;
    statements.push_back("VAR " + chain[0] + " = " + value);
    for (std::size_t hop = 1; hop < chain.size(); ++hop) {
      statements.push_back("VAR " + chain[hop] + " = VAR " + chain[hop - 1]);
    }
    if (draft.questions.size() < static_cast<std::size_t>(shape.questions)) {
      draft.questions.push_back(
          {"Which variables resolve to the value " + value + ", directly or through other variables?",
           joined(chain, '\n')});
    }
  }

  std::int64_t room = max_tokens - count(shape.training ? render_conversation(draft) : render_prompt(draft));
  for (std::string const& statement : statements) room -= count(statement);
  if (room < 0) throw std::invalid_argument("vt: " + std::to_string(max_tokens) + " tokens do not hold the chains");
  // Whole units of filler first, then single sentences of it until nothing more fits.
  std::int64_t const unit = count(joined(filler(), ' '));
  for (; room >= unit; room -= unit) statements.insert(statements.end(), filler().begin(), filler().end());
  for (std::string const& text : filler()) {
    if (std::int64_t const cost = count(text); cost <= room) {
      statements.push_back(text);
      room -= cost;
    }
  }
  random.shuffle(statements);
  draft.context = joined(statements, ' ');
  return draft;
}

Sample VariableTracking::generate(Request const& request) const {
  Random random(request.seed, name(), request.index);
  return checked_sample(draft(random, shape_at(request.max_tokens), request.max_tokens, request.count), request);
}

Score VariableTracking::score(Sample const& sample, std::string const& output) const {
  auto const first = answer_block(output, false);
  auto const last = answer_block(output, true);
  return {.strict = last ? intersection_over_union(parse_strict(sample.gold), parse_strict(*last)) : 0.0,
          .compat = intersection_over_union(parse_compat(sample.gold), parse_compat(first.value_or(output))),
          .unparsed = !first};
}

}  // namespace frontier
