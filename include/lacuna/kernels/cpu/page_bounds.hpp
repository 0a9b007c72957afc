#pragma once

#include <algorithm>
#include <cstring>

#include "lacuna/kernels/page_bounds.hpp"

namespace lacuna {

template <Storage T>
Status page_bounds(Cpu exec, PageBoundsArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  KvView<T> const& kv = args.kv;
  exec.for_work(kv.heads_kv * args.new_tokens * kv.dim).each(kv.heads_kv, [&](std::int64_t head, int) {
    for (std::int64_t token = std::max<std::int64_t>(kv.length(head) - args.new_tokens, 0); token < kv.length(head);
         ++token) {
      T const* const key = kv.k + kv.offset(head, token);
      T* const low = &args.bounds(head, token / args.page_tokens, 0, 0);
      T* const high = &args.bounds(head, token / args.page_tokens, 1, 0);
      if (token % args.page_tokens == 0) {
        std::memcpy(low, key, static_cast<std::size_t>(kv.dim) * sizeof(T));
        std::memcpy(high, key, static_cast<std::size_t>(kv.dim) * sizeof(T));
        continue;
      }
      for (std::int64_t x = 0; x < kv.dim; ++x) {
        float const value = to_float(key[x]);
        bool const poison = value != value;  // a NaN once stored stays: no comparison with it holds
        if (poison || value < to_float(low[x])) low[x] = key[x];
        if (poison || value > to_float(high[x])) high[x] = key[x];
      }
    }
  });
  return {};
}

}  // namespace lacuna
