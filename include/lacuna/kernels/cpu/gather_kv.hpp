#pragma once

#include <cstring>

#include "lacuna/kernels/gather_kv.hpp"

namespace lacuna {

template <Storage T>
Status gather_kv(Cpu exec, GatherKvArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  KvView<T> const& kv = args.kv;
  std::size_t const row_bytes = static_cast<std::size_t>(kv.dim) * sizeof(T);
  exec.for_work(kv.heads_kv * args.index.tokens.extent(1) * kv.dim).each(kv.heads_kv, [&](std::int64_t head, int) {
    std::int32_t const* const tokens = args.index.tokens.slice(head);
    // Ids are ascending and unique, so tokens[i] >= i and no row is overwritten before it has moved.
    for (std::int64_t i = 0; i < args.index.counts(head); ++i) {
      if (tokens[i] == i) continue;
      std::int64_t const from = kv.offset(head, tokens[i]);
      std::int64_t const to = kv.offset(head, i);
      std::memcpy(args.k + to, kv.k + from, row_bytes);
      std::memcpy(args.v + to, kv.v + from, row_bytes);
    }
  });
  return {};
}

}  // namespace lacuna
