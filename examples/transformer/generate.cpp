#include "transformer/generate.hpp"

#include <algorithm>

namespace transformer {

std::vector<std::int32_t> continue_greedily(Model const& model, lacuna::Cpu exec, std::vector<float> logits,
                                            std::int64_t position, Attention& attention, std::int64_t max_new_tokens) {
  std::vector<std::int32_t> const& stop_ids = model.config().stop_ids;
  std::vector<std::int32_t> tokens;
  while (static_cast<std::int64_t>(tokens.size()) < max_new_tokens) {
    auto const best = static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    if (std::find(stop_ids.begin(), stop_ids.end(), best) != stop_ids.end()) break;
    tokens.push_back(best);
    bool const last =
        static_cast<std::int64_t>(tokens.size()) == max_new_tokens || position == model.config().max_positions;
    if (last) break;
    logits = model.step(exec, best, position++, attention);
  }
  return tokens;
}

std::vector<std::int32_t> generate(Model const& model, lacuna::Cpu exec, std::span<std::int32_t const> prompt,
                                   Attention& attention, std::int64_t max_new_tokens) {
  return continue_greedily(model, exec, model.prefill(exec, prompt, attention),
                           static_cast<std::int64_t>(prompt.size()), attention, max_new_tokens);
}

}  // namespace transformer
