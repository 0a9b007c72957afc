#include "frontier/train/curriculum.hpp"

#include <algorithm>
#include <stdexcept>

#include "frontier/random.hpp"
#include "frontier/tasks/niah.hpp"
#include "frontier/tasks/story_retrieval.hpp"
#include "frontier/tasks/vt.hpp"

namespace frontier {
namespace {

constexpr std::uint64_t kSeed = 20260001;

Lesson drawn(Random& random, Lesson lesson) {
  if (lesson != Lesson::mixture) return lesson;
  std::int64_t const ticket = random.below(10);
  return ticket < 3 ? Lesson::niah : ticket < 7 ? Lesson::vt : Lesson::story_retrieval;
}

Draft training_draft(Random& random, Lesson lesson, std::int64_t length, CountTokens const& count) {
  auto const pick = [&](std::vector<std::int64_t> const& values) { return random.choice(values); };
  auto const up_to = [&](std::int64_t most) { return random.between(1, std::max<std::int64_t>(1, most)); };
  std::int64_t const max_tokens = length + 1 - random.below(length / 16);
  switch (drawn(random, lesson)) {
    case Lesson::niah: {
      Niah::Shape shape{.symbols = pick({2, 3, 3, 4, 4}), .queries = pick({1, 2, 2, 4, 4}), .training = true};
      shape.questions = up_to(std::min<std::int64_t>(8, length / 160));
      return Niah::draft(random, shape, max_tokens, count);
    }
    case Lesson::vt: {
      VariableTracking::Shape shape{.chains = length < 400 ? pick({1, 2, 3}) : pick({2, 2, 4, 4, 8}),
                                    .hops = pick({1, 2, 2, 4}),
                                    .training = true};
      shape.questions = up_to(std::min<std::int64_t>(shape.chains, length / 100));
      return VariableTracking::draft(random, shape, max_tokens, count);
    }
    default: {
      StoryRetrieval::Shape shape{.queries = up_to(std::min<std::int64_t>(16, length / 130)), .training = true};
      shape.questions = up_to(std::min<std::int64_t>(4, length / (shape.queries * 90)));
      return StoryRetrieval::draft(random, shape, max_tokens, count);
    }
  }
}

Draft held_out_draft(Random& random, Lesson lesson, std::int64_t length, CountTokens const& count) {
  bool const tiny = length < 1024;
  switch (drawn(random, lesson)) {
    case Lesson::niah: {
      Niah::Shape shape = Niah::shape_at(length);
      shape.training = true;
      return Niah::draft(random, shape, length + 1, count);
    }
    case Lesson::vt: {
      VariableTracking::Shape shape = VariableTracking::shape_at(length);
      shape.training = true;
      return VariableTracking::draft(random, shape, length + 1, count);
    }
    default: {
      StoryRetrieval::Shape shape = StoryRetrieval::shape_at(length);
      if (tiny) shape.queries = length < 400 ? 1 : 2;
      shape.training = true;
      return StoryRetrieval::draft(random, shape, length + 1, count);
    }
  }
}

/// Weights by place: nothing on what no reader could foresee, little on the rest, all on the answers.
std::vector<std::uint16_t> weighted(transformer::Tokenizer const& tokenizer, Draft const& draft, std::int64_t length) {
  std::vector<std::int32_t> const ids = tokenizer.encode(render_conversation(draft));
  if (static_cast<std::int64_t>(ids.size()) > length + 1) throw std::invalid_argument("the conversation is too long");
  std::int32_t const context_end = tokenizer.id_of("</context>").value();
  std::int32_t const speaks = tokenizer.id_of("<assistant>").value();
  std::int32_t const stops = tokenizer.id_of("<eos>").value();
  std::int32_t const first_symbol = tokenizer.id_of("a0").value();
  std::int32_t const first_digit = tokenizer.id_of("0").value();

  std::vector<std::uint16_t> row(static_cast<std::size_t>(length + 1), 0);
  bool after_context = false;
  bool answering = false;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    std::int32_t const id = ids[i];
    bool const drawn_freely =
        (id >= first_symbol && id < first_symbol + 256) || (id >= first_digit && id < first_digit + 10);
    Weight const weight = answering ? Weight::answer : drawn_freely && !after_context ? Weight::none : Weight::context;
    row[i] = static_cast<std::uint16_t>(id | static_cast<std::int32_t>(weight) << 14);
    if (id == context_end) after_context = true;
    if (id == speaks) answering = true;
    if (id == stops) answering = false;
  }
  return row;
}

using MakeDraft = Draft (*)(Random&, Lesson, std::int64_t, CountTokens const&);

std::vector<std::uint16_t> row_of(transformer::Tokenizer const& tokenizer, MakeDraft make, char const* stream,
                                  Lesson lesson, std::int64_t length, std::int64_t row) {
  CountTokens const count = [&](std::string_view text) {
    return static_cast<std::int64_t>(tokenizer.encode(text).size());
  };
  Random random(kSeed + static_cast<std::uint64_t>(length) * 16 + static_cast<std::uint64_t>(lesson), stream, row);
  for (int attempt = 0; attempt < 100; ++attempt) {
    try {
      return weighted(tokenizer, make(random, lesson, length, count), length);
    } catch (std::invalid_argument const&) {
      // The drawn parameters do not fit into this length; draw others.
    }
  }
  throw std::invalid_argument("no lesson fits into " + std::to_string(length) + " tokens");
}

}  // namespace

std::vector<std::uint16_t> training_row(transformer::Tokenizer const& tokenizer, Lesson lesson, std::int64_t length,
                                        std::int64_t row) {
  return row_of(tokenizer, training_draft, "training", lesson, length, row);
}

std::vector<std::uint16_t> held_out_row(transformer::Tokenizer const& tokenizer, Lesson lesson, std::int64_t length,
                                        std::int64_t row) {
  return row_of(tokenizer, held_out_draft, "held out", lesson, length, row);
}

}  // namespace frontier
