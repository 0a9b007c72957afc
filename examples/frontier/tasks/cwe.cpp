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

std::string ask_in_full(CommonWords::Shape const& shape) {
  return "The list is in random order. Exactly " + std::to_string(shape.common) + " of its words appear " +
         times(shape.common_times) + " each; every other word appears " + times(shape.rare_times) + ". Which are the " +
         std::to_string(shape.common) + " words that appear " + times(shape.common_times) + "?";
}

std::string numbered(std::vector<std::string> const& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    text.append(i == 0 ? "" : "\n").append(std::to_string(i + 1)).append(". ").append(words[i]);
  }
  return text;
}

/// The first `rare` of the candidates and the common words before them, each as often as it appears.
std::vector<std::string> repeated(std::vector<std::string> const& words, CommonWords::Shape const& shape,
                                  std::int64_t rare) {
  std::vector<std::string> entries;
  for (std::int64_t i = 0; i < shape.common + rare; ++i) {
    std::int64_t const repeats = i < shape.common ? shape.common_times : shape.rare_times;
    entries.insert(entries.end(), static_cast<std::size_t>(repeats), words[static_cast<std::size_t>(i)]);
  }
  return entries;
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

Draft CommonWords::natural_draft(Request const& request) const {
  static constexpr Shape kShape{.common = 10, .common_times = 30, .rare_times = 3};
  // One order of the pool for all samples, then one of each sample.
  std::vector<std::string> pool = pool_;
  Random(request.seed, name() + " pool", 0).shuffle(pool);
  Random random(request.seed, name(), request.index);
  random.shuffle(pool);

  std::vector<std::string> const common(pool.begin(), pool.begin() + kShape.common);
  Draft draft{.form = Form::natural,
              .introduction =
                  "Below is a numbered list of words. A few of them are common and appear many times, all "
                  "others appear only a few times. Find the common ones by reading the list; do not write "
                  "a program that counts.",
              .instructions = "1. <first word>\n2. <second word>\nand so on, until 10. <tenth word>",
              .reminders = {"Write one word on each numbered line, in lower case, exactly as the list has it.",
                            "The order of the common words does not matter.",
                            "Give exactly as many words as the question asks for, each of them once."},
              .questions = {{ask_in_full(kShape), numbered(common)}}};
  std::int64_t const room = prompt_room(Form::natural, request.max_tokens);
  auto const fits = [&](std::int64_t rare) {
    draft.context = numbered(repeated(pool, kShape, rare));
    return request.count(render_prompt(draft)) <= room;
  };
  std::int64_t fitting = 0;
  std::int64_t beyond = static_cast<std::int64_t>(pool.size()) - kShape.common + 1;
  while (fitting + 1 < beyond) {
    std::int64_t const middle = fitting + (beyond - fitting) / 2;
    (fits(middle) ? fitting : beyond) = middle;
  }
  if (fitting == 0) {
    throw std::invalid_argument("cwe: " + std::to_string(request.max_tokens) + " tokens do not hold the common words");
  }
  std::vector<std::string> entries = repeated(pool, kShape, fitting);
  random.shuffle(entries);
  draft.context = numbered(entries);
  draft.fields = {{"entries", std::to_string(entries.size())},
                  {"common_word_frequency", std::to_string(kShape.common_times)},
                  {"rare_word_frequency", std::to_string(kShape.rare_times)}};
  return draft;
}

Sample CommonWords::generate(Request const& request) const {
  if (form() == Form::natural) return checked_sample(natural_draft(request), request);
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
