#include "frontier/tasks/qa.hpp"

#include <algorithm>
#include <stdexcept>

#include "frontier/tasks/scores.hpp"

namespace frontier {
namespace {

using Document = FactDocuments::Document;
using Kind = QuestionAnswering::Kind;

constexpr std::size_t kOptions = 4;

std::string ask(std::int64_t document, Fact const& fact) {
  return "Question about document " + std::to_string(document) + ": For " + fact.subject + ", what is the " +
         fact.relation + "?";
}

Question open_question(std::int64_t document, Fact const& fact) { return {ask(document, fact), fact.values.front()}; }

Question choice_question(std::int64_t document, Fact const& fact, std::vector<std::string> const& options) {
  Question question{ask(document, fact), ""};
  for (std::size_t i = 0; i < options.size(); ++i) {
    std::string const letter(1, static_cast<char>('A' + i));
    question.text += "\n" + letter + ". " + options[i];
    bool const right = std::find(fact.values.begin(), fact.values.end(), options[i]) != fact.values.end();
    if (right) question.gold += (question.gold.empty() ? "" : ", ") + letter;
  }
  return question;
}

/// A wrong value that is true of something else: of the same document, or of one drawn soon after it, where the same
/// relation is preferred.
std::string const& other_value(Random& random, std::vector<Document> const& documents, std::size_t at,
                               Fact const& asked) {
  static constexpr std::int64_t kNearby = 3;  // few, so that longer contexts keep the options
  auto const others = std::min<std::int64_t>(kNearby, static_cast<std::int64_t>(documents.size()) - 1);
  bool const same = others == 0 || random.chance(0.5);
  std::size_t const from = same ? at : (at + static_cast<std::size_t>(random.between(1, others))) % documents.size();
  std::vector<Fact> const& facts = documents[from].facts;
  if (!same) {
    auto const like =
        std::find_if(facts.begin(), facts.end(), [&](Fact const& f) { return f.relation == asked.relation; });
    if (like != facts.end()) return random.choice(like->values);
  }
  return random.choice(random.choice(facts).values);
}

std::vector<std::string> draw_options(Random& random, std::vector<Document> const& documents, std::size_t at,
                                      Fact const& asked) {
  std::vector<std::string> options = asked.values;
  for (int attempt = 0; attempt < 200 && options.size() < kOptions; ++attempt) {
    std::string const& value = other_value(random, documents, at, asked);
    if (std::find(options.begin(), options.end(), value) == options.end()) options.push_back(value);
  }
  if (options.size() < kOptions) throw std::invalid_argument("qa: too few facts for four options");
  random.shuffle(options);
  return options;
}

std::string introduction(Kind kind) {
  return kind == Kind::toefl ? "The context holds several documents. Each is a talk of two people. Answer the question "
                               "about one of them."
                             : "The context holds several documents with facts. Answer the question about one of them.";
}

std::string instructions(bool has_options) {
  return has_options ? "Choose the right option. Several options can be right. Write only the letter or the letters, "
                       "separated by commas."
                     : "Answer with as few words as possible.";
}

}  // namespace

QuestionAnswering::Shape QuestionAnswering::shape_at(Kind kind, std::int64_t max_tokens) {
  std::size_t const column = max_tokens < 3072 ? 0 : max_tokens < 6144 ? 1 : 2;
  static constexpr std::int64_t kSentences[3][3] = {{6, 8, 8}, {20, 40, 60}, {12, 20, 25}};
  Shape shape{.form = {.sentences = kSentences[static_cast<std::size_t>(kind)][column]}};
  if (kind == Kind::quality) shape.form.subjects = shape.form.sentences / 20;
  if (kind == Kind::toefl) shape.form.talk = true;
  if (kind == Kind::toefl) shape.form.second_value = 0.13;
  return shape;
}

Draft QuestionAnswering::draft(Random& random, Kind kind, Shape shape, std::int64_t max_tokens,
                               CountTokens const& count) {
  // Its own stream, so that the options do not depend on how many documents are drawn.
  Random choices(random.bits(), "options", 0);
  bool const has_options = kind != Kind::squad;
  Draft draft{.introduction = introduction(kind), .instructions = instructions(has_options), .drawn_words = true};
  // The questions are drawn after the documents, so their room is kept by the longest that they can be.
  std::vector<std::string> const some_values(kOptions, "Willow Creek");
  Fact const some_fact{"Abelard Adriana", "birthplace", {some_values.front()}};
  Question longest = has_options ? choice_question(999, some_fact, some_values) : open_question(999, some_fact);
  if (has_options) longest.gold = "A, B";
  draft.questions.assign(static_cast<std::size_t>(shape.questions), longest);
  std::int64_t const around = count(shape.training ? render_conversation(draft) : render_prompt(draft));

  FactDocuments const documents(random, shape.form, max_tokens - around, count);
  std::vector<Document> const& whole = documents.whole();
  if (whole.empty())
    throw std::invalid_argument("qa: " + std::to_string(max_tokens) + " tokens do not hold a document");
  draft.questions.clear();
  for (std::size_t q = 0; q < static_cast<std::size_t>(shape.questions); ++q) {
    std::size_t const at = q % whole.size();
    Document const& document = whole[at];
    if (q / whole.size() >= document.facts.size()) break;
    Fact const& fact = document.facts[q / whole.size()];
    // Without options only a fact with one value has one answer.
    bool const open = !has_options || (choices.chance(shape.open_share) && fact.values.size() == 1);
    if (q == 0) draft.instructions = instructions(!open);
    draft.questions.push_back(open ? open_question(document.number, fact)
                                   : choice_question(document.number, fact, draw_options(choices, whole, at, fact)));
  }
  draft.context = documents.text();
  return draft;
}

std::string QuestionAnswering::name() const {
  return kind_ == Kind::squad ? "qa_squad" : kind_ == Kind::quality ? "qa_quality" : "qa_toefl";
}

Sample QuestionAnswering::generate(Request const& request) const {
  Random random(request.seed, name(), request.index);
  Shape shape = shape_at(kind_, request.max_tokens);
  shape.questions = request.turns;
  return checked_sample(draft(random, kind_, shape, request.max_tokens, request.count), request);
}

Score QuestionAnswering::score(Sample const& sample, std::string const& output) const {
  bool const open = kind_ == Kind::squad;
  return {.strict = open ? TokenF1::strict(sample.gold, output) : ChoiceMatch::strict(sample.gold, output),
          .compat = open ? TokenF1::compat(sample.gold, output) : ChoiceMatch::compat(sample.gold, output),
          .unparsed = !answer_block(output, false)};
}

}  // namespace frontier
