#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "lacuna/methods/pipeline.hpp"
#include "reference/attention.hpp"
#include "support/batch_fetch.hpp"
#include "support/cache_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/device.hpp"
#include "support/method_run.hpp"

namespace support {

/// Sizes of a batch that is decoded. Every sequence has the heads and the dim of the first.
struct StepSizes {
  std::int64_t held;    // tokens that a head may come to hold
  std::int64_t prompt;  // tokens of the longest prompt
  std::int64_t page_tokens = 16;
  std::int64_t bounds_page_tokens = 0;
  std::int64_t pool_pages = 0;  // 0: enough
};

/// Sequences that are decoded by one Pipeline on the device: prompts by plain calls, steps by one captured graph. Each
/// answer is held against attention in double over what should be held, and each choice against the CPU's for the same
/// tokens. Where the two differ, because scores are sums in another order, the device's is followed.
template <class P, class Extra = std::int64_t>
class BatchSteps {
 public:
  using T = lacuna::bfloat16;
  using Ints = std::vector<std::int32_t>;
  using Cache = typename P::template BatchStore<T>;
  using Pool = lacuna::BatchPagePool<T>;
  static constexpr bool prompt_evicts = !std::is_same_v<typename decltype(P::prompt_end)::Index, lacuna::DenseIndex>;
  static constexpr bool step_evicts = decltype(P::step)::moment == lacuna::Moment::evict_each_step;
  static constexpr bool step_reads_pages = std::is_same_v<typename decltype(P::step)::Index, lacuna::PageIndex>;

  BatchSteps(P const& method, std::vector<reference::Inputs> all, StepSizes const& sizes, Extra const& extra)
      : cpu_method(method),
        method_(method),
        all_(std::move(all)),
        sizes_(sizes),
        batch_(static_cast<std::int64_t>(all_.size())),
        heads_kv_(all_[0].heads_kv),
        heads_q_(all_[0].heads_q),
        dim_(all_[0].dim),
        pool_pages_(sizes.pool_pages > 0
                        ? sizes.pool_pages
                        : batch_ * heads_kv_ * ((sizes.held + sizes.page_tokens - 1) / sizes.page_tokens)),
        pool_memory_(Pool::bytes(pool_pages_, sizes.page_tokens, dim_)),
        pool_(pool_memory_.data(), pool_pages_, sizes.page_tokens, dim_),
        cache_memory_(Cache::bytes(pool_, batch_, sizes.held, heads_kv_, extra)),
        cache_(pool_, cache_memory_.data(), batch_, sizes.held, heads_kv_, extra),
        q_(count(batch_ * sizes.prompt * heads_q_ * dim_)),
        k_(count(batch_ * sizes.prompt * heads_kv_ * dim_)),
        v_(k_.size()),
        out_(q_.size()),
        lse_(count(batch_ * sizes.prompt * heads_q_)),
        cu_(count(batch_ + 1)),
        ended_(std::vector<std::uint8_t>(count(batch_), 0)),
        end_(count(batch_)),
        held_(count(batch_ * heads_kv_)) {
    lacuna::Cuda const exec{stream_};
    auto const plan = method_.plan(exec, shape(sizes_.prompt), shape(1));
    CAPTURE(plan.status().message);
    REQUIRE(plan);
    index_memory_ = std::make_unique<DeviceArray<std::byte>>(plan->index_bytes);
    scratch_ = std::make_unique<DeviceMemory>(plan->workspace_bytes);
    lacuna::Workspace space(index_memory_->data(), index_memory_->size());
    indices_ = method_.make_indices(shape(sizes_.prompt), shape(1), space);
    REQUIRE(pool_.reset(exec));
    REQUIRE(cache_.reset(exec));
    stream_.wait();
    if constexpr (kHasTwin)
      for (std::int64_t b = 0; b < batch_; ++b)
        twins_.push_back(std::make_unique<CacheCase<T, P::template Store>>(
            heads_kv_, dim_, sizes_.held, sizes_.page_tokens, sizes_.bounds_page_tokens));
  }
  ~BatchSteps() {
    if (graph_ != nullptr) cudaGraphExecDestroy(graph_);
  }

  /// What the CPU chooses by: the same, unless a parameter of the method is an array of the device.
  P cpu_method;
  /// Called after tokens were appended: for stores that forget by a rule of their own.
  void (*after_append)(BatchSteps&, std::size_t b) = nullptr;

