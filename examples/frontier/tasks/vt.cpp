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

Draft wording(Form form) {
  if (form == Form::compact) {
    return {
        .introduction =
            "The context holds assignments of variables among other sentences. A variable resolves to a value if "
            "it is assigned the value or a variable that resolves to it.",
        .instructions = "Write the names of the variables, one on each line, from the first assignment to the last."};
  }
  return {.form = form,
          .introduction =
              "Below is a text in which assignments of variables are scattered among other sentences. A "
              "variable is assigned either a number or the value of another variable; the assignments "
              "stand in no particular order. Find out which variables have a certain value in the end.",
          .instructions = "<name> <name> <name> and so on",
          .reminders = {"Write the names of the variables alone, separated by spaces, in any order.",
                        "Write neither the word VAR nor commas, quotes or other punctuation.",
                        "Follow every chain of assignments to its end."}};
}

std::string ask(Form form, std::string const& value) {
  if (form == Form::compact) {
    return "Which variables resolve to the value " + value + ", directly or through other variables?";
  }
  return "Which variables resolve to the value " + value + "? A variable resolves to " + value + " if it is assigned " +
         value + " itself, or if it is assigned another variable that resolves to " + value + ".";
}

std::string new_name(Random& random, Form form) {
  if (form == Form::compact) {
    // The second half is drawn first: the bundled models' training data has it so.
    std::string const end = random.choice(words::symbols());
    return random.choice(words::symbols()) + end;
  }
  std::string name;
  for (int i = 0; i < 5; ++i) name += static_cast<char>('A' + random.below(26));
  return name;
}

std::int64_t new_value(Random& random, Form form) {
  return form == Form::compact ? random.between(100, 999) : random.between(10000, 99998);
}

/// Puts sentences that say nothing into the room between the statements: whole units first, then, in the compact form,
/// single sentences until nothing more fits. Tokens of joined units can differ from those of single ones, so the
/// natural form leaves room for five.
void add_filler(std::vector<std::string>& statements, Form form, std::int64_t room, CountTokens const& count) {
  std::int64_t const unit = count(" " + joined(filler(), " "));
  if (form == Form::natural) room -= 5 * unit;
  for (; room >= unit; room -= unit) statements.insert(statements.end(), filler().begin(), filler().end());
  if (form == Form::natural) return;
  for (std::string const& text : filler()) {
    if (std::int64_t const cost = count(" " + text); cost <= room) {
      statements.push_back(text);
      room -= cost;
    }
  }
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

VariableTracking::Shape VariableTracking::shape_at(std::int64_t max_tokens, Form form) {
  if (form == Form::natural) return {.chains = 8, .hops = 4, .form = form};
  if (max_tokens < 3072) return {.chains = 2, .hops = 2};
  if (max_tokens < 6144) return {.chains = 4, .hops = 2};
  if (max_tokens < 12288) return {.chains = 4, .hops = 4};
  return {.chains = 8, .hops = 4};
}

Draft VariableTracking::draft(Random& random, Shape shape, std::int64_t max_tokens, CountTokens const& count) {
  Draft draft = wording(shape.form);
  std::vector<std::string> names;
  std::set<std::string> used;
  auto const wanted = static_cast<std::size_t>(shape.chains * (shape.hops + 1));
  while (names.size() < wanted) {
    std::string name = new_name(random, shape.form);
    if (used.insert(name).second) names.push_back(std::move(name));
  }
  std::vector<std::string> values;
  while (values.size() < static_cast<std::size_t>(shape.chains)) {
    std::string value = std::to_string(new_value(random, shape.form));
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
      draft.questions.push_back({ask(shape.form, value), joined(chain, shape.form == Form::compact ? "\n" : " ")});
    }
  }

  // The prompt first: the closed vocabulary numbers its words as they are counted here.
  std::int64_t room = prompt_room(shape.form, max_tokens);
  room -= count(shape.training ? render_conversation(draft) : render_prompt(draft));
  room -= count(joined(statements, " "));
  if (room < 0) throw std::invalid_argument("vt: " + std::to_string(max_tokens) + " tokens do not hold the chains");
  add_filler(statements, shape.form, room, count);
  random.shuffle(statements);
  draft.context = joined(statements, " ");
  draft.fields = {
      {"target_value", values.front()}, {"chains", std::to_string(shape.chains)}, {"hops", std::to_string(shape.hops)}};
  return draft;
}

Sample VariableTracking::generate(Request const& request) const {
  Random random(request.seed, name(), request.index);
  Shape shape = shape_at(request.max_tokens, form());
  shape.questions = request.turns;
  return checked_sample(draft(random, shape, request.max_tokens, request.count), request);
}

Score VariableTracking::score(Sample const& sample, std::string const& output) const {
  auto const first = answer_block(output, false);
  auto const last = answer_block(output, true);
  return {.strict = last ? intersection_over_union(parse_strict(sample.gold), parse_strict(*last)) : 0.0,
          .compat = intersection_over_union(parse_compat(sample.gold), parse_compat(first.value_or(output))),
          .unparsed = !first};
}

}  // namespace frontier
