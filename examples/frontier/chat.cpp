#include "frontier/chat.hpp"

#include <array>
#include <stdexcept>

namespace frontier {
namespace {

struct Known {
  char const* mark;  // a word of its own in the tokenizer of this template
  char const* before;
  char const* after;
};

constexpr std::array<Known, 3> kKnown{{
    {"<|im_start|>",
     "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
     "<|im_start|>user\n",
     "<|im_end|>\n<|im_start|>assistant\n"},
    {"<|start_header_id|>",
     "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
     "Today Date: 26 Jul 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n",
     "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"},
    {"<start_of_turn>", "<bos><start_of_turn>user\n", "<end_of_turn>\n<start_of_turn>model\n"},
}};

bool is_one_word(transformer::Tokenizer const& tokenizer, char const* mark) {
  try {
    return tokenizer.encode(mark).size() == 1;
  } catch (std::runtime_error const&) {  // a closed vocabulary without it
    return false;
  }
}

}  // namespace

ChatTemplate::ChatTemplate(transformer::Tokenizer const& tokenizer) {
  for (Known const& known : kKnown) {
    if (!is_one_word(tokenizer, known.mark)) continue;
    before_ = known.before;
    after_ = known.after;
    return;
  }
}

}  // namespace frontier