  std::int64_t batch() const { return batch_; }
  std::int64_t end(std::size_t b) const { return end_[b]; }
  std::vector<std::int64_t> const& held(std::size_t b, std::int64_t head) const {
    return held_[b * count(heads_kv_) + count(head)];
  }
  std::vector<std::int64_t>& held(std::size_t b, std::int64_t head) {
    return held_[b * count(heads_kv_) + count(head)];
  }
  Cache const& cache() const { return cache_; }
  std::int64_t choices() const { return choices_; }
  std::int64_t apart() const { return apart_; }
  std::int64_t nodes() const { return nodes_; }

  /// The next tokens of each sequence, all of them queries: prompts, which may be of any length.
  void prompt(Ints const& news) {
    hand_over(news);
    enqueue(true);
    check(news, true);
  }
  /// At most one token of each sequence; those that ended begin again first.
  void step(Ints const& news, std::vector<std::uint8_t> const& ended = {}) {
    if (!ended.empty()) {
      ended_.upload(ended);
      for (std::size_t b = 0; b < count(batch_); ++b)
        if (ended[b] != 0) forget_all(b);
    }
    hand_over(news);
    if (graph_ == nullptr) capture();
    cuda_check(cudaGraphLaunch(graph_, stream_));
    check(news, false);
    if (!ended.empty()) ended_.upload(std::vector<std::uint8_t>(count(batch_), 0));
  }

 private:
  static constexpr bool kHasTwin = std::is_same_v<Extra, std::int64_t>;
  static std::size_t count(std::int64_t n) { return static_cast<std::size_t>(n); }

  lacuna::BatchShape shape(std::int64_t len_q) const {
    return {batch_, batch_ * len_q, {len_q, sizes_.held, heads_q_, heads_kv_, dim_}};
  }

  void forget_all(std::size_t b) {
    end_[b] = 0;
    for (std::int64_t head = 0; head < heads_kv_; ++head) held(b, head).clear();
    if constexpr (kHasTwin) twins_[b]->store().clear();
  }

  void hand_over(Ints const& news) {
    std::vector<T> q(q_.size(), poison<T>()), k(k_.size(), poison<T>()), v(k);
    Ints cu{0};
    for (std::size_t b = 0; b < count(batch_); ++b) {
      for (std::int64_t i = 0; i < news[b]; ++i) {
        std::size_t const row = count(cu.back() + i);
        for (std::size_t e = 0; e < count(heads_q_ * dim_); ++e)
          q[row * count(heads_q_ * dim_) + e] = stored<T>(all_[b].query(end_[b] + i, 0)[e]);
        for (std::size_t e = 0; e < count(heads_kv_ * dim_); ++e) {
          k[row * count(heads_kv_ * dim_) + e] = stored<T>(all_[b].key(end_[b] + i, 0)[e]);
          v[row * count(heads_kv_ * dim_) + e] = stored<T>(all_[b].value(end_[b] + i, 0)[e]);
        }
      }
      cu.push_back(cu.back() + news[b]);
    }
    q_.upload(q);
    k_.upload(k);
    v_.upload(v);
    cu_.upload(cu);
    out_.poison();
    lse_.poison();
  }

  /// Ends, new tokens, and the pipeline's call.
  void enqueue(bool prompt) {
    std::int64_t const most = prompt ? sizes_.prompt : 1, rows = batch_ * most;
    lacuna::Cuda const exec{stream_};
    lacuna::NewTokens<T> const fresh{lacuna::dense_view<T const, 3>(k_.data(), {rows, heads_kv_, dim_}),
                                     lacuna::dense_view<T const, 3>(v_.data(), {rows, heads_kv_, dim_}), cu_.data(),
                                     most};
    lacuna::BatchProblem<T> problem;
    problem.q = lacuna::dense_view<T const, 3>(q_.data(), {rows, heads_q_, dim_});
    problem.cu_len_q = cu_.data();
    problem.batch = batch_;
    problem.max_len_q = most;
    problem.max_len_k = sizes_.held;
    lacuna::AttentionOut<T> const out{lacuna::dense_view<T, 3>(out_.data(), {rows, heads_q_, dim_}),
                                      lacuna::dense_view<float, 2>(lse_.data(), {rows, heads_q_})};
    lacuna::Status s = cache_.end(exec, ended_.data());
    if (s) s = cache_.append(exec, fresh);
    if (s)
      s = prompt ? method_.run_prompt(exec, problem, cache_, scratch_->workspace(), indices_, out)
                 : method_.run_step(exec, problem, cache_, scratch_->workspace(), indices_, out);
    CAPTURE(prompt, s.message, s.value, s.bound);
    REQUIRE(s);
  }

