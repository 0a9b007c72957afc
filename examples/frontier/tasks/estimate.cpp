#include "frontier/tasks/estimate.hpp"

#include <cctype>

namespace frontier {
namespace {

enum class Kind { letter, digit, space, line_break, punctuation };

Kind kind_of(char c) {
  auto const byte = static_cast<unsigned char>(c);
  if (std::isalpha(byte) != 0 || byte >= 0x80) return Kind::letter;
  if (std::isdigit(byte) != 0) return Kind::digit;
  if (c == '\n' || c == '\r') return Kind::line_break;
  return std::isspace(byte) != 0 ? Kind::space : Kind::punctuation;
}

std::int64_t word_tokens(std::string_view word, bool beside_digit) {
  auto const letters = static_cast<std::int64_t>(word.size());
  bool const shouted = letters > 3 && std::isupper(static_cast<unsigned char>(word[1])) != 0;
  return beside_digit || shouted ? (letters + 1) / 2 : (letters + 9) / 10;
}

}  // namespace

std::int64_t estimate_tokens(std::string_view text) {
  std::int64_t tokens = 0;
  Kind before = Kind::line_break;  // of the run before
  for (std::size_t at = 0; at < text.size();) {
    Kind const kind = kind_of(text[at]);
    std::size_t end = at + 1;
    while (end < text.size() && kind_of(text[end]) == kind) ++end;
    std::string_view const run = text.substr(at, end - at);
    bool const digit_follows = end < text.size() && kind_of(text[end]) == Kind::digit;
    switch (kind) {
      case Kind::letter: tokens += word_tokens(run, before == Kind::digit || digit_follows); break;
      case Kind::digit: tokens += static_cast<std::int64_t>(run.size()); break;
      case Kind::space: tokens += digit_follows || run.size() > 1; break;   // otherwise part of what follows
      case Kind::line_break: tokens += before != Kind::punctuation; break;  // otherwise part of what precedes
      case Kind::punctuation: tokens += 1; break;
    }
    before = kind;
    at = end;
  }
  return tokens;
}

}  // namespace frontier
