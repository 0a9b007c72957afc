#include "frontier/tasks/story_multihop.hpp"

#include <algorithm>
#include <stdexcept>

#include "frontier/tasks/narrative.hpp"
#include "frontier/tasks/scores.hpp"

namespace frontier {
namespace {

Draft wording(Form form) {
  if (form == Form::compact) {
    return {.introduction = story_introduction(form),
            .instructions = "Write only the name of the item, without an article."};
  }
  return {.form = form,
          .introduction = story_introduction(form) +
                          " Find out which item came into the traveler's hands just before "
                          "another one.",
          .instructions = "<name of the item>",
          .reminders = {"Write the name of the item alone, without an article, exactly as the story has it.",
                        "Only what the traveler acquires counts; items that are sold do not."}};
}

Question ask(Form form, std::string const& item, std::string const& before) {
  if (form == Form::compact) return {"What was the last item acquired before the " + item + "?", before};
  return {"What was the last item that the traveler acquired before acquiring the " + item + "?", before};
}

std::string item_form(std::string const& text) { return without_article(normalised(text)); }

}  // namespace

Draft StoryMultihop::draft(Random& random, Shape shape, std::int64_t max_tokens, CountTokens const& count) {
  Draft draft = wording(shape.form);
  std::string const some_item = "weathered silver candlestick";
  draft.questions.assign(static_cast<std::size_t>(shape.questions), ask(shape.form, some_item, some_item));
  std::int64_t const around = count(shape.training ? render_conversation(draft) : render_prompt(draft));

  Narrative const narrative(random, Narrative::form_at(max_tokens, shape.form),
                            prompt_room(shape.form, max_tokens) - around, count, shape.purchase_probability);
  std::vector<std::string> items;  // in the order of acquiring
  for (Narrative::Chapter const& chapter : narrative.chapters()) {
    if (!chapter.item.empty()) items.push_back(chapter.item);
  }
  if (items.size() < 2) {
    throw std::invalid_argument("story_multihop: " + std::to_string(max_tokens) +
                                " tokens hold fewer than 2 chapters with a purchase");
  }
  std::vector<std::size_t> later;
  for (std::size_t i = 1; i < items.size(); ++i) later.push_back(i);
  auto const asked = std::min(shape.questions, static_cast<std::int64_t>(later.size()));
  draft.questions.clear();
  for (std::size_t i : random.sample(later, asked)) {
    draft.questions.push_back(ask(shape.form, items[i], items[i - 1]));
  }
  draft.fields = {{"chapters", std::to_string(narrative.chapters().size())}};
  draft.context = narrative.text();
  return draft;
}

Sample StoryMultihop::generate(Request const& request) const {
  Random random(request.seed, name(), request.index);
  Shape const shape{.questions = request.turns, .form = form(), .purchase_probability = purchase_probability_};
  return checked_sample(draft(random, shape, request.max_tokens, request.count), request);
}

Score StoryMultihop::score(Sample const& sample, std::string const& output) const {
  std::string const gold = item_form(sample.gold);
  auto const first = answer_block(output, false);
  auto const last = answer_block(output, true);
  std::string const published = item_form(first.value_or(""));
  // The published mean leaves out samples without a prediction; the strict one counts them as wrong.
  return {.strict = last && item_form(*last) == gold ? 1.0 : 0.0,
          .compat = published == gold ? 1.0 : 0.0,
          .compat_dropped = published.empty(),
          .unparsed = !first};
}

}  // namespace frontier
