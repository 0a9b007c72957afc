#pragma once

#include <string>
#include <string_view>

#include "transformer/tokenizer.hpp"

namespace frontier {

/// The text of one user turn as a model wants to read it, up to where it starts to write. Three templates are known,
/// by the words that only their tokenizers have: that of Qwen, with its default system turn, of Llama 3, with its
/// system turn and a fixed date, and of Gemma. Any other model reads the bare text and a line break.
class ChatTemplate {
 public:
  explicit ChatTemplate(transformer::Tokenizer const& tokenizer);

  std::string operator()(std::string_view turn) const { return before_ + std::string(turn) + after_; }

 private:
  std::string before_;
  std::string after_ = "\n";
};

}  // namespace frontier
