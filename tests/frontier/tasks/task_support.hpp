#pragma once

#include "frontier/tasks/prompt.hpp"
#include "frontier/tasks/task.hpp"
#include "frontier/train/vocabulary.hpp"
#include "transformer/tokenizer.hpp"

namespace test {

/// The closed vocabulary's tokenizer, built once.
transformer::Tokenizer const& closed_tokenizer();

inline frontier::Request request(std::int64_t max_tokens, std::int64_t index = 0, std::uint64_t seed = 43) {
  return {seed, index, max_tokens,
          [](std::string_view text) { return static_cast<std::int64_t>(closed_tokenizer().encode(text).size()); }};
}

/// What stands inside the context tags.
std::string context_of(std::string const& prompt);

/// How often `part` occurs in `text`.
int occurrences(std::string const& text, std::string const& part);

std::vector<std::string> lines_of(std::string const& text);

}  // namespace test
