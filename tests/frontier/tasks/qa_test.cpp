#include "frontier/tasks/qa.hpp"

#include <map>
#include <regex>
#include <set>

#include "frontier/tasks/task_support.hpp"
#include "support/catch.hpp"

using namespace frontier;

namespace {

using Kind = QuestionAnswering::Kind;
using Facts = std::multimap<std::pair<std::string, std::string>, std::string>;  // subject, relation -> values

constexpr Kind kKinds[] = {Kind::squad, Kind::quality, Kind::toefl};

/// Document number to its facts, read from the context.
std::map<std::int64_t, Facts> facts_of(std::string const& context) {
  static std::regex const kLine("Document (\\d+): |For ([A-Za-z ]+) the ([a-z]+) is ([A-Za-z ]+)\\.");
  std::map<std::int64_t, Facts> documents;
  std::int64_t number = 0;
  for (std::sregex_iterator it(context.begin(), context.end(), kLine), end; it != end; ++it) {
    if ((*it)[1].matched) {
      CHECK(std::stoll((*it)[1].str()) == ++number);
      documents[number];
    } else {
      documents[number].insert({{(*it)[2].str(), (*it)[3].str()}, (*it)[4].str()});
    }
  }
  return documents;
}

struct Asked {
  std::int64_t document = 0;
  std::string subject;
  std::string relation;
  std::vector<std::string> options;
};

Asked asked_in(std::string const& question) {
  std::smatch match;
  REQUIRE(std::regex_search(question, match,
                            std::regex("about document (\\d+): For ([A-Za-z ]+), what is the ([a-z]+)\\?")));
  Asked asked{std::stoll(match[1].str()), match[2].str(), match[3].str(), {}};
  std::regex const option("\n[A-D]\\. ([A-Za-z ]+)");
  for (std::sregex_iterator it(question.begin(), question.end(), option), end; it != end; ++it) {
    asked.options.push_back((*it)[1].str());
  }
  return asked;
}

std::set<std::string> values_of(Facts const& facts, Asked const& asked) {
  std::set<std::string> values;
  auto const [begin, end] = facts.equal_range({asked.subject, asked.relation});
  for (auto it = begin; it != end; ++it) values.insert(it->second);
  return values;
}

std::string first_question(Sample const& sample) {
  std::size_t const begin = sample.prompt.find("<question>");
  return sample.prompt.substr(begin, sample.prompt.find("</question>") - begin);
}

}  // namespace

TEST_CASE("qa: the asked document states the answer, and four options hold nothing else that is right") {
  std::int64_t two_right = 0;
  for (Kind kind : kKinds) {
    QuestionAnswering const task(kind);
    for (std::int64_t length : {1024, 2048, 4096, 8192, 16384}) {
      for (std::int64_t index = 0; index < 16; ++index) {
        Sample const sample = task.generate(test::request(length, index));
        INFO(task.name() << " at " << length);
        auto const documents = facts_of(test::context_of(sample.prompt));
        Asked const asked = asked_in(first_question(sample));
        std::set<std::string> const right = values_of(documents.at(asked.document), asked);
        if (kind == Kind::squad) {
          CHECK(right == std::set<std::string>{sample.gold});
          continue;
        }
        CHECK(std::set<std::string>(asked.options.begin(), asked.options.end()).size() == 4);
        std::string letters;
        for (std::size_t i = 0; i < asked.options.size(); ++i) {
          bool stated = false;
          for (auto const& [number, facts] : documents) {
            for (auto const& [key, value] : facts) stated = stated || value == asked.options[i];
          }
          CHECK(stated);
          if (right.count(asked.options[i]) == 0) continue;
          letters += (letters.empty() ? "" : ", ") + std::string(1, static_cast<char>('A' + i));
        }
        CHECK(letters == sample.gold);
        CHECK(right.size() == (sample.gold.size() > 1 ? 2U : 1U));
        two_right += sample.gold.size() > 1;
        if (kind == Kind::quality) CHECK(sample.gold.size() == 1);
      }
    }
  }
  CHECK(two_right > 0);
}

TEST_CASE("qa: about 13 percent of the talks' questions have two right options") {
  QuestionAnswering const task(Kind::toefl);
  std::int64_t two_right = 0;
  for (std::int64_t index = 0; index < 400; ++index) {
    two_right += task.generate(test::request(1024, index)).gold.size() > 1;
  }
  CHECK(two_right > 30);
  CHECK(two_right < 80);
}

TEST_CASE("qa: a subject belongs to one document, its relations and the document's values are distinct") {
  for (Kind kind : kKinds) {
    Sample const sample = QuestionAnswering(kind).generate(test::request(16384, 1));
    std::map<std::string, std::int64_t> home;
    for (auto const& [number, facts] : facts_of(test::context_of(sample.prompt))) {
      std::set<std::string> values;
      for (auto const& [key, value] : facts) {
        CHECK(home.try_emplace(key.first, number).first->second == number);
        CHECK(values.insert(value).second);
        CHECK(facts.count(key) <= (kind == Kind::toefl ? 2U : 1U));
      }
    }
    CHECK(home.size() > 50);
  }
}

TEST_CASE("qa: one sample asks the same question at every length of the same shape") {
  for (Kind kind : kKinds) {
    QuestionAnswering const task(kind);
    Asked const shorter = asked_in(first_question(task.generate(test::request(8192, 5))));
    Sample const longest = task.generate(test::request(16384, 5));
    Asked const longer = asked_in(first_question(longest));
    CHECK(shorter.subject == longer.subject);
    CHECK(shorter.relation == longer.relation);
    CHECK(shorter.options == longer.options);
    CHECK(task.generate(test::request(8192, 5)).gold == longest.gold);
  }
}

TEST_CASE("qa: documents have the sizes of the scaled-down suite") {
  auto const sentences = [](Kind kind, std::int64_t length) {
    return QuestionAnswering::shape_at(kind, length).form.sentences;
  };
  CHECK(sentences(Kind::squad, 2048) == 6);
  CHECK(sentences(Kind::squad, 4096) == 8);
  CHECK(sentences(Kind::quality, 4096) == 40);
  CHECK(sentences(Kind::quality, 8192) == 60);
  CHECK(sentences(Kind::toefl, 2048) == 12);
  CHECK(sentences(Kind::toefl, 16384) == 25);
}

TEST_CASE("qa: training turns ask about every document in turn, some without options, those for one value") {
  QuestionAnswering::Shape shape = QuestionAnswering::shape_at(Kind::toefl, 2048);
  shape.questions = 12;
  shape.open_share = 0.5;
  shape.training = true;
  shape.form.second_value = 0.5;
  for (std::int64_t index = 0; index < 5; ++index) {
    Random random(9, "turns", index);
    Draft const draft = QuestionAnswering::draft(random, Kind::toefl, shape, 2048, test::request(2048).count);
    auto const documents = facts_of(draft.context);
    std::set<std::int64_t> asked_documents;
    std::size_t open = 0;
    for (Question const& question : draft.questions) {
      Asked const asked = asked_in(question.text);
      asked_documents.insert(asked.document);
      if (!asked.options.empty()) continue;
      ++open;
      CHECK(values_of(documents.at(asked.document), asked) == std::set<std::string>{question.gold});
    }
    CHECK(draft.questions.size() == 12);
    CHECK(asked_documents.size() + 1 >= documents.size());  // the last document can be cut short
    CHECK(open > 0);
    CHECK(open < 12);
    CHECK(test::request(2048).count(render_conversation(draft)) <= 2048);
  }
}
