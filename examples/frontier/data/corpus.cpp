#include "frontier/data/corpus.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "frontier/tasks/prompt.hpp"
#include "transformer/json_file.hpp"

namespace frontier {
namespace {

using Json = nlohmann::json;
using std::filesystem::path;

[[noreturn]] void refuse(std::string const& where, std::string const& what) {
  throw std::runtime_error(where + ": " + what);
}

/// A member of a JSON object, of a given kind. `where` names file and entry.
Json const& member(Json const& object, char const* key, Json::value_t kind, std::string const& where) {
  static std::map<Json::value_t, char const*> const kKinds = {
      {Json::value_t::array, "a list"}, {Json::value_t::string, "a text"}, {Json::value_t::boolean, "true or false"}};
  if (!object.is_object()) refuse(where, "is not a JSON object");
  auto const found = object.find(key);
  if (found == object.end()) refuse(where, std::string("'") + key + "' is missing");
  if (found->type() != kind) refuse(where, std::string("'") + key + "' is not " + kKinds.at(kind));
  return *found;
}

Json const& list_of(Json const& object, char const* key, std::string const& where) {
  return member(object, key, Json::value_t::array, where);
}

std::string text_of(Json const& object, char const* key, std::string const& where) {
  return member(object, key, Json::value_t::string, where).get<std::string>();
}

std::string entry(std::string const& where, char const* key, std::size_t index) {
  return where + (where.back() == ']' ? "." : ": ") + key + "[" + std::to_string(index) + "]";
}

/// Collects questions in any order of contexts; leaves out those asked before about the same context.
class Collector {
 public:
  Collector(std::string name, bool has_options) : corpus_{std::move(name), has_options, {}, {}} {}

  void add(std::string const& context, CorpusQuestion question) {
    auto const [place, fresh] = places_.try_emplace(context, places_.size());
    question.context = place->second;
    if (asked_.insert({normalised(question.text), question.context}).second) {
      corpus_.questions.push_back(std::move(question));
    }
  }

  Corpus finish(path const& source) {
    if (corpus_.questions.empty()) refuse(source.string(), "holds no question with an answer");
    std::vector<std::size_t> sorted_place(places_.size());
    for (auto const& [context, place] : places_) {  // a map walks its keys in order
      sorted_place[place] = corpus_.contexts.size();
      corpus_.contexts.push_back(context);
    }
    for (CorpusQuestion& question : corpus_.questions) question.context = sorted_place[question.context];
    return std::move(corpus_);
  }

