#include "frontier/tasks/qa_documents.hpp"

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include "frontier/words.hpp"

namespace frontier {
namespace {

using List = std::vector<std::string>;
using Document = FactDocuments::Document;

List const kProfessions = {"painter", "singer",    "sailor",   "doctor",     "lawyer",   "miner",     "weaver",
                           "potter",  "farmer",    "cook",     "judge",      "writer",   "poet",      "dancer",
                           "actor",   "nurse",     "engineer", "astronomer", "shepherd", "carpenter", "mason",
                           "printer", "barber",    "clerk",    "pilot",      "diver",    "banker",    "grocer",
                           "jeweler", "violinist", "brewer",   "glassmaker", "baker"};
List const kMonths = {"January", "February", "March",     "April",   "May",      "June",
                      "July",    "August",   "September", "October", "November", "December"};
List const kSpeakers = {"Student", "Professor", "Librarian", "Advisor"};
List const kRemarks = {"Well, I think you should look at it again.", "That is a good point.", "Can you explain it?",
                       "Sure.", "Let us begin with today's topic."};

/// Names that a value can be, and words that can stand before them.
struct Things {
  List names;
  List adjectives;
};

Things const& things() {
  static Things const lists = [] {
    // The pool holds its nouns first, then adjectives, then verbs. A relation's name as a value would confuse.
    List const& pool = words::common_pool();
    auto const adjectives = std::find(pool.begin(), pool.end(), "ancient");
    auto const verbs = std::find(adjectives, pool.end(), "admire");
    std::set<std::string> const relations(words::relations().begin(), words::relations().end());
    Things found{{}, List(adjectives, verbs)};
    std::copy_if(pool.begin(), adjectives, std::back_inserter(found.names),
                 [&](std::string const& name) { return relations.count(name) == 0; });
    return found;
  }();
  return lists;
}

bool is_one_of(std::string const& relation, std::initializer_list<char const*> names) {
  return std::find(names.begin(), names.end(), relation) != names.end();
}

std::string value_of(Random& random, std::string const& relation) {
  if (relation == "profession") return random.choice(kProfessions);
  if (relation == "month") return random.choice(kMonths);
  if (is_one_of(relation, {"birthplace", "house", "garden", "school"})) return random.choice(words::locations());
  if (is_one_of(relation, {"teacher", "rival", "neighbor", "cousin", "employer"})) {
    return random.choice(words::characters());
  }
  std::string const& name = random.choice(things().names);
  return random.chance(0.25) ? random.choice(things().adjectives) + " " + name : name;
}

std::string sentence(Fact const& fact, std::string const& value) {
  return "For " + fact.subject + " the " + fact.relation + " is " + value + ".";
}

std::string header(std::size_t number, Document const& document) {
  std::string text = "Document " + std::to_string(number) + ": ";
  for (std::size_t i = 0; i < document.subjects.size(); ++i) {
    bool const last = i + 1 == document.subjects.size();
    text += (i == 0 ? "" : last ? " and " : ", ") + document.subjects[i];
  }
  return text + "\n";
}

/// Draws documents one after another.
class Author {
 public:
  Author(Random& random, FactDocuments::Form form) : random_(random), form_(form) {}

  Document next() {
    Document document;
    std::vector<List> untold;  // of each subject
    std::set<std::string> values;
    std::int64_t const remarks = form_.talk ? form_.sentences / 4 : 0;
    std::int64_t room = form_.sentences - remarks;
    for (std::int64_t i = 0; room > 0; ++i) {
      auto const who = static_cast<std::size_t>(i % form_.subjects);
      if (who == untold.size()) {
        document.subjects.push_back(new_subject());
        untold.push_back(words::relations());
      }
      if (untold[who].empty()) break;  // each subject has its share, so no other has more to tell
      auto const relation = untold[who].begin() + random_.below(static_cast<std::int64_t>(untold[who].size()));
      Fact fact{document.subjects[who], *relation, {}};
      std::swap(*relation, untold[who].back());
      untold[who].pop_back();
      bool const two = random_.chance(form_.second_value) && room > 1;
      for (int v = 0; v < (two ? 2 : 1); ++v, --room) {
        fact.values.push_back(new_value(fact.relation, values));
        document.sentences.push_back(sentence(fact, fact.values.back()));
      }
      document.facts.push_back(std::move(fact));
    }
    for (std::int64_t i = 0; i < remarks; ++i) document.sentences.push_back(random_.choice(kRemarks));
    random_.shuffle(document.sentences);
    if (form_.talk) {
      List const speakers = random_.sample(kSpeakers, 2);
      for (std::size_t i = 0; i < document.sentences.size(); ++i) {
        document.sentences[i].insert(0, speakers[i % 2] + " says: ");
      }
    }
    return document;
  }

 private:
  /// One word while there are plenty of names, two later: short contexts stay simple, long ones do not run out.
  std::string new_subject() {
    static constexpr std::size_t kShortNames = 100;
    std::string name;
    do {
      name = random_.choice(words::entities());
      if (used_.size() >= kShortNames) name += " " + random_.choice(words::entities());
    } while (!used_.insert(name).second);
    return name;
  }

  std::string new_value(std::string const& relation, std::set<std::string>& values) {
    std::string value;
    do value = value_of(random_, relation);
    while (!values.insert(value).second);
    return value;
  }

  Random& random_;
  FactDocuments::Form form_;
  std::set<std::string> used_;
};

constexpr char kBetweenDocuments[] = "\n\n";

}  // namespace

FactDocuments::FactDocuments(Random& random, Form form, std::int64_t allowance, CountTokens const& count) {
  Author author(random, form);
  char const* const between = form.talk ? "\n" : " ";
  std::vector<Document> documents;
  std::int64_t room = allowance + count(kBetweenDocuments);  // none before the first
  for (bool whole = true; whole;) {
    Document document = author.next();
    room -= count(kBetweenDocuments + header(documents.size() + 1, document));
    std::size_t fitting = 0;
    for (; fitting < document.sentences.size(); ++fitting) {
      std::int64_t const cost = count(document.sentences[fitting] + between);
      if (cost > room) break;
      room -= cost;
    }
    whole = fitting == document.sentences.size();
    document.sentences.resize(fitting);
    if (fitting > 0) documents.push_back(std::move(document));
    if (whole) whole_.push_back(documents.back());
  }

  std::vector<std::size_t> places(documents.size());
  std::iota(places.begin(), places.end(), 0);
  random.shuffle(places);
  for (std::size_t place = 0; place < places.size(); ++place) {
    Document const& document = documents[places[place]];
    if (places[place] < whole_.size()) whole_[places[place]].number = static_cast<std::int64_t>(place + 1);
    text_ += (place == 0 ? "" : kBetweenDocuments) + header(place + 1, document);
    for (std::size_t i = 0; i < document.sentences.size(); ++i) {
      text_ += (i == 0 ? "" : between) + document.sentences[i];
    }
  }
}

}  // namespace frontier
