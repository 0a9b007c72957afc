#pragma once

#include <cstdint>

#include "lacuna/core/config.hpp"
#include "lacuna/core/exec.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/tensor_view.hpp"

namespace lacuna {

/// The pages of a pool that nobody holds, on the device: the first `count` of `ids`, taken from the end and given back
/// to it.
struct FreePages {
  TensorView<std::int32_t, 1> ids{};  // [pages of the pool]
  std::int32_t* count = nullptr;      // [1]
};

/// Which pages each head of a batch holds, and how many tokens, on the device. Pages behind a head's length are not its
/// own.
struct PageTablesView {
  TensorView<std::int32_t, 3> pages{};  // [batch, heads_kv, most pages of a head]
  TensorView<std::int32_t, 2> lens{};   // [batch, heads_kv], both axes dense
  std::int64_t page_tokens = 0;

  std::int64_t batch() const { return lens.extent(0); }
  std::int64_t heads_kv() const { return lens.extent(1); }

  Status check() const {
    if (page_tokens < 1) return Status::invalid("page_tables: page_tokens must be at least 1", page_tokens, 1);
    if (pages.extent(0) != lens.extent(0) || pages.extent(1) != lens.extent(1))
      return Status::invalid("page_tables: pages and lens must have the same sequences and heads", pages.extent(0),
                             lens.extent(0));
    if (pages.extent(2) > 0 && pages.stride(2) != 1)
      return Status::invalid("page_tables: the last axis of pages must be dense", pages.stride(2), 1);
    return {};
  }
};

/// Room for new tokens of every sequence: pages come from the pool, and lengths grow. Sequences are served in order,
/// and each gets room in all of its heads or in none: one that asks for more pages than are free, or for more tokens
/// than a head may hold, is refused and stays as it was. All pointers are the device's.
struct GrowTablesArgs {
  PageTablesView tables;
  FreePages pool;
  std::int64_t new_tokens = 0;           // of each sequence, or the most of one
  std::int32_t const* cu_new = nullptr;  // [batch + 1], where a sequence's new tokens begin; null: new_tokens of each
  std::int64_t capacity_tokens = 0;      // the most that a head may hold
  /// Heads that are a ring hold at most ring_tokens: later tokens take the places of earlier ones. 0: none is.
  std::int64_t ring_tokens = 0;
  std::uint8_t const* ring_heads = nullptr;  // [heads_kv], 1 for rings; null: all of them
  std::int32_t* seen = nullptr;              // [batch] in, out: tokens that a sequence was ever given room for
  std::int32_t* before = nullptr;            // out [batch]: what seen was, or -1 if the sequence was refused
  std::int32_t* refused = nullptr;           // [batch] in, out: how often a sequence was refused
  /// out: the new lengths, but 0 for sequences that were refused, so that what follows writes nothing for them.
  TensorView<std::int32_t, 2> served_lens{};  // [batch, heads_kv], both axes dense

  Status check() const {
    if (Status s = tables.check(); !s) return s;
    if (new_tokens < 0) return Status::invalid("grow_tables: new_tokens must not be negative", new_tokens, 0);
    if (capacity_tokens > tables.pages.extent(2) * tables.page_tokens)
      return Status::invalid("grow_tables: pages have no room for capacity_tokens", capacity_tokens,
                             tables.pages.extent(2) * tables.page_tokens);
    if (ring_tokens < 0) return Status::invalid("grow_tables: ring_tokens must not be negative", ring_tokens, 0);
    return {};
  }
};

/// Heads forget their last tokens, and pages that are no longer touched go back to the pool, in the order of the heads.
/// How many tokens a head keeps: counts, where -1 means all; or none, for the sequences that ended names.
struct ShrinkTablesArgs {
  PageTablesView tables;
  FreePages pool;
  TensorView<std::int32_t const, 1> counts{};  // [batch * heads_kv] or null
  std::uint8_t const* ended = nullptr;         // [batch], with counts null
  std::int32_t* seen = nullptr;                // [batch] or null: 0 for sequences that ended

  Status check() const {
    if (Status s = tables.check(); !s) return s;
    if ((counts.data == nullptr) == (ended == nullptr))
      return Status::invalid("shrink_tables: either counts or ended must be given");
    if (counts.data != nullptr && counts.extent(0) != tables.batch() * tables.heads_kv())
      return Status::invalid("shrink_tables: counts must have one entry per KV head of a sequence", counts.extent(0),
                             tables.batch() * tables.heads_kv());
    return {};
  }
};

}  // namespace lacuna

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/page_tables.cuh"
#endif
