#include "frontier/tasks/qa_corpus.hpp"

#include <algorithm>
#include <numeric>
#include <set>
#include <sstream>
#include <stdexcept>

namespace frontier {
namespace {

// A prompt of one document may have as much: at 16K there is room for others then, and all lengths ask the same.
constexpr std::int64_t kMostAloneTokens = 8172;
constexpr std::int64_t kWidestNumber = 999;

constexpr char kBetween[] = "\n\n";

std::string document(std::int64_t number, std::string const& text) {
  return "Document " + std::to_string(number) + "\n" + text;
}

std::string numbered(std::vector<std::string> const& texts) {
  std::vector<std::string> documents;
  for (std::string const& text : texts) {
    documents.push_back(document(static_cast<std::int64_t>(documents.size() + 1), text));
  }
  return joined(documents, kBetween);
}

/// The longest beginning of whole words that has at most `most` tokens.
std::string beginning(std::string const& text, std::int64_t most, CountTokens const& count) {
  std::vector<std::string> words;
  std::istringstream stream(text);
  for (std::string word; stream >> word;) words.push_back(std::move(word));
  auto const first = [&](std::size_t length) {
    return joined({words.begin(), words.begin() + static_cast<std::ptrdiff_t>(length)}, " ");
  };
  std::size_t fitting = 0;
  std::size_t beyond = words.size() + 1;
  while (fitting + 1 < beyond) {
    std::size_t const middle = fitting + (beyond - fitting) / 2;
    (count(first(middle)) <= most ? fitting : beyond) = middle;
  }
  return first(fitting);
}

Draft wording(bool has_options) {
  Draft draft{.form = Form::natural,
              .introduction =
                  "Below are several numbered documents. Answer the question about one of them; the number "
                  "of that document is given with the question."};
  if (has_options) {
    draft.instructions = "<letter or letters>";
    draft.reminders = {"Choose among the options A, B, C and D, and write only the letter of the right one.",
                       "Several options can be right; then write all of their letters, without spaces.",
                       "Rely on the document that the question is about, not on the others."};
  } else {
    draft.instructions = "<answer>";
    draft.reminders = {"Answer with as few words as possible, not with a full sentence.",
                       "If a date is asked for, give the complete date.",
                       "If a place is asked for, give the shortest name that leaves no doubt.",
                       "If things are compared, name only the one that meets the condition."};
  }
  return draft;
}

}  // namespace

Draft CorpusQuestionAnswering::draft(CorpusQuestion const& question, std::string context, std::int64_t target,
                                     std::int64_t documents) const {
  Draft draft = wording(corpus_.has_options);
  draft.context = std::move(context);
  std::string const number = std::to_string(target);
  draft.questions = {{"This is about document " + number + ":\n" + question.text,
                      question.answers.front(),
                      {question.answers.begin() + 1, question.answers.end()}}};
  draft.fields = {{"question", question.text},
                  {"dataset", corpus_.name},
                  {"multiple_choice", corpus_.has_options ? "true" : "false"},
                  {"documents", std::to_string(documents)},
                  {"target_document", number}};
  if (kind_ == Kind::quality) draft.fields.push_back({"difficult", question.difficult ? "true" : "false"});
  return draft;
}

void CorpusQuestionAnswering::measure(CountTokens const& count) const {
  for (std::string const& context : corpus_.contexts) {
    document_tokens_.push_back(count(kBetween + document(kWidestNumber, context)) + 3);
  }
  for (CorpusQuestion const& question : corpus_.questions) {
    std::string context = document(kWidestNumber, corpus_.contexts[question.context]);
    prompt_tokens_.push_back(count(render_prompt(draft(question, std::move(context), kWidestNumber, 1))));
  }
}

CorpusQuestionAnswering::Selection CorpusQuestionAnswering::select(Request const& request) const {
  // Below 8K the length itself is the bound, so that there are questions at all.
  std::int64_t const bound = prompt_room(Form::natural, std::min(kMostAloneTokens, request.max_tokens));
  std::vector<std::size_t> order(corpus_.questions.size());
  std::iota(order.begin(), order.end(), 0);
  std::erase_if(order, [&](std::size_t at) { return prompt_tokens_[at] > bound; });
  if (request.index >= static_cast<std::int64_t>(order.size())) {
    throw std::invalid_argument(name() + ": only " + std::to_string(order.size()) + " of the data set's questions fit");
  }
  std::set<std::size_t> asked_about;
  for (std::size_t at : order) asked_about.insert(corpus_.questions[at].context);
  Random(request.seed, name() + " order", 0).shuffle(order);
  std::size_t const chosen = order[static_cast<std::size_t>(request.index)];
  CorpusQuestion const& question = corpus_.questions[chosen];
  asked_about.erase(question.context);
  return {&question, prompt_tokens_[chosen], {asked_about.begin(), asked_about.end()}};
}

std::vector<std::string> CorpusQuestionAnswering::pack(Random& random, Request const& request,
                                                       Selection selection) const {
  static constexpr std::int64_t kSafetyTokens = 25;
  std::int64_t const room = prompt_room(Form::natural, request.max_tokens);
  std::vector<std::string> texts = {corpus_.contexts[selection.question->context]};
  random.shuffle(selection.others);
  std::int64_t used = selection.alone_tokens;
  // Every document that fits is taken, so small ones fill the gaps that large ones leave.
  auto const take_what_fits = [&] {
    std::erase_if(selection.others, [&](std::size_t at) {
      bool const fits = used + document_tokens_[at] < room;
      if (fits) {
        used += document_tokens_[at];
        texts.push_back(corpus_.contexts[at]);
      }
      return fits;
    });
  };
  auto const count_prompt = [&] {
    return request.count(render_prompt(draft(*selection.question, numbered(texts), 1, 1)));
  };
  take_what_fits();
  // The sizes are those of documents with the widest numbers: many of them together leave room for more.
  used = count_prompt();
  take_what_fits();
  std::int64_t const rest =
      room - count_prompt() - request.count(kBetween + document(kWidestNumber, "")) - kSafetyTokens;
  auto const larger = std::find_if(selection.others.begin(), selection.others.end(),
                                   [&](std::size_t at) { return document_tokens_[at] > rest; });
  if (rest >= 0 && larger != selection.others.end()) {
    std::string const text = beginning(corpus_.contexts[*larger], rest, request.count);
    if (!text.empty()) texts.push_back(text);
  }
  return texts;
}

Sample CorpusQuestionAnswering::generate(Request const& request) const {
  std::call_once(measured_, [&] { measure(request.count); });
  Random random(request.seed, name(), request.index);
  Selection const selection = select(request);
  std::vector<std::string> const texts = pack(random, request, selection);
  std::vector<std::size_t> places(texts.size());
  std::iota(places.begin(), places.end(), 0);
  random.shuffle(places);
  std::vector<std::string> shuffled;
  for (std::size_t place : places) shuffled.push_back(texts[place]);
  std::int64_t const target = std::find(places.begin(), places.end(), 0U) - places.begin() + 1;
  auto const documents = static_cast<std::int64_t>(texts.size());
  return checked_sample(draft(*selection.question, numbered(shuffled), target, documents), request);
}

Score CorpusQuestionAnswering::score(Sample const& sample, std::string const& output) const {
  QuestionAnswering const one_answer(kind_);
  Score best = one_answer.score(sample, output);
  for (std::string const& gold : sample.other_golds) {
    Score const other = one_answer.score({.gold = gold}, output);
    best.strict = std::max(best.strict, other.strict);
    best.compat = std::max(best.compat, other.compat);
  }
  return best;
}

}  // namespace frontier
