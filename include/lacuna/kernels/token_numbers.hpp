#pragma once

#include <cstdint>

#include "lacuna/core/config.hpp"
#include "lacuna/core/exec.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/tensor_view.hpp"
#include "lacuna/index/token_index.hpp"

namespace lacuna {

/// Numbers that lie beside the tokens of a batch, on the device: the attention that a token has received, and where it
/// stood in its sequence. // [batch, heads_kv, capacity]
struct TokenNumbers {
  TensorView<float, 3> mass{};
  TensorView<std::int32_t, 3> positions{};
};

/// New tokens, the last ones of each head, have received nothing and stand behind those that came before.
struct BeginNumbersArgs {
  TokenNumbers numbers;
  TensorView<std::int32_t const, 2> lens;  // [batch, heads_kv], the new tokens included; 0: the sequence was refused
  std::int32_t const* before = nullptr;    // [batch], tokens of the sequence that came before
  std::int64_t new_tokens = 0;             // of each sequence, or the most of one
  std::int32_t const* cu_new = nullptr;    // [batch + 1] or null, as GrowTablesArgs has it
};

/// The numbers of the kept tokens move to the front, as gather_kv moves keys. Heads with a count of -1 stay as they
/// are.
struct KeepNumbersArgs {
  TokenNumbers numbers;
  TokenIndex index;  // rows are batch * heads_kv
};

}  // namespace lacuna

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/token_numbers.cuh"
#endif
