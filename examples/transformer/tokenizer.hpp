#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "transformer/pattern.hpp"

namespace transformer {

/// Text to token ids and back, for a closed vocabulary of whole words: a tokenizer.json with a WordLevel model whose
/// pre-tokenizer takes every match of a regular expression as one word. Added tokens are matched before that.
class Tokenizer {
 public:
  /// Throws std::runtime_error naming the file and the part that is missing or not computed here.
  explicit Tokenizer(std::filesystem::path const& file);

  /// Empty text has no tokens. A word outside the vocabulary is a std::runtime_error that names it.
  std::vector<std::int32_t> encode(std::string_view text) const;

  /// The words of the ids, spaced as the task suite writes its text: no space before . , : ; ? ! ) and a line break,
  /// none after ( and a line break, none between two digits, none between two symbols (a lower-case letter and a
  /// digit), one space otherwise. Special tokens are left out unless asked for. An id that stands for no word, which a
  /// model with a padded vocabulary can produce, is shown as <id N>.
  std::string decode(std::span<std::int32_t const> ids, bool with_special = false) const;

  /// One more than the largest id.
  std::int64_t size() const { return static_cast<std::int64_t>(words_.size()); }
  std::optional<std::int32_t> id_of(std::string_view word) const;

 private:
  struct Word {
    std::string text;
    bool known = false;
    bool special = false;
  };

  void add_word(std::int64_t id, std::string const& text);
  void encode_words(std::string_view text, std::vector<std::int32_t>& ids) const;

  std::vector<Word> words_;                               // by id
  std::map<std::string, std::int32_t, std::less<>> ids_;  // by text, added tokens included
  std::vector<std::string> added_;                        // longest first
  std::optional<Pattern> word_pattern_;
};

}  // namespace transformer
