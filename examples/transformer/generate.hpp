#pragma once

#include <cstdint>
#include <lacuna/core/exec.hpp>
#include <span>
#include <vector>

#include "transformer/model.hpp"

namespace transformer {

/// Continues a sequence whose prompt has been read: `logits` are those after its last token, `position` its length.
/// Always takes the likeliest token, the lower id where two are equally likely. Ends before a stop id, after
/// `max_new_tokens` tokens, or where the model has no more positions. Returns the new tokens without the stop id.
std::vector<std::int32_t> continue_greedily(Model const& model, lacuna::Cpu exec, std::vector<float> logits,
                                            std::int64_t position, Attention& attention, std::int64_t max_new_tokens);

/// Reads the prompt and continues it. Throws std::runtime_error when the prompt is empty.
std::vector<std::int32_t> generate(Model const& model, lacuna::Cpu exec, std::span<std::int32_t const> prompt,
                                   Attention& attention, std::int64_t max_new_tokens);

}  // namespace transformer