  void capture() {
    cudaGraph_t captured;
    cuda_check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    enqueue(false);
    cuda_check(cudaStreamEndCapture(stream_, &captured));
    std::size_t nodes = 0;
    cuda_check(cudaGraphGetNodes(captured, nullptr, &nodes));
    nodes_ = static_cast<std::int64_t>(nodes);
    cuda_check(cudaGraphInstantiate(&graph_, captured, 0));
    cuda_check(cudaGraphDestroy(captured));
  }

  /// Answers of one sequence as explain_answer takes them.
  struct Answer {
    using Element = T;
    reference::Inputs const& in;
    std::vector<T> const& out;
    std::vector<float> const& lse;
    std::int64_t first;
    reference::Inputs const& inputs() const { return in; }
    double out_at(std::int64_t row, std::int64_t head, std::int64_t x) const {
      return lacuna::to_float(out[count(((first + row) * in.heads_q + head) * in.dim + x)]);
    }
    double lse_at(std::int64_t row, std::int64_t head) const { return lse[count((first + row) * in.heads_q + head)]; }
  };

  void check(Ints const& news, bool prompt) {
    stream_.wait();
    REQUIRE(scratch_->guards_untouched());
    REQUIRE(index_memory_->guards_untouched());
    REQUIRE(pool_memory_.guards_untouched());
    REQUIRE(cache_memory_.guards_untouched());
    auto const out = out_.download();
    auto const lse = lse_.download();
    std::int64_t first = 0;
    for (std::size_t b = 0; b < count(batch_); first += news[b], ++b) {
      CAPTURE(b, news[b], end_[b]);
      if (news[b] == 0) continue;
      if constexpr (kHasTwin) REQUIRE(std::string(twins_[b]->append(all_[b], end_[b], end_[b] + news[b])) == "");
      for (std::int64_t i = 0; i < news[b]; ++i)
        for (std::int64_t head = 0; head < heads_kv_; ++head) held(b, head).push_back(end_[b] + i);
      if (after_append != nullptr) after_append(*this, b);
      end_[b] += news[b];
      auto const rows = rows_of(all_[b], end_[b] - news[b], end_[b], end_[b]);
      ProblemCase<T> one(rows);
      auto problem = one.problem();
      if constexpr (kHasTwin) {
        problem.kv = twins_[b]->store().view();
        if constexpr (prompt_evicts)
          if (prompt) follow(cpu_method.prompt_end, indices_.prompt_end, problem, b);
        if constexpr (step_evicts) follow(cpu_method.step, indices_.step, problem, b);
        if constexpr (step_reads_pages)
          if (!prompt) follow(cpu_method.step, indices_.step, problem, b);
      }
      auto const exact = reference::attend(rows, [&](std::int64_t head, std::int64_t row) {
        reference::Keys keys;
        std::int64_t const head_kv = rows.head_kv(head);
        auto const& of_head = held(b, head_kv);
        for (std::size_t t = 0; t < of_head.size(); ++t) {
          bool read = of_head[t] <= rows.position(row);
          if constexpr (step_reads_pages) read = read && (prompt || reads(b, head, static_cast<std::int64_t>(t)));
          if (read) keys.push_back(of_head[t]);
        }
        return keys;
      });
      REQUIRE(explain_answer(Answer{rows, out, lse, first}, exact) == "");
      if constexpr (prompt_evicts)
        if (prompt) evict(b);
      if constexpr (step_evicts) evict(b);
    }
    lengths_are_right();
  }

