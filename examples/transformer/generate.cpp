#include "transformer/generate.hpp"

#include <algorithm>
#include <utility>

namespace transformer {

std::vector<std::vector<std::int32_t>> continue_greedily(Model const& model, lacuna::Cpu exec,
                                                         std::vector<Read> sequences, std::int64_t max_new_tokens) {
  std::vector<std::int32_t> const& stop_ids = model.config().stop_ids;
  std::vector<std::vector<std::int32_t>> made(sequences.size());
  std::vector<std::size_t> active;  // which sequence each continuation belongs to
  std::vector<Continuation> continuations;
  do {
    active.clear();
    continuations.clear();
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      Read& read = sequences[i];
      if (read.logits.empty() || static_cast<std::int64_t>(made[i].size()) >= max_new_tokens) continue;
      auto const best =
          static_cast<std::int32_t>(std::max_element(read.logits.begin(), read.logits.end()) - read.logits.begin());
      read.logits.clear();
      if (std::find(stop_ids.begin(), stop_ids.end(), best) != stop_ids.end()) continue;
      made[i].push_back(best);
      bool const full = read.position >= model.config().max_positions;
      if (full || static_cast<std::int64_t>(made[i].size()) == max_new_tokens) continue;
      active.push_back(i);
      continuations.push_back({best, read.position++, read.attention});
    }
    std::vector<std::vector<float>> logits = model.step(exec, continuations);
    for (std::size_t c = 0; c < active.size(); ++c) sequences[active[c]].logits = std::move(logits[c]);
  } while (!active.empty());
  return made;
}

std::vector<std::int32_t> generate(Model const& model, lacuna::Cpu exec, std::span<std::int32_t const> prompt,
                                   Attention& attention, std::int64_t max_new_tokens) {
  Read read{model.prefill(exec, prompt, attention), static_cast<std::int64_t>(prompt.size()), &attention};
  return continue_greedily(model, exec, {std::move(read)}, max_new_tokens).front();
}

}  // namespace transformer
