#include "frontier/tasks/niah.hpp"

#include <map>
#include <regex>
#include <set>
#include <stdexcept>

#include "frontier/words.hpp"

namespace frontier {
namespace {

struct Pair {
  std::string key;
  std::string value;
};

std::string identifier(Random& random, std::int64_t symbols, std::set<std::string>& used) {
  std::string text;
  do {
    text.clear();
    for (std::int64_t i = 0; i < symbols; ++i) text += random.choice(words::symbols());
  } while (!used.insert(text).second);
  return text;
}

std::string sentence(Pair const& pair) { return "The value for " + pair.key + " is: " + pair.value + "."; }

Question ask(std::vector<Pair> const& pairs) {
  Question question{"What are the values for ", ""};
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    std::string const number = std::to_string(i + 1);
    question.text += (i == 0 ? "" : ", ") + pairs[i].key;
    question.gold += (i == 0 ? "" : "\n") + number + ". The answer for " + pairs[i].key + " is " + pairs[i].value + ".";
  }
  question.text += "?";
  return question;
}

struct Line {
  std::string key;
  std::string value;
};

std::string value_form(std::string const& value) {
  std::string form = normalised(value);
  for (std::size_t at = form.find("is: "); at != std::string::npos; at = form.find("is: ", at)) form.erase(at + 2, 1);
  return form;
}

/// The first line of each index.
std::map<int, Line> parse(std::string const& text) {
  static std::regex const kLine(R"((\d{1,6})\.\s*The answer for\s+([A-Za-z0-9_-]+)\s+is:?\s+([^.\n]*))",
                                std::regex::icase | std::regex::optimize);
  std::map<int, Line> lines;
  for (std::sregex_iterator it(text.begin(), text.end(), kLine), end; it != end; ++it) {
    lines.try_emplace(std::stoi((*it)[1].str()), Line{(*it)[2].str(), value_form((*it)[3].str())});
  }
  return lines;
}

double share_correct(std::string const& gold, std::string const& text) {
  std::map<int, Line> const expected = parse(gold);
  std::map<int, Line> const found = parse(text);
  double correct = 0;
  for (auto const& [index, line] : expected) {
    auto const it = found.find(index);
    if (it != found.end() && it->second.key == line.key && it->second.value == line.value) correct += 1;
  }
  return expected.empty() ? 0 : correct / static_cast<double>(expected.size());
}

}  // namespace

Niah::Shape Niah::shape_at(std::int64_t max_tokens) {
  return max_tokens < 3072 ? Shape{.symbols = 3, .queries = 2} : Shape{.symbols = 4, .queries = 4};
}

Draft Niah::draft(Random& random, Shape shape, std::int64_t max_tokens, CountTokens const& count) {
  Draft draft{.introduction = "The context lists keys and their values. Find the values of some keys.",
              .instructions = "Write one line for each key, in the order of the keys.",
              .several = true};
  std::set<std::string> keys;
  std::set<std::string> values;
  auto const draw = [&] {
    std::string key = identifier(random, shape.symbols, keys);
    return Pair{std::move(key), identifier(random, shape.symbols, values)};
  };

  std::vector<std::string> sentences;
  for (std::int64_t q = 0; q < shape.questions; ++q) {
    std::vector<Pair> needles;
    for (std::int64_t i = 0; i < shape.queries; ++i) needles.push_back(draw());
    for (Pair const& needle : needles) sentences.push_back(sentence(needle));
    draft.questions.push_back(ask(needles));
  }
  random.shuffle(sentences);

  std::int64_t room = max_tokens - count(shape.training ? render_conversation(draft) : render_prompt(draft));
  for (std::string const& text : sentences) room -= count(text);
  if (room < 0) throw std::invalid_argument("niah: " + std::to_string(max_tokens) + " tokens do not hold the needles");
  for (;;) {
    std::string text = sentence(draw());
    std::int64_t const cost = count(text);
    if (cost > room) break;
    room -= cost;
    sentences.push_back(std::move(text));
  }
  random.shuffle(sentences);
  for (std::string const& text : sentences) draft.context += (draft.context.empty() ? "" : " ") + text;
  return draft;
}

Sample Niah::generate(Request const& request) const {
  Random random(request.seed, name(), request.index);
  return checked_sample(draft(random, shape_at(request.max_tokens), request.max_tokens, request.count), request);
}

Score Niah::score(Sample const& sample, std::string const& output) const {
  auto const first = answer_block(output, false);
  auto const last = answer_block(output, true);
  return {.strict = last ? share_correct(sample.gold, *last) : 0.0,
          .compat = share_correct(sample.gold, first.value_or(output)),
          .unparsed = !first};
}

}  // namespace frontier
