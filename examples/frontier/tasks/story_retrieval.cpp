#include "frontier/tasks/story_retrieval.hpp"

#include <map>
#include <regex>
#include <sstream>
#include <stdexcept>

#include "frontier/tasks/narrative.hpp"
#include "frontier/tasks/scores.hpp"

namespace frontier {
namespace {

enum class Fact { location, character, item };

struct Line {
  std::int64_t chapter;
  Fact fact;
};

Draft wording(Form form) {
  if (form == Form::compact) {
    return {.introduction = story_introduction(form),
            .instructions = "Write one line for each question, in the order of the questions.",
            .several = true};
  }
  return {.form = form,
          .introduction = story_introduction(form) + " Answer some questions about single chapters.",
          .instructions =
              "1. <answer to the first question>\n2. <answer to the second question>\n"
              "and so on, one line for each question",
          .reminders = {"Answer every question, in the order in which they are asked.",
                        "Write names of places, characters and items alone, exactly as the story has them."},
          .several = true};
}

std::string ask(Form form, std::size_t number, Line const& line) {
  static constexpr char const* kWhat[][3] = {
      {"which location was visited?", "which character was met?", "which item was acquired?"},
      {"which location did the traveler visit?", "which character did the traveler meet?",
       "which item did the traveler acquire?"}};
  return std::to_string(number) + ". In chapter " + std::to_string(line.chapter) + ", " +
         kWhat[form == Form::natural][static_cast<std::size_t>(line.fact)];
}

std::string const& answer(Line const& line, std::vector<Narrative::Chapter> const& chapters) {
  Narrative::Chapter const& chapter = chapters[static_cast<std::size_t>(line.chapter - 1)];
  return line.fact == Fact::location    ? chapter.location
         : line.fact == Fact::character ? chapter.character
                                        : chapter.item;
}

std::vector<Line> draw_lines(Random& random, std::int64_t chapters, std::int64_t queries) {
  std::vector<std::int64_t> numbers;
  for (std::int64_t number = 1; number <= chapters; ++number) numbers.push_back(number);
  std::vector<Fact> kinds = {Fact::location, Fact::character, Fact::item};
  random.shuffle(kinds);
  std::vector<Line> lines;
  for (std::int64_t number : random.sample(numbers, queries)) {
    // Three questions ask once for each kind; any other number draws the kinds freely.
    Fact const fact = queries == 3 ? kinds[lines.size()] : static_cast<Fact>(random.below(3));
    lines.push_back({number, fact});
  }
  return lines;
}

/// The first line of each index.
std::map<int, std::string> parse(std::string const& text) {
  static std::regex const kLine(R"(^\s*(\d{1,6})[.:)] *(.*)$)", std::regex::optimize);
  std::map<int, std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    std::smatch match;
    if (line.size() < 1000 && std::regex_match(line, match, kLine)) {
      lines.try_emplace(std::stoi(match[1].str()), without_article(normalised(match[2].str())));
    }
  }
  return lines;
}

double share_correct(std::string const& gold, std::string const& text) {
  std::map<int, std::string> const expected = parse(gold);
  std::map<int, std::string> const found = parse(text);
  double correct = 0;
  for (auto const& [index, value] : expected) {
    auto const it = found.find(index);
    if (it != found.end() && it->second == value) correct += 1;
  }
  return expected.empty() ? 0 : correct / static_cast<double>(expected.size());
}

}  // namespace

StoryRetrieval::Shape StoryRetrieval::shape_at(std::int64_t max_tokens, Form form) {
  if (form == Form::natural) return {.queries = 16, .form = form};
  return {.queries = max_tokens < 3072 ? 4 : max_tokens < 6144 ? 8 : 16};
}

Draft StoryRetrieval::draft(Random& random, Shape shape, std::int64_t max_tokens, CountTokens const& count) {
  Draft draft = wording(shape.form);
  // The questions are drawn after the story, so their room is kept by the longest line that they can have.
  Line const longest{9999, Fact::location};
  std::string const widest_answer = "\n16. weathered silver candlestick";
  Question placeholder;
  for (std::int64_t i = 0; i < shape.queries; ++i) {
    placeholder.text += ask(shape.form, 16, longest) + "\n";
    placeholder.gold += widest_answer;
  }
  draft.questions.assign(static_cast<std::size_t>(shape.questions), placeholder);
  std::int64_t const around = count(shape.training ? render_conversation(draft) : render_prompt(draft));

  Narrative const narrative(random, Narrative::form_at(max_tokens, shape.form),
                            prompt_room(shape.form, max_tokens) - around, count);
  auto const chapters = static_cast<std::int64_t>(narrative.chapters().size());
  if (chapters < shape.queries) {
    throw std::invalid_argument("story_retrieval: " + std::to_string(max_tokens) + " tokens hold " +
                                std::to_string(chapters) + " chapters, fewer than the " +
                                std::to_string(shape.queries) + " questions");
  }
  draft.context = narrative.text();
  draft.fields = {{"chapters", std::to_string(chapters)}};
  for (Question& question : draft.questions) {
    question = {};
    std::size_t number = 0;
    for (Line const& line : draw_lines(random, chapters, shape.queries)) {
      ++number;
      if (number > 1) {
        question.text += '\n';
        question.gold += '\n';
      }
      question.text += ask(shape.form, number, line);
      question.gold += std::to_string(number) + ". " + answer(line, narrative.chapters());
    }
  }
  return draft;
}

Sample StoryRetrieval::generate(Request const& request) const {
  Random random(request.seed, name(), request.index);
  Shape shape = shape_at(request.max_tokens, form());
  shape.questions = request.turns;
  return checked_sample(draft(random, shape, request.max_tokens, request.count), request);
}

Score StoryRetrieval::score(Sample const& sample, std::string const& output) const {
  auto const first = answer_block(output, false);
  auto const last = answer_block(output, true);
  return {.strict = last ? share_correct(sample.gold, *last) : 0.0,
          .compat = share_correct(sample.gold, first.value_or(output)),
          .unparsed = !first};
}

}  // namespace frontier
