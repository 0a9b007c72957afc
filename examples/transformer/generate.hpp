#pragma once

#include <cstdint>
#include <lacuna/lacuna.hpp>
#include <span>
#include <vector>

#include "transformer/model.hpp"

namespace transformer {

/// A sequence whose prompt has been read.
struct Read {
  std::vector<float> logits;  // after the last token
  std::int64_t position = 0;  // the number of tokens read
  Attention* attention = nullptr;
};

/// Continues every sequence, all of them side by side. Always takes the likeliest token, the lower id where two are
/// equally likely. A sequence ends before a stop id, after `max_new_tokens` tokens, or where the model has no more
/// positions. Returns the new tokens of each, without the stop id.
std::vector<std::vector<std::int32_t>> continue_greedily(Model const& model, lacuna::Cpu exec,
                                                         std::vector<Read> sequences, std::int64_t max_new_tokens);

/// Reads the prompt and continues it. Throws std::runtime_error when the prompt is empty.
std::vector<std::int32_t> generate(Model const& model, lacuna::Cpu exec, std::span<std::int32_t const> prompt,
                                   Attention& attention, std::int64_t max_new_tokens);

}  // namespace transformer
