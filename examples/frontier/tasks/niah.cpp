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

std::string grouped_characters(Random& random) {
  static constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::string text;
  for (int i = 0; i < 32; ++i) {
    if (i > 0 && i % 8 == 0) text += '-';
    text += kAlphabet[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(kAlphabet.size())))];
  }
  return text;
}

std::string identifier(Random& random, Niah::Shape const& shape, std::set<std::string>& used) {
  std::string text;
  do {
    text.clear();
    if (shape.form == Form::natural) {
      text = grouped_characters(random);
    } else {
      for (std::int64_t i = 0; i < shape.symbols; ++i) text += random.choice(words::symbols());
    }
  } while (!used.insert(text).second);
  return text;
}

std::string key_of(Random& random, Niah::Shape const& shape, std::set<std::string>& used) {
  if (!shape.word_keys) return identifier(random, shape, used);
  auto const& pool = words::common_pool();
  if (shape.form == Form::compact && used.size() == pool.size())
    throw std::invalid_argument("niah_words: there are only " + std::to_string(pool.size()) + " words to be keys");
  std::string text;
  do {
    text = random.choice(pool);
    if (shape.form == Form::natural) text += "-" + random.choice(pool);
  } while (!used.insert(text).second);
  return text;
}

Draft wording(Form form) {
  if (form == Form::compact) {
    return {.introduction = "The context lists keys and their values. Find the values of some keys.",
            .instructions = "Write one line for each key, in the order of the keys.",
            .several = true};
  }
  return {
      .form = form,
      .introduction =
          "Below is a long list of sentences. Each of them states the value that belongs to one key; "
          "keys and values are random strings. Look up the values of the keys that you are asked for.",
      .instructions =
          "1. The answer for <first key> is <value of the first key>.\n"
          "2. The answer for <second key> is <value of the second key>.\n"
          "and so on, one line for each key",
      .reminders = {"Keep the order in which the question lists the keys.", "Follow the format of the lines exactly.",
                    "Write every key as it stands, without any change.", "Copy the values exactly from the context."},
      .several = true};
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

Niah::Shape Niah::shape_at(std::int64_t max_tokens, Form form) {
  if (form == Form::natural) return {.form = form};
  return max_tokens < 3072 ? Shape{.symbols = 3, .queries = 2} : Shape{.symbols = 4, .queries = 4};
}

Draft Niah::draft(Random& random, Shape shape, std::int64_t max_tokens, CountTokens const& count) {
  Draft draft = wording(shape.form);
  if (shape.form == Form::natural && shape.word_keys)
    draft.introduction =
        "Below is a long list of sentences. Each of them states the value that belongs to one key; keys are pairs of "
        "words, values are random strings. Look up the values of the keys that you are asked for.";
  std::set<std::string> keys;
  std::set<std::string> values;
  auto const draw = [&] {
    std::string key = key_of(random, shape, keys);
    return Pair{std::move(key), identifier(random, shape, values)};
  };

  std::vector<std::string> sentences;
  for (std::int64_t q = 0; q < shape.questions; ++q) {
    std::vector<Pair> needles;
    for (std::int64_t i = 0; i < shape.queries; ++i) needles.push_back(draw());
    for (Pair const& needle : needles) sentences.push_back(sentence(needle));
    draft.questions.push_back(ask(needles));
  }
  random.shuffle(sentences);

  draft.context = joined(sentences, " ");
  std::int64_t room =
      prompt_room(shape.form, max_tokens) - count(shape.training ? render_conversation(draft) : render_prompt(draft));
  if (room < 0) throw std::invalid_argument("niah: " + std::to_string(max_tokens) + " tokens do not hold the needles");
  for (;;) {
    std::string text = sentence(draw());
    std::int64_t const cost = count(" " + text);
    if (cost > room) break;
    room -= cost;
    sentences.push_back(std::move(text));
  }
  random.shuffle(sentences);
  draft.context = joined(sentences, " ");
  return draft;
}

Sample Niah::generate(Request const& request) const {
  Random random(request.seed, name(), request.index);
  Shape shape = shape_at(request.max_tokens, form());
  shape.questions = request.turns;
  shape.word_keys = word_keys_;
  return checked_sample(draft(random, shape, request.max_tokens, request.count), request);
}

Score Niah::score(Sample const& sample, std::string const& output) const {
  auto const first = answer_block(output, false);
  auto const last = answer_block(output, true);
  return {.strict = last ? share_correct(sample.gold, *last) : 0.0,
          .compat = share_correct(sample.gold, first.value_or(output)),
          .unparsed = !first};
}

}  // namespace frontier