 private:
  Corpus corpus_;
  std::map<std::string, std::size_t> places_;
  std::set<std::pair<std::string, std::size_t>> asked_;
};

void each_json_line(path const& file, std::function<void(Json const&, std::string const& where)> const& take) {
  std::istringstream lines(transformer::read_text(file));
  std::int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    std::string const where = file.string() + ": line " + std::to_string(++number);
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    Json const json = Json::parse(line, nullptr, false);
    if (!json.is_object()) refuse(where, "is not a JSON object");
    take(json, where);
  }
}

std::string lettered(std::string text, std::vector<std::string> const& options) {
  for (std::size_t i = 0; i < options.size(); ++i) {
    text += std::string("\n") + static_cast<char>('A' + i) + ". " + options[i];
  }
  return text;
}

void add_choices(Collector& collector, Json const& json, std::string const& where) {
  static constexpr std::string_view kPrefix = "Question: ";
  std::string const context = text_of(json, "context", where);
  Json const& questions = list_of(json, "questions", where);
  Json const& answers = list_of(json, "answer", where);
  if (questions.size() != answers.size()) refuse(where, "'questions' and 'answer' are not equally long");
  for (std::size_t i = 0; i < questions.size(); ++i) {
    if (!questions[i].is_string()) refuse(entry(where, "questions", i), "is not a text");
    if (!answers[i].is_string()) refuse(entry(where, "answer", i), "is not a text");
    std::string text = questions[i].get<std::string>();
    if (text.starts_with(kPrefix)) text.erase(0, kPrefix.size());
    std::string letters = answers[i].get<std::string>();
    if (letters.empty() || letters.find_first_not_of("ABCD") != std::string::npos) {
      refuse(entry(where, "answer", i), "must consist of the letters A to D, not be '" + letters + "'");
    }
    std::sort(letters.begin(), letters.end());
    collector.add(context, {0, std::move(text), {std::move(letters)}});
  }
}

void add_article(Collector& collector, std::map<std::string, std::string>& articles, Json const& json,
                 std::string const& where) {
  std::string const article = text_of(json, "article", where);
  // Both lines of an article have the same text; the first one's is taken, so that they are one context in any case.
  std::string const& context =
      articles.try_emplace(text_of(json, "article_id", where), without_html(article)).first->second;
  Json const& questions = list_of(json, "questions", where);
  for (std::size_t i = 0; i < questions.size(); ++i) {
    std::string const at = entry(where, "questions", i);
    std::string const text = text_of(questions[i], "question", at);
    std::vector<std::string> options;
    for (Json const& option : list_of(questions[i], "options", at)) {
      if (!option.is_string()) refuse(at, "'options' are not all texts");
      options.push_back(option.get<std::string>());
    }
    if (options.size() != 4) refuse(at, "has " + std::to_string(options.size()) + " options, not 4");
    auto const gold = questions[i].find("gold_label");
    if (gold == questions[i].end()) refuse(at, "'gold_label' is missing, as in the published test split");
    if (!gold->is_number_integer() || *gold < 1 || *gold > 4) refuse(at, "'gold_label' is not a number from 1 to 4");
    std::string const letter(1, static_cast<char>('A' + gold->get<int>() - 1));
    auto const difficult = questions[i].find("difficult");
    collector.add(context, {0, lettered(text, options), {letter}, difficult != questions[i].end() && *difficult == 1});
  }
}

/// One file of TOEFL-QA: the sentences become the context, lines apart.
void add_talk(Collector& collector, path const& file) {
  std::string context;
  std::string question;
  std::vector<std::string> options;
  std::string letters;
  std::istringstream lines(transformer::read_text(file));
  std::int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    std::string const where = file.string() + ": line " + std::to_string(++number);
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    std::size_t const space = line.find(' ');
    std::string const keyword = line.substr(0, space);
    std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
    rest.erase(rest.find_last_not_of(" \t\r") + 1);
    if (keyword == "SENTENCE") {
      context.append(context.empty() ? "" : "\n").append(rest);
    } else if (keyword == "QUESTION" && question.empty()) {
      question = rest + (rest.ends_with('?') ? "" : "?");
    } else if (keyword == "OPTION" && options.size() < 4 && (rest.ends_with(" 0") || rest.ends_with(" 1"))) {
      if (rest.back() == '1') letters += static_cast<char>('A' + options.size());
      options.push_back(rest.substr(0, rest.size() - 2));
    } else {
      refuse(where, "is neither SENTENCE, the one QUESTION, nor one of four OPTION lines that end in 0 or 1");
    }
  }
  if (context.empty()) refuse(file.string(), "has no SENTENCE");
  if (question.empty()) refuse(file.string(), "has no QUESTION");
  if (options.size() != 4) refuse(file.string(), "has " + std::to_string(options.size()) + " OPTION lines, not 4");
  if (letters.empty()) refuse(file.string(), "has no right option");
  collector.add(context, {0, lettered(question, options), {letters}});
}

}  // namespace

