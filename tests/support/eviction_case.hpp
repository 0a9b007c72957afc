#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lacuna/methods/method.hpp"
#include "reference/attention.hpp"
#include "reference/eviction.hpp"
#include "support/cache_case.hpp"
#include "support/compare.hpp"
#include "support/index_case.hpp"
#include "support/method_run.hpp"

namespace support {

/// A sequence that is decoded with eviction, beside a list of what each head should still hold.
template <class M, class T>
class EvictionCase {
 public:
  EvictionCase(M const& method, reference::Inputs const& all, std::int64_t most_held, std::int64_t most_queries,
               std::int64_t page_tokens, std::int64_t pool_pages = 0, lacuna::Cpu exec = {})
      : all_(all),
        exec_(exec),
        cache_(all.heads_kv, all.dim, most_held, page_tokens, 0, pool_pages),
        run_(method, {most_queries, most_held, all.heads_q, all.heads_kv, all.dim}, exec),
        held_(static_cast<std::size_t>(all.heads_kv)) {}

  /// Empty, or why the tokens did not fit.
  std::string append(std::int64_t tokens) {
    std::string const complaint = cache_.append(all_, end_, end_ + tokens, exec_);
    if (!complaint.empty()) return complaint;
    for (std::int64_t token = end_; token < end_ + tokens; ++token)
      for (auto& units : held_) units.push_back(token);
    end_ += tokens;
    return "";
  }

  /// Runs the method for the newest `queries` tokens; checks the answer of the last one against what is held.
  std::string run(std::int64_t queries = 1) {
    auto const rows = rows_of(all_, end_ - queries, end_, end_);
    ProblemCase<T> c(rows);
    auto problem = c.problem();
    problem.kv = cache_.store().view();
    std::string const complaint = run_.run(problem, c.out());
    if (!complaint.empty()) return complaint;
    auto const exact = reference::attend(rows, [&](std::int64_t head, std::int64_t row) {
      reference::Keys keys;
      for (std::int64_t token : held_[static_cast<std::size_t>(rows.head_kv(head))])
        if (token <= rows.position(row)) keys.push_back(token);
      return keys;
    });
    return explain_answer(c, exact);
  }

  /// The places, among those that a head holds, of what it keeps.
  reference::Units kept(std::int64_t head) const {
    return units_of(run_.index().tokens, head, run_.index().counts(head));
  }

  /// Tells the store, and checks what it holds afterwards.
  std::string retain() {
    lacuna::Status const status = cache_.store().retain(exec_, run_.index());
    if (!status) return status.message;
    for (std::size_t head = 0; head < held_.size(); ++head) {
      reference::Units left;
      for (std::int64_t place : kept(static_cast<std::int64_t>(head)))
        left.push_back(held_[head][static_cast<std::size_t>(place)]);
      held_[head] = left;
      std::string const wrong =
          explain_tokens(cache_.store().view(), static_cast<std::int64_t>(head), all_, held_[head]);
      if (!wrong.empty()) return wrong;
    }
    return cache_.guards_untouched() ? "" : "wrote past the memory of the cache";
  }

  /// Pages that the held tokens need.
  std::int64_t pages_in_use() const {
    std::int64_t pages = 0;
    for (auto const& units : held_)
      pages +=
          (static_cast<std::int64_t>(units.size()) + cache_.pool().page_tokens() - 1) / cache_.pool().page_tokens();
    return pages;
  }

  lacuna::TokenIndex const& index() const { return run_.index(); }
  std::vector<reference::Units> const& held() const { return held_; }
  lacuna::PagePool<T> const& pool() const { return cache_.pool(); }
  std::int64_t end() const { return end_; }
  auto& store() { return cache_.store(); }

 private:
  template <class U>
  using Store = typename M::template Store<U>;
  reference::Inputs const& all_;
  lacuna::Cpu exec_;
  CacheCase<T, Store> cache_;
  MethodRun<M> run_;
  std::vector<reference::Units> held_;
  std::int64_t end_ = 0;
};

}  // namespace support
