#include "frontier/tasks/scores.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <regex>
#include <sstream>
#include <vector>

#include "frontier/tasks/prompt.hpp"

namespace frontier {
namespace {

using Words = std::vector<std::string>;  // sorted

/// The first block, with its tags in exactly this case.
std::string published_block(std::string const& output) {
  static constexpr std::string_view kOpen = "<answer>";
  std::size_t const open = output.find(kOpen);
  if (open == std::string::npos) return "";
  std::size_t const begin = open + kOpen.size();
  std::size_t const end = output.find("</answer>", begin);
  return end == std::string::npos ? "" : output.substr(begin, end - begin);
}

/// Lower case, no ASCII punctuation, no articles and joining words.
Words content_words(std::string const& text) {
  static TextSet const kDropped = {"a", "an", "the", "and", "or", "about", "to"};
  std::string plain;
  for (char c : normalised(text)) {
    if (std::ispunct(static_cast<unsigned char>(c)) == 0) plain += c;
  }
  Words words;
  std::istringstream stream(plain);
  for (std::string word; stream >> word;) {
    if (kDropped.count(word) == 0) words.push_back(word);
  }
  std::sort(words.begin(), words.end());
  return words;
}

double f1(Words const& gold, Words const& predicted) {
  Words common;
  std::set_intersection(gold.begin(), gold.end(), predicted.begin(), predicted.end(), std::back_inserter(common));
  if (common.empty()) return 0;
  double const precision = static_cast<double>(common.size()) / static_cast<double>(predicted.size());
  double const recall = static_cast<double>(common.size()) / static_cast<double>(gold.size());
  return 2 * precision * recall / (precision + recall);
}

Words merged(Words words) {
  words.erase(std::unique(words.begin(), words.end()), words.end());
  return words;
}

std::string without_prefix(std::string const& text) {
  static std::regex const kPrefix(R"(question\s+\d+\.)", std::regex::icase | std::regex::optimize);
  return std::regex_replace(text, kPrefix, "");
}

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

bool is_option(char c) { return c >= 'A' && c <= 'D'; }

/// The letters in order; empty where something else stands in the block.
std::string chosen_letters(std::string const& block) {
  static std::regex const kWithText(R"(\s*[(\["']?([A-D])[.)][^\n]*\s*)", std::regex::optimize);
  static std::regex const kJoining(R"(\bAND\b|[\s,/()\[\]{}"'])", std::regex::optimize);
  std::string const text = upper(without_prefix(block));
  std::string letters = std::regex_replace(text, kJoining, "");
  if (!letters.empty() && letters.back() == '.') letters.pop_back();
  if (std::all_of(letters.begin(), letters.end(), is_option)) {
    std::sort(letters.begin(), letters.end());
    letters.erase(std::unique(letters.begin(), letters.end()), letters.end());
    return letters;
  }
  std::smatch match;
  return text.size() < 1000 && std::regex_match(text, match, kWithText) ? match[1].str() : "";
}

std::string harvested_letters(std::string const& block) {
  std::string letters = upper(without_prefix(block));
  std::erase_if(letters, [](char c) { return !is_option(c); });
  std::sort(letters.begin(), letters.end());
  return letters;
}

}  // namespace

double intersection_over_union(TextSet const& gold, TextSet const& predicted) {
  std::size_t common = 0;
  for (std::string const& text : predicted) common += gold.count(text);
  std::size_t const all = gold.size() + predicted.size() - common;
  return all == 0 ? 1.0 : static_cast<double>(common) / static_cast<double>(all);
}

std::string without_article(std::string const& text) {
  for (std::string_view article : {"the ", "an ", "a "}) {
    if (text.rfind(article, 0) == 0) return text.substr(article.size());
  }
  return text;
}

double TokenF1::compat(std::string const& gold, std::string const& output) {
  double const exact = f1(merged(content_words(gold)), merged(content_words(published_block(output))));
  return std::round(exact * 100) / 100;
}

double TokenF1::strict(std::string const& gold, std::string const& output) {
  return f1(content_words(gold), content_words(answer_block(output, true).value_or("")));
}

double ChoiceMatch::compat(std::string const& gold, std::string const& output) {
  return harvested_letters(published_block(output)) == harvested_letters(gold) ? 1.0 : 0.0;
}

double ChoiceMatch::strict(std::string const& gold, std::string const& output) {
  std::string const letters = chosen_letters(answer_block(output, true).value_or(""));
  return !letters.empty() && letters == chosen_letters(gold) ? 1.0 : 0.0;
}

}  // namespace frontier
