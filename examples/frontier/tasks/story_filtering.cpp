#include "frontier/tasks/story_filtering.hpp"

#include <algorithm>
#include <cctype>
#include <regex>
#include <stdexcept>

#include "frontier/tasks/narrative.hpp"
#include "frontier/tasks/scores.hpp"

namespace frontier {
namespace {

using Numbers = TextSet;

Draft wording(Form form) {
  if (form == Form::compact) {
    return {.introduction = story_introduction(form),
            .instructions = "Write the numbers of the chapters, separated by commas."};
  }
  return {.form = form,
          .introduction = story_introduction(form) + " Find the chapters in which the traveler acquires nothing.",
          .instructions = "<number>, <number>, and so on",
          .reminders = {"Write only the numbers of the chapters, separated by commas.",
                        "Selling an item is not acquiring one."}};
}

Question ask(std::int64_t chapters, std::string gold) {
  std::string const exactly = chapters == 1 ? "There is exactly 1 such chapter."
                                            : "There are exactly " + std::to_string(chapters) + " such chapters.";
  return {"In which chapters was no item acquired, bought or purchased? " + exactly, std::move(gold)};
}

void add_number(Numbers& numbers, std::string digits) {
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
  numbers.insert(std::move(digits));
}

/// The numbers after the word Chapter, or all numbers where that word names none. The published reading deletes what is
/// neither a digit, a comma nor white space, so "1and2" reads 12; the strict one ends a number there.
Numbers parse(std::string const& text, bool glues_digits) {
  static std::regex const kChapter(R"(chapter\s+(\d+))", std::regex::icase | std::regex::optimize);
  Numbers numbers;
  for (std::sregex_iterator it(text.begin(), text.end(), kChapter), end; it != end; ++it) {
    add_number(numbers, (*it)[1].str());
  }
  if (!numbers.empty()) return numbers;
  std::string digits;
  for (char c : text + " ") {
    auto const byte = static_cast<unsigned char>(c);
    if (std::isdigit(byte) != 0) {
      digits += c;
    } else if (!glues_digits || c == ',' || std::isspace(byte) != 0) {
      if (!digits.empty()) add_number(numbers, std::move(digits));
      digits.clear();
    }
  }
  return numbers;
}

}  // namespace

StoryFiltering::Shape StoryFiltering::shape_at(std::int64_t max_tokens, Form form) {
  if (form == Form::natural) return {.chapters = 3, .form = form};
  return {.chapters = max_tokens < 3072 ? 2 : 3};
}

Draft StoryFiltering::draft(Random& random, Shape shape, std::int64_t max_tokens, CountTokens const& count) {
  Draft draft = wording(shape.form);
  std::string widest_gold = "9999";
  for (std::int64_t i = 1; i < shape.chapters; ++i) widest_gold += ", 9999";
  draft.questions.push_back(ask(shape.chapters, widest_gold));
  std::int64_t const around = count(shape.training ? render_conversation(draft) : render_prompt(draft));

  Narrative narrative(random, Narrative::form_at(max_tokens, shape.form), prompt_room(shape.form, max_tokens) - around,
                      count);
  std::vector<std::int64_t> numbers;
  for (Narrative::Chapter const& chapter : narrative.chapters()) numbers.push_back(chapter.number);
  if (static_cast<std::int64_t>(numbers.size()) <= shape.chapters) {
    throw std::invalid_argument("story_filtering: " + std::to_string(max_tokens) + " tokens hold " +
                                std::to_string(numbers.size()) + " chapters, not more than the " +
                                std::to_string(shape.chapters) + " without a purchase");
  }
  std::vector<std::int64_t> idle = random.sample(numbers, shape.chapters);
  std::sort(idle.begin(), idle.end());
  narrative.leave_out_purchases(idle, count, shape.drop_orphan_sales);
  std::string gold;
  for (std::int64_t number : idle) gold += (gold.empty() ? "" : ", ") + std::to_string(number);
  draft.questions = {ask(shape.chapters, gold)};
  draft.context = narrative.text();
  draft.fields = {{"chapters", std::to_string(numbers.size())}};
  return draft;
}

Sample StoryFiltering::generate(Request const& request) const {
  Random random(request.seed, name(), request.index);
  Shape shape = shape_at(request.max_tokens, form());
  shape.drop_orphan_sales = drop_orphan_sales_;
  return checked_sample(draft(random, shape, request.max_tokens, request.count), request);
}

Score StoryFiltering::score(Sample const& sample, std::string const& output) const {
  Numbers const gold = parse(sample.gold, false);
  auto const first = answer_block(output, false);
  auto const last = answer_block(output, true);
  return {.strict = last ? intersection_over_union(gold, parse(*last, false)) : 0.0,
          .compat = intersection_over_union(gold, parse(first.value_or(""), true)),
          .compat_dropped = output.empty(),
          .unparsed = !first};
}

}  // namespace frontier
