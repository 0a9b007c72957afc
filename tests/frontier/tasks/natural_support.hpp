#pragma once

#include <memory>
#include <string>
#include <vector>

#include "frontier/tasks/estimate.hpp"
#include "frontier/tasks/qa_corpus.hpp"

namespace test {

/// All nine in their natural form, over word lists and documents made here: no file is needed.
std::vector<std::unique_ptr<frontier::Task const>> const& natural_tasks();

/// Nine thousand distinct words of lower-case letters.
std::vector<std::string> word_pool();

/// Documents of 60 to 300 words, two questions each; SQuAD's have a second right answer.
frontier::Corpus corpus(frontier::QuestionAnswering::Kind kind);

inline frontier::Request natural_request(std::int64_t max_tokens, std::int64_t index = 0, std::uint64_t seed = 43) {
  return {seed, index, max_tokens, frontier::estimate_tokens};
}

/// What a model writes that answers perfectly.
inline std::string perfect(std::string const& gold) {
  return frontier::explained_response("the sentence says so", gold);
}

/// What stands inside the first tags of that name.
inline std::string inside(std::string const& prompt, std::string const& tag) {
  std::size_t const begin = prompt.find("<" + tag + ">\n") + tag.size() + 3;
  return prompt.substr(begin, prompt.find("\n</" + tag + ">") - begin);
}

}  // namespace test
