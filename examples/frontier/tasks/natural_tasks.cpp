#include "frontier/tasks/natural_tasks.hpp"

#include <algorithm>
#include <array>
#include <sstream>
#include <stdexcept>

#include "frontier/tasks/cwe.hpp"
#include "frontier/tasks/niah.hpp"
#include "frontier/tasks/qa_corpus.hpp"
#include "frontier/tasks/story_filtering.hpp"
#include "frontier/tasks/story_multihop.hpp"
#include "frontier/tasks/story_retrieval.hpp"
#include "frontier/tasks/vt.hpp"
#include "transformer/json_file.hpp"

namespace frontier {
namespace {

/// Plain lower-case words; endings that most inflected forms have are left out with the few others that have them.
bool is_plain(std::string const& word) {
  static constexpr std::array<std::string_view, 7> kEndings = {"s", "ed", "ing", "er", "est", "ly", "ness"};
  return word.size() >= 4 && word.size() <= 9 &&
         std::all_of(word.begin(), word.end(), [](char c) { return c >= 'a' && c <= 'z'; }) &&
         std::none_of(kEndings.begin(), kEndings.end(), [&](std::string_view end) { return word.ends_with(end); });
}

std::filesystem::path const& named(std::filesystem::path const& file, std::string_view task, char const* what) {
  if (file.empty()) throw std::runtime_error(std::string(task) + ": natural prompts need " + what);
  return file;
}

}  // namespace

std::vector<std::string> read_word_pool(std::filesystem::path const& file) {
  static constexpr std::size_t kWords = 9000;
  if (!std::filesystem::exists(file)) {
    throw std::runtime_error(file.string() +
                             ": does not exist; install the package wamerican-small, or name another list of words");
  }
  std::vector<std::string> found;
  std::istringstream lines(transformer::read_text(file));
  for (std::string word; std::getline(lines, word);) {
    if (is_plain(word)) found.push_back(word);
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  if (found.size() < kWords) {
    throw std::runtime_error(file.string() + ": has " + std::to_string(found.size()) + " plain words, not the " +
                             std::to_string(kWords) + " that are needed");
  }
  std::vector<std::string> pool;
  for (std::size_t i = 0; i < kWords; ++i) pool.push_back(found[i * found.size() / kWords]);
  return pool;
}

std::unique_ptr<Task const> natural_task(std::string_view name, NaturalSettings const& settings) {
  using Kind = QuestionAnswering::Kind;
  if (name == "niah") return std::make_unique<Niah>(Form::natural);
  if (name == "niah_words") return std::make_unique<Niah>(Form::natural, true);
  if (name == "vt") return std::make_unique<VariableTracking>(Form::natural);
  if (name == "cwe") return std::make_unique<CommonWords>(read_word_pool(settings.words));
  if (name == "story_retrieval") return std::make_unique<StoryRetrieval>(Form::natural);
  if (name == "story_multihop") return std::make_unique<StoryMultihop>(Form::natural, settings.purchase_probability);
  if (name == "story_filtering") return std::make_unique<StoryFiltering>(Form::natural, settings.drop_orphan_sales);
  if (name == "qa_squad") {
    return std::make_unique<CorpusQuestionAnswering>(
        Kind::squad, read_squad(named(settings.squad, name, "the data file of SQuAD 2.0")));
  }
  if (name == "qa_quality") {
    return std::make_unique<CorpusQuestionAnswering>(
        Kind::quality, read_quality(named(settings.quality, name, "a data file of QuALITY")));
  }
  if (name == "qa_toefl") {
    return std::make_unique<CorpusQuestionAnswering>(
        Kind::toefl, read_toefl(named(settings.toefl, name, "the data file or folder of TOEFL-QA")));
  }
  return nullptr;
}

}  // namespace frontier
