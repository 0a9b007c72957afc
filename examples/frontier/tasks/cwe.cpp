#include "frontier/tasks/cwe.hpp"

#include <algorithm>
#include <numeric>
#include <regex>
#include <sstream>
#include <stdexcept>

#include "frontier/tasks/scores.hpp"
#include "frontier/words.hpp"

namespace frontier {
namespace {

std::string times(std::int64_t number) { return number == 1 ? "once" : std::to_string(number) + " times"; }

std::string ask(CommonWords::Shape const& shape) {
  std::string const common = std::to_string(shape.common);
  std::string const subject =
      shape.common == 1 ? "Which is the 1 common word? It" : "Which are the " + common + " common words? Each of them";
  return subject + " appears " + times(shape.common_times) + ", all other words appear " + times(shape.rare_times) +
         ".";
}

/// Lines that begin with a number; others are ignored.
TextSet parse(std::string const& text) {
  static std::regex const kLine(R"(^\s*\d+[.)-]? *(.+)$)", std::regex::optimize);
  TextSet found;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    std::smatch match;
    if (line.size() < 1000 && std::regex_match(line, match, kLine)) {
      if (std::string word = normalised(match[1].str()); !word.empty()) found.insert(std::move(word));
    }
  }
  return found;
}

}  // namespace

CommonWords::Shape CommonWords::shape_at(std::int64_t max_tokens) {
  // The rare words double their frequency before the pool of 1,024 is exhausted; an entry has two tokens.
  std::int64_t rare_times = 1;
  while (max_tokens / (2 * rare_times) > 1100) rare_times *= 2;
  return {.common = max_tokens < 3072 ? 5 : 10, .common_times = 10 * rare_times, .rare_times = rare_times};
}

Draft CommonWords::draft(Random& random, Shape shape, std::int64_t max_tokens, CountTokens const& count) {
  Draft draft{.introduction =
                  "The context is a list of words in random order. Some words are common and appear many times, all "
                  "other words appear a few times. Do not count by code.",
              .instructions = "Write one word on each line: 1. for the first, 2. for the second and so on.",
              .drawn_words = true};
  std::vector<std::string> const& pool = words::common_pool();
  std::vector<std::size_t> places(pool.size());
  std::iota(places.begin(), places.end(), 0);
  random.shuffle(places);

  // Any order scores the same; that of the pool gives a model one answer to learn.
  auto const rare_begin = places.begin() + shape.common;
  std::sort(places.begin(), rare_begin);
  Question question{ask(shape), ""};
  for (std::int64_t i = 0; i < shape.common; ++i) {
    if (i > 0) question.gold += '\n';
    question.gold += std::to_string(i + 1) + ". " + pool[places[static_cast<std::size_t>(i)]];
  }
  draft.questions.push_back(std::move(question));

  std::int64_t room = max_tokens - count(shape.training ? render_conversation(draft) : render_prompt(draft)) + 1;
  std::vector<std::size_t> entries;
  auto place = places.begin();
  for (; place != places.end(); ++place) {
    std::int64_t const repeats = place < rare_begin ? shape.common_times : shape.rare_times;
    std::int64_t const cost = repeats * count(pool[*place] + "\n");
    if (cost > room) break;
    room -= cost;
    entries.insert(entries.end(), static_cast<std::size_t>(repeats), *place);
  }
  if (place <= rare_begin) {
    throw std::invalid_argument("cwe: " + std::to_string(max_tokens) + " tokens do not hold the common words");
  }
  random.shuffle(entries);
  for (std::size_t entry : entries) {
    if (!draft.context.empty()) draft.context += '\n';
    draft.context += pool[entry];
  }
  return draft;
}

Sample CommonWords::generate(Request const& request) const {
  Random random(request.seed, name(), request.index);
  return checked_sample(draft(random, shape_at(request.max_tokens), request.max_tokens, request.count), request);
}

Score CommonWords::score(Sample const& sample, std::string const& output) const {
  TextSet const gold = parse(sample.gold);
  auto const first = answer_block(output, false);
  auto const last = answer_block(output, true);
  return {.strict = last ? intersection_over_union(gold, parse(*last)) : 0.0,
          .compat = first ? intersection_over_union(gold, parse(*first)) : 0.0,
          .unparsed = !first};
}

}  // namespace frontier
