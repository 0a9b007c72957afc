#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace transformer {

/// A regular expression over UTF-8 text. Matching has fixed limits, so no pattern and no text can exhaust the stack,
/// which std::regex does not promise.
class Pattern {
 public:
  /// Throws std::runtime_error saying what is wrong with the expression.
  explicit Pattern(std::string const& expression);
  ~Pattern();
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;

  /// Every match, left to right, not overlapping and never empty. The views point into `text`.
  /// Throws std::runtime_error when the text is not UTF-8 or a match needs more than the limits allow.
  std::vector<std::string_view> matches(std::string_view text) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
};

}  // namespace transformer