  /// The device's choice of one sequence against the CPU's, which then follows it.
  template <class M, class Problem>
  void follow(M const& method, typename M::Index const& device, Problem const& problem, std::size_t b) {
    bool constexpr pages = std::is_same_v<typename M::Index, lacuna::PageIndex>;
    auto const& ids = [&]() -> auto const& {
      if constexpr (pages)
        return device.pages;
      else
        return device.tokens;
    }
    ();
    std::int64_t const heads = ids.extent(0) / batch_, room = ids.extent(1);
    auto const all_ids = fetched(ids), all_counts = fetched(device.counts);
    Ints own(all_ids.begin() + static_cast<std::ptrdiff_t>(b) * heads * room,
             all_ids.begin() + static_cast<std::ptrdiff_t>(b + 1) * heads * room),
        counts(all_counts.begin() + static_cast<std::ptrdiff_t>(b) * heads,
               all_counts.begin() + static_cast<std::ptrdiff_t>(b + 1) * heads),
        lens(count(heads));
    MethodRun<M> twin(method, problem);
    REQUIRE(twin.select(problem) == "");
    picked_.assign(count(heads), {});
    for (std::int64_t row = 0; row < heads; ++row) {
      lens[count(row)] = static_cast<std::int32_t>(problem.kv.length(row * heads_kv_ / heads));
      picked_[count(row)].assign(own.begin() + row * room, own.begin() + row * room + counts[count(row)]);
      auto const& of_cpu = twin.index();
      Ints expected;
      for (std::int64_t i = 0; i < of_cpu.counts(row); ++i) {
        if constexpr (pages)
          expected.push_back(of_cpu.pages(row, i));
        else
          expected.push_back(of_cpu.tokens(row, i));
      }
      Ints apart;
      std::set_symmetric_difference(expected.begin(), expected.end(), picked_[count(row)].begin(),
                                    picked_[count(row)].end(), std::back_inserter(apart));
      ++choices_;
      if (!apart.empty()) ++apart_;
      CAPTURE(row, apart, expected, picked_[count(row)]);
      REQUIRE(apart.size() <= 2);
    }
    if constexpr (!pages) {
      lacuna::TokenIndex const followed{lacuna::dense_view<std::int32_t, 2>(own.data(), {heads, room}),
                                        lacuna::dense_view<std::int32_t, 1>(counts.data(), {heads}),
                                        lacuna::dense_view<std::int32_t, 1>(lens.data(), {heads})};
      REQUIRE(std::string(twins_[b]->store().retain(lacuna::Cpu{}, followed).message) == "");
    }
  }
  bool reads(std::size_t, std::int64_t head, std::int64_t place) const {
    auto const& pages = picked_[count(head * static_cast<std::int64_t>(picked_.size()) / heads_q_)];
    return std::binary_search(pages.begin(), pages.end(), static_cast<std::int32_t>(place / sizes_.bounds_page_tokens));
  }
  void evict(std::size_t b) {
    for (std::int64_t head = 0; head < heads_kv_; ++head) {
      std::vector<std::int64_t> left;
      for (std::int32_t place : picked_[count(head)]) left.push_back(held(b, head)[count(place)]);
      held(b, head) = left;
    }
  }
  void lengths_are_right() const {
    auto const lens = fetched(cache_.view().lens);
    std::int64_t pages = 0;
    for (std::size_t row = 0; row < held_.size(); ++row) {
      CAPTURE(row);
      REQUIRE(lens[row] == static_cast<std::int32_t>(held_[row].size()));
      pages += (lens[row] + sizes_.page_tokens - 1) / sizes_.page_tokens;
    }
    std::int32_t free = 0;
    cuda_check(cudaMemcpy(&free, pool_.free().count, sizeof free, cudaMemcpyDeviceToHost));
    REQUIRE(free == pool_pages_ - pages);
    REQUIRE(fetched(cache_.refused()) == Ints(count(batch_), 0));
  }

 private:
  P method_;
  std::vector<reference::Inputs> all_;
  StepSizes sizes_;
  std::int64_t batch_, heads_kv_, heads_q_, dim_, pool_pages_;
  DeviceArray<std::byte> pool_memory_;
  Pool pool_;
  DeviceArray<std::byte> cache_memory_;
  Cache cache_;
  DeviceArray<T> q_, k_, v_, out_;
  DeviceArray<float> lse_;
  DeviceArray<std::int32_t> cu_;
  DeviceArray<std::uint8_t> ended_;
  std::unique_ptr<DeviceArray<std::byte>> index_memory_;
  std::unique_ptr<DeviceMemory> scratch_;
  typename P::Indices indices_;
  std::vector<std::unique_ptr<CacheCase<T, P::template Store>>> twins_;
  std::vector<std::int64_t> end_;
  std::vector<std::vector<std::int64_t>> held_;
  std::vector<Ints> picked_;
  Stream stream_;
  cudaGraphExec_t graph_ = nullptr;
  std::int64_t choices_ = 0, apart_ = 0, nodes_ = 0;
};

}  // namespace support
