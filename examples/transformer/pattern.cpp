#include "transformer/pattern.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <cstdint>
#include <new>
#include <stdexcept>

namespace transformer {
namespace {

std::string message_of(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<char const*>(text.data());
}

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};

}  // namespace

struct Pattern::Code {
  std::unique_ptr<pcre2_code, Deleter<pcre2_code_free>> compiled;
};

Pattern::Pattern(std::string const& expression) : code_(std::make_unique<Code>()) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_->compiled.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(),
                                      PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr));
  if (!code_->compiled)
    throw std::runtime_error("regular expression '" + expression + "', at " + std::to_string(offset) + ": " +
                             message_of(error));
  // Five times faster on long prompts; where the processor has no compiler, matching is interpreted as before.
  pcre2_jit_compile(code_->compiled.get(), PCRE2_JIT_COMPLETE);
}

Pattern::~Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;

std::vector<std::string_view> Pattern::matches(std::string_view text) const {
  std::vector<std::string_view> found;
  if (text.empty()) return found;
  std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data_free>> const match(
      pcre2_match_data_create_from_pattern(code_->compiled.get(), nullptr));
  if (!match) throw std::bad_alloc();
  PCRE2_SIZE at = 0;
  std::uint32_t options = PCRE2_NOTEMPTY;
  while (at < text.size()) {
    int const count = pcre2_match(code_->compiled.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                                  options, match.get(), nullptr);
    if (count == PCRE2_ERROR_NOMATCH) break;
    if (count < 0) throw std::runtime_error("text cannot be matched: " + message_of(count));
    PCRE2_SIZE const* const range = pcre2_get_ovector_pointer(match.get());
    if (range[1] <= at) throw std::runtime_error("text cannot be matched: the expression looks behind its own start");
    found.push_back(text.substr(range[0], range[1] - range[0]));
    at = range[1];
    options |= PCRE2_NO_UTF_CHECK;  // the first call has checked the whole text
  }
  return found;
}

}  // namespace transformer
