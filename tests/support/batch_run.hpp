#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "reference/attention.hpp"
#include "support/batch_case.hpp"
#include "support/compare.hpp"
#include "support/device.hpp"
#include "support/inputs.hpp"

namespace support {

/// What of a problem is neither size nor number.
struct Masks {
  std::int64_t window_tokens = 0;
  double soft_cap = 0.0;
  bool sinks = false;
};

/// A batch of these lengths; all sequences take heads and dim from `heads`.
struct Lengths {
  std::int64_t len_q, len_k;
};

template <class T>
std::vector<reference::Inputs> make_batch(std::vector<Lengths> const& lengths, Sizes heads, Data data, Masks masks = {},
                                          std::uint64_t seed = 1) {
  std::vector<reference::Inputs> sequences;
  for (Lengths const& each : lengths) {
    heads.len_q = each.len_q;
    heads.len_k = each.len_k;
    reference::Inputs in = make_inputs<T>(heads, data, seed++);
    in.window_tokens = masks.window_tokens;
    in.soft_cap = masks.soft_cap;
    for (std::int64_t head = 0; masks.sinks && head < in.heads_q; ++head)
      in.sink_logits.push_back(static_cast<double>(head % 3) - 0.5);
    sequences.push_back(in);
  }
  return sequences;
}

/// Runs `call(exec, scratch)` in exactly the scratch that `reserve(exec, workspace)` takes, and fetches the answers.
/// Empty, or what the Status said.
template <class T, class Reserve, class Call>
std::string run_on_device(BatchCase<T>& c, Reserve const& reserve, Call const& call) {
  Stream const stream;
  lacuna::Cuda const exec{stream};
  lacuna::Workspace needed;
  reserve(exec, needed);
  DeviceMemory const memory(needed.used_bytes());
  lacuna::Workspace const scratch = needed.used_bytes() == 0 ? lacuna::Workspace{} : memory.workspace();
  c.poison_answers();
  lacuna::Status const status = call(exec, scratch);
  if (!status) return status.message;
  stream.wait();
  if (!memory.guards_untouched()) return "wrote beyond the scratch";
  c.fetch();
  if (!c.nothing_else_was_written()) return "wrote beside the answer";
  return "";
}

/// Holds every sequence's answer against attention over keys_of(sequence, head, row). Empty, or what is wrong.
template <class T, class KeysOf>
std::string explain_batch(BatchCase<T> const& c, KeysOf const& keys_of, Data data = Data::random) {
  for (std::size_t b = 0; b < c.sequences().size(); ++b) {
    auto const exact =
        reference::attend(c.sequences()[b], [&](std::int64_t head, std::int64_t row) { return keys_of(b, head, row); });
    std::string const why = explain_answer(c.answer(b), exact, data);
    if (!why.empty()) return "sequence " + std::to_string(b) + ", " + why;
  }
  return "";
}

}  // namespace support
