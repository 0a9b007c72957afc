#include "frontier/train/curriculum.hpp"

#include <algorithm>
#include <stdexcept>

#include "frontier/random.hpp"
#include "frontier/tasks/cwe.hpp"
#include "frontier/tasks/niah.hpp"
#include "frontier/tasks/qa.hpp"
#include "frontier/tasks/story_filtering.hpp"
#include "frontier/tasks/story_multihop.hpp"
#include "frontier/tasks/story_retrieval.hpp"
#include "frontier/tasks/vt.hpp"
#include "frontier/words.hpp"

namespace frontier {
namespace {

constexpr std::uint64_t kSeed = 20260001;

struct Named {
  std::string_view name;
  Lesson lesson;
  std::int64_t tickets;  // in the mixture of all
};

constexpr Named kLessons[] = {
    {"first_three", Lesson::first_three, 0},
    {"niah", Lesson::niah, 2},
    {"vt", Lesson::vt, 3},
    {"story_retrieval", Lesson::story_retrieval, 2},
    {"cwe", Lesson::cwe, 3},
    {"story_multihop", Lesson::story_multihop, 3},
    {"story_filtering", Lesson::story_filtering, 3},
    {"qa_squad", Lesson::qa_squad, 3},
    {"qa_quality", Lesson::qa_quality, 3},
    {"qa_toefl", Lesson::qa_toefl, 3},
    {"mixture", Lesson::mixture, 0},
};

Lesson drawn(Random& random, Lesson lesson) {
  if (lesson == Lesson::first_three) {
    std::int64_t const ticket = random.below(10);
    return ticket < 3 ? Lesson::niah : ticket < 7 ? Lesson::vt : Lesson::story_retrieval;
  }
  if (lesson != Lesson::mixture) return lesson;
  std::int64_t all = 0;
  for (Named const& one : kLessons) all += one.tickets;
  std::int64_t ticket = random.below(all);
  Named const* one = kLessons;
  for (; ticket >= one->tickets; ++one) ticket -= one->tickets;
  return one->lesson;
}

QuestionAnswering::Kind kind_of(Lesson lesson) {
  return lesson == Lesson::qa_squad     ? QuestionAnswering::Kind::squad
         : lesson == Lesson::qa_quality ? QuestionAnswering::Kind::quality
                                        : QuestionAnswering::Kind::toefl;
}

/// What a training row may draw: parameters from small ones up to those of evaluation at its length.
class TrainingDrafts {
 public:
  TrainingDrafts(Random& random, std::int64_t length, CountTokens const& count)
      : random_(random), length_(length), count_(count), max_tokens_(length + 1 - random.below(length / 16)) {}

  Draft of(Lesson lesson) {
    switch (lesson) {
      case Lesson::niah: return niah();
      case Lesson::vt: return vt();
      case Lesson::cwe: return cwe();
      case Lesson::story_retrieval: return story_retrieval();
      case Lesson::story_multihop: return story_multihop();
      case Lesson::story_filtering: return story_filtering();
      default: return qa(kind_of(lesson));
    }
  }

 private:
  std::int64_t pick(std::vector<std::int64_t> const& values) { return random_.choice(values); }
  std::int64_t up_to(std::int64_t most) { return random_.between(1, std::max<std::int64_t>(1, most)); }
  std::int64_t up_to(std::int64_t most, std::int64_t other) { return up_to(std::min(most, other)); }

  Draft niah() {
    Niah::Shape shape{.symbols = pick({2, 3, 3, 4, 4}), .queries = pick({1, 2, 2, 4, 4}), .training = true};
    shape.questions = up_to(8, length_ / 160);
    return Niah::draft(random_, shape, max_tokens_, count_);
  }

  Draft vt() {
    VariableTracking::Shape shape{.chains = length_ < 400 ? pick({1, 2, 3}) : pick({2, 2, 4, 4, 8}),
                                  .hops = pick({1, 2, 2, 4}),
                                  .training = true};
    shape.questions = up_to(shape.chains, length_ / 100);
    return VariableTracking::draft(random_, shape, max_tokens_, count_);
  }

  Draft cwe() {
    CommonWords::Shape shape = CommonWords::shape_at(length_);
    shape.training = true;
    shape.common = length_ < 400 ? pick({1, 2, 3, 4}) : pick({2, 3, 5, 5, 8, 10, 10});
    // More often than needed at this length, now and then, so that the counts of longer lists are met early.
    std::int64_t const more = length_ < 1000 ? 1 : pick({1, 1, 1, 2});
    shape.rare_times *= more;
    shape.common_times *= more;
    return CommonWords::draft(random_, shape, max_tokens_, count_);
  }

  Draft story_retrieval() {
    StoryRetrieval::Shape shape{.queries = up_to(16, length_ / 130), .training = true};
    shape.questions = up_to(4, length_ / (shape.queries * 90));
    return StoryRetrieval::draft(random_, shape, max_tokens_, count_);
  }

