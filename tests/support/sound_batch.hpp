#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "lacuna/core/batch_problem.hpp"

namespace support {

/// What every pointer of unread() leads to.
alignas(64) inline std::array<std::byte, 256> unread_memory{};

/// An address that nobody reads or writes, for arguments that are only looked at. Without `elements` aligned to 64.
template <class T>
T* nowhere(std::ptrdiff_t elements = 0) {
  return reinterpret_cast<T*>(unread_memory.data()) + elements;
}

/// A dense view of memory that is not there.
template <class T, int Rank>
lacuna::TensorView<T, Rank> unread(std::array<std::int64_t, Rank> extents) {
  return lacuna::dense_view<T, Rank>(nowhere<T>(), extents);
}

/// Three sequences of at most four tokens, two KV heads and four query heads: sound, and nothing of it is ever read.
template <class T>
lacuna::BatchProblem<T> sound_batch(std::int64_t dim = 8, std::int64_t max_len_q = 4) {
  lacuna::BatchProblem<T> problem;
  problem.q = unread<T const, 3>({max_len_q > 1 ? 7 : 3, 4, dim});
  problem.cu_len_q = nowhere<std::int32_t const>();
  problem.kv.k = problem.kv.v = nowhere<T const>();
  problem.kv.heads_kv = 2;
  problem.kv.dim = dim;
  problem.kv.stride_head = dim;
  problem.kv.stride_token = 2 * dim;
  problem.kv.lens = unread<std::int32_t const, 2>({3, 2});
  problem.batch = 3;
  problem.max_len_q = max_len_q;
  problem.max_len_k = 4;
  return problem;
}

template <class T>
lacuna::AttentionOut<T> sound_out(lacuna::BatchProblem<T> const& problem) {
  return {unread<T, 3>(problem.q.extents), unread<float, 2>({problem.tokens_q(), problem.heads_q()})};
}

/// What check() says once `spoil` has had its way with a copy of sound arguments; "unsound" where they were not.
template <class Args, class Spoil>
std::string complaint(Args args, Spoil const& spoil) {
  if (!args.check()) return std::string("unsound: ").append(args.check().message);
  spoil(args);
  return args.check().message;
}

}  // namespace support
