#include "transformer/tokenizer.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "transformer/json_file.hpp"

namespace transformer {
namespace {

constexpr std::int64_t kLargestVocabulary = 1 << 24;

using Json = nlohmann::json;

void require(bool holds, std::string const& what) {
  if (!holds) throw std::runtime_error(what);
}

bool is_set(Json const& object, char const* key) { return object.contains(key) && !object.at(key).is_null(); }

/// The only pre-tokenizer that is computed here: keep what the expression matches.
std::string word_expression(Json const& tokenizer) {
  require(is_set(tokenizer, "pre_tokenizer"), "key 'pre_tokenizer' is missing");
  Json const& split = tokenizer.at("pre_tokenizer");
  require(split.value("type", "") == "Split", "key 'pre_tokenizer.type' must be \"Split\"");
  require(split.value("behavior", "") == "Removed" && split.value("invert", false),
          "key 'pre_tokenizer' must have behavior \"Removed\" and invert true");
  require(is_set(split, "pattern") && split.at("pattern").contains("Regex"),
          "key 'pre_tokenizer.pattern' must hold a \"Regex\"");
  return split.at("pattern").at("Regex").get<std::string>();
}

bool is_digit(std::string_view word) { return word.size() == 1 && word[0] >= '0' && word[0] <= '9'; }

bool is_symbol(std::string_view word) {
  return word.size() == 2 && word[0] >= 'a' && word[0] <= 'z' && is_digit(word.substr(1));
}

bool joined(std::string_view left, std::string_view right) {
  auto const one_of = [](std::string_view word, std::string_view set) {
    return word.size() == 1 && set.find(word[0]) != std::string_view::npos;
  };
  return one_of(left, "(\n") || one_of(right, ".,:;?!)\n") || (is_digit(left) && is_digit(right)) ||
         (is_symbol(left) && is_symbol(right));
}

}  // namespace

Tokenizer::Tokenizer(std::filesystem::path const& file) {
  Json const json = read_json_object(file);
  try {
    for (char const* key : {"normalizer", "post_processor", "truncation", "padding"})
      require(!is_set(json, key), "key '" + std::string(key) + "' is set, but is not computed here");
    require(is_set(json, "model") && json.at("model").value("type", "") == "WordLevel",
            "key 'model.type' must be \"WordLevel\"");
    for (auto const& [text, id] : json.at("model").at("vocab").items()) {
      require(id.is_number_integer(), "word '" + text + "' has an id that is not a whole number");
      add_word(id.get<std::int64_t>(), text);
    }
    for (Json const& token : json.value("added_tokens", Json::array())) {
      std::string const text = token.at("content").get<std::string>();
      for (char const* key : {"single_word", "lstrip", "rstrip"})
        require(!token.value(key, false),
                "added token '" + text + "' has " + key + " set, but that is not computed here");
      require(!text.empty(), "an added token is empty");
      std::int64_t const id = token.at("id").get<std::int64_t>();
      add_word(id, text);
      words_[static_cast<std::size_t>(id)].special = token.value("special", false);
      added_.push_back(text);
    }
    word_pattern_.emplace(word_expression(json));
  } catch (Json::exception const&) {
    throw std::runtime_error(file.string() +
                             ": 'model.vocab', 'added_tokens' or 'pre_tokenizer' is not of the known form");
  } catch (std::runtime_error const& error) {
    throw std::runtime_error(file.string() + ": " + error.what());
  }
  std::stable_sort(added_.begin(), added_.end(), [](auto const& a, auto const& b) { return a.size() > b.size(); });
}

void Tokenizer::add_word(std::int64_t id, std::string const& text) {
  require(id >= 0 && id < kLargestVocabulary, "word '" + text + "' has id " + std::to_string(id) + ", out of range");
  auto const at = static_cast<std::size_t>(id);
  if (at >= words_.size()) words_.resize(at + 1);
  Word& word = words_[at];
  require(!word.known || word.text == text,
          "id " + std::to_string(id) + " stands for both '" + word.text + "' and '" + text + "'");
  auto const [place, fresh] = ids_.emplace(text, static_cast<std::int32_t>(id));
  require(fresh || place->second == id, "word '" + text + "' has two ids");
  word.text = text;
  word.known = true;
}

std::optional<std::int32_t> Tokenizer::id_of(std::string_view word) const {
  auto const found = ids_.find(word);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

void Tokenizer::encode_words(std::string_view text, std::vector<std::int32_t>& ids) const {
  for (std::string_view word : word_pattern_->matches(text)) {
    auto const found = ids_.find(word);
    if (found == ids_.end())
      throw std::runtime_error("tokenizer: the word '" + std::string(word) + "' is not in the vocabulary");
    ids.push_back(found->second);
  }
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<std::int32_t> ids;
  std::size_t word_start = 0;
  for (std::size_t at = 0; at < text.size();) {
    auto const added =
        std::find_if(added_.begin(), added_.end(), [&](auto const& t) { return text.substr(at).starts_with(t); });
    if (added == added_.end()) {
      ++at;
      continue;
    }
    encode_words(text.substr(word_start, at - word_start), ids);
    ids.push_back(*id_of(*added));
    at += added->size();
    word_start = at;
  }
  encode_words(text.substr(word_start), ids);
  return ids;
}

std::string Tokenizer::decode(std::span<std::int32_t const> ids, bool with_special) const {
  std::string text;
  std::string left;
  for (std::int32_t id : ids) {
    bool const known = id >= 0 && id < size() && words_[static_cast<std::size_t>(id)].known;
    if (known && words_[static_cast<std::size_t>(id)].special && !with_special) continue;
    std::string const word = known ? words_[static_cast<std::size_t>(id)].text : "<id " + std::to_string(id) + ">";
    if (!left.empty() && !joined(left, word)) text += ' ';
    text += word;
    left = word;
  }
  return text;
}

}  // namespace transformer