  Draft story_multihop() {
    return StoryMultihop::draft(random_, {.questions = up_to(16, length_ / 90), .training = true}, max_tokens_, count_);
  }

  Draft story_filtering() {
    std::int64_t const chapters = length_ < 400 ? 1 : pick({1, 2, 2, 3, 3, 4});
    return StoryFiltering::draft(random_, {.chapters = chapters, .training = true}, max_tokens_, count_);
  }

  Draft qa(QuestionAnswering::Kind kind) {
    QuestionAnswering::Shape shape = QuestionAnswering::shape_at(kind, length_);
    shape.training = true;
    shape.open_share = 0.1 * static_cast<double>(pick({0, 3, 6}));
    bool const options = kind != QuestionAnswering::Kind::squad;
    shape.questions = up_to(16, length_ / (options ? 110 : 60));
    std::int64_t const room = length_ / 16;  // sentences of eight tokens in half of the length
    if (kind == QuestionAnswering::Kind::quality) {
      shape.form.subjects = length_ < 400 ? 1 : pick({1, 1, 2, 3});
      shape.form.sentences = 20 * shape.form.subjects;
    }
    std::int64_t const fewest = shape.form.talk ? 6 : 3 * shape.form.subjects;
    shape.form.sentences = random_.between(fewest, std::min(shape.form.sentences, room));
    if (shape.form.talk) shape.form.second_value = 0.25;
    return QuestionAnswering::draft(random_, kind, shape, max_tokens_, count_);
  }

  Random& random_;
  std::int64_t length_;
  CountTokens const& count_;
  std::int64_t max_tokens_;
};

Draft training_draft(Random& random, Lesson lesson, std::int64_t length, CountTokens const& count) {
  TrainingDrafts drafts(random, length, count);
  return drafts.of(drawn(random, lesson));
}

/// The form of evaluation, with less of everything where a length is far below its shortest.
Draft held_out_draft(Random& random, Lesson lesson, std::int64_t length, CountTokens const& count) {
  bool const tiny = length < 1024;
  Lesson const one = drawn(random, lesson);
  switch (one) {
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
    case Lesson::cwe: {
      CommonWords::Shape shape = CommonWords::shape_at(length);
      if (length < 400) shape.common = 3;
      shape.training = true;
      return CommonWords::draft(random, shape, length + 1, count);
    }
    case Lesson::story_retrieval: {
      StoryRetrieval::Shape shape = StoryRetrieval::shape_at(length);
      if (tiny) shape.queries = length < 400 ? 1 : 2;
      shape.training = true;
      return StoryRetrieval::draft(random, shape, length + 1, count);
    }
    case Lesson::story_multihop: return StoryMultihop::draft(random, {.training = true}, length + 1, count);
    case Lesson::story_filtering: {
      StoryFiltering::Shape shape = StoryFiltering::shape_at(length);
      if (length < 400) shape.chapters = 1;
      shape.training = true;
      return StoryFiltering::draft(random, shape, length + 1, count);
    }
    default: {
      QuestionAnswering::Shape shape = QuestionAnswering::shape_at(kind_of(one), length);
      if (tiny) shape.form.sentences = length < 400 ? 6 : 8;
      shape.training = true;
      return QuestionAnswering::draft(random, kind_of(one), shape, length + 1, count);
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
  std::vector<bool> in_pool(static_cast<std::size_t>(tokenizer.size()), false);
  if (draft.drawn_words) {
    for (std::string const& word : words::common_pool()) {
      in_pool[static_cast<std::size_t>(tokenizer.id_of(word).value())] = true;
    }
  }

  std::vector<std::uint16_t> row(static_cast<std::size_t>(length + 1), 0);
  bool after_context = false;
  bool answering = false;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    std::int32_t const id = ids[i];
    bool const drawn_freely = (id >= first_symbol && id < first_symbol + 256) ||
                              (id >= first_digit && id < first_digit + 10) || in_pool[static_cast<std::size_t>(id)];
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

std::optional<Lesson> find_lesson(std::string_view name) {
  for (Named const& one : kLessons) {
    if (one.name == name) return one.lesson;
  }
  return std::nullopt;
}

std::vector<std::uint16_t> training_row(transformer::Tokenizer const& tokenizer, Lesson lesson, std::int64_t length,
                                        std::int64_t row) {
  return row_of(tokenizer, training_draft, "training", lesson, length, row);
}

std::vector<std::uint16_t> held_out_row(transformer::Tokenizer const& tokenizer, Lesson lesson, std::int64_t length,
                                        std::int64_t row) {
  return row_of(tokenizer, held_out_draft, "held out", lesson, length, row);
}

}  // namespace frontier