Corpus read_squad(path const& file) {
  Collector collector("squad", false);
  Json const json = transformer::read_json_object(file);
  Json const& articles = list_of(json, "data", file.string());
  for (std::size_t a = 0; a < articles.size(); ++a) {
    std::string const article = entry(file.string(), "data", a);
    Json const& paragraphs = list_of(articles[a], "paragraphs", article);
    for (std::size_t p = 0; p < paragraphs.size(); ++p) {
      std::string const paragraph = entry(article, "paragraphs", p);
      std::string const context = text_of(paragraphs[p], "context", paragraph);
      Json const& questions = list_of(paragraphs[p], "qas", paragraph);
      for (std::size_t q = 0; q < questions.size(); ++q) {
        std::string const where = entry(paragraph, "qas", q);
        CorpusQuestion question{0, text_of(questions[q], "question", where), {}};
        if (member(questions[q], "is_impossible", Json::value_t::boolean, where) == true) continue;
        for (Json const& answer : list_of(questions[q], "answers", where)) {
          std::string text = text_of(answer, "text", where + ".answers");
          auto const same = std::find(question.answers.begin(), question.answers.end(), text);
          if (same == question.answers.end()) question.answers.push_back(std::move(text));
        }
        if (question.answers.empty()) refuse(where, "has no answer, but is not said to be impossible");
        collector.add(context, std::move(question));
      }
    }
  }
  return collector.finish(file);
}

Corpus read_quality(path const& file) {
  Collector collector("quality", true);
  std::map<std::string, std::string> articles;
  each_json_line(file, [&](Json const& json, std::string const& where) {
    if (json.contains("context")) {
      add_choices(collector, json, where);
    } else {
      add_article(collector, articles, json, where);
    }
  });
  return collector.finish(file);
}

Corpus read_choices(path const& file, std::string const& name) {
  Collector collector(name, true);
  each_json_line(file, [&](Json const& json, std::string const& where) { add_choices(collector, json, where); });
  return collector.finish(file);
}

Corpus read_toefl(path const& where) {
  if (!std::filesystem::is_directory(where)) return read_choices(where, "toefl");
  std::vector<path> files;
  for (auto const& found : std::filesystem::recursive_directory_iterator(where)) {
    if (found.is_regular_file() && found.path().filename().string().starts_with("tpo_")) files.push_back(found.path());
  }
  // By name alone, so that it does not matter which folders the splits are in.
  std::sort(files.begin(), files.end(), [](path const& a, path const& b) { return a.filename() < b.filename(); });
  Collector collector("toefl", true);
  for (path const& file : files) add_talk(collector, file);
  return collector.finish(where);
}

std::string without_html(std::string const& html) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kEntities = {{{"&amp;", "&"},
                                                                                              {"&lt;", "<"},
                                                                                              {"&gt;", ">"},
                                                                                              {"&quot;", "\""},
                                                                                              {"&#39;", "'"},
                                                                                              {"&apos;", "'"},
                                                                                              {"&nbsp;", " "},
                                                                                              {"&mdash;", "-"},
                                                                                              {"&ndash;", "-"}}};
  static constexpr std::array<std::string_view, 6> kBlocks = {"p", "/p", "br", "/div", "/h1", "/h2"};
  std::string text;
  for (std::size_t at = 0; at < html.size();) {
    std::string_view const rest = std::string_view(html).substr(at);
    std::size_t const end = rest.find('>');
    bool const tag = rest[0] == '<' && rest.size() > 1 && end != std::string_view::npos &&
                     (std::isalpha(static_cast<unsigned char>(rest[1])) != 0 || rest[1] == '/' || rest[1] == '!');
    auto const entity =
        std::find_if(kEntities.begin(), kEntities.end(), [&](auto const& one) { return rest.starts_with(one.first); });
    if (tag) {
      std::string_view const name = rest.substr(1, rest.find_first_of(" \t\n/>", 2) - 1);
      bool const block = std::find(kBlocks.begin(), kBlocks.end(), name) != kBlocks.end();
      if (block && !text.empty() && text.back() != '\n') text += '\n';
      at += end + 1;
    } else if (entity != kEntities.end()) {
      text += entity->second;
      at += entity->first.size();
    } else {
      if (rest[0] != '\n' || text.empty() || text.back() != '\n') text += rest[0];
      ++at;
    }
  }
  text.erase(0, std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  return text;
}

}  // namespace frontier
