#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include "lacuna/core/dtype.hpp"
#include "lacuna/core/tensor_view.hpp"
#include "reference/quest.hpp"

namespace support {

/// Empty when the bounds are those of the first `in.len_k` keys of every head, rebuilt from nothing.
template <class T>
std::string explain_bounds(lacuna::TensorView<T const, 4> bounds, reference::Inputs const& in,
                           std::int64_t page_tokens) {
  for (std::int64_t head = 0; head < in.heads_kv; ++head) {
    for (std::int64_t page = 0; page * page_tokens < in.len_k; ++page) {
      auto const exact = reference::page_bounds(in, head, page, page_tokens);
      for (std::int64_t x = 0; x < in.dim; ++x) {
        double const low = lacuna::to_float(bounds(head, page, 0, x)),
                     high = lacuna::to_float(bounds(head, page, 1, x));
        double const exact_low = exact.low[static_cast<std::size_t>(x)],
                     exact_high = exact.high[static_cast<std::size_t>(x)];
        bool const right =
            std::isnan(exact_low) ? std::isnan(low) && std::isnan(high) : low == exact_low && high == exact_high;
        if (!right)
          return "head " + std::to_string(head) + " page " + std::to_string(page) + " channel " + std::to_string(x);
      }
    }
  }
  return "";
}

}  // namespace support
