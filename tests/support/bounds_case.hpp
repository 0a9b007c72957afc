#pragma once

#include <cstdint>
#include <vector>

#include "reference/quest.hpp"
#include "support/problem_case.hpp"

namespace support {

/// A problem whose page bounds come from the oracle: a selector can be judged without trusting a store.
template <class T>
class BoundsCase {
 public:
  BoundsCase(reference::Inputs const& in, std::int64_t page_tokens, Layout layout = {})
      : case_(in, layout), page_tokens_(page_tokens) {
    for (std::int64_t head = 0; head < in.heads_kv; ++head) {
      for (std::int64_t page = 0; page < pages(); ++page) {
        auto const bounds = reference::page_bounds(in, head, page, page_tokens);
        for (double x : bounds.low) bounds_.push_back(stored<T>(x));
        for (double x : bounds.high) bounds_.push_back(stored<T>(x));
      }
    }
    case_.kv().bounds = lacuna::dense_view<T const, 4>(bounds_.data(), {in.heads_kv, pages(), 2, in.dim});
    case_.kv().bounds_page_tokens = page_tokens;
  }
  BoundsCase(BoundsCase const&) = delete;
  BoundsCase& operator=(BoundsCase const&) = delete;

  std::int64_t pages() const { return (case_.inputs().len_k + page_tokens_ - 1) / page_tokens_; }
  lacuna::Problem<T> problem() const { return case_.problem(); }
  ProblemCase<T>& problem_case() { return case_; }

 private:
  ProblemCase<T> case_;
  std::int64_t page_tokens_;
  std::vector<T> bounds_;
};

}  // namespace support
