#pragma once

#include <atomic>
#include <cstdint>
#include <stop_token>
#include <thread>
#include <vector>

#include "lacuna/core/exec.hpp"

namespace lacuna {

/// A fixed set of threads behind a Cpu. The calling thread takes part as worker 0, so ThreadPool(1) starts no thread.
/// Allocates when built and never again; nothing else in the library does. One parallel call at a time: calls from
/// several threads, or from inside a parallel body, are not allowed. Must outlive every Cpu that exec() gave away.
class ThreadPool {  // NOLINT(clang-analyzer-optin.performance.Padding): what workers contend for has its own line
 public:
  explicit ThreadPool(int workers) : workers_(workers < 1 ? 1 : workers) {
    threads_.reserve(static_cast<std::size_t>(workers_ - 1));
    for (int worker = 1; worker < workers_; ++worker)
      threads_.emplace_back([this, worker](std::stop_token const& stop) { serve(stop, worker); });
  }

  ~ThreadPool() {
    for (std::jthread& thread : threads_) thread.request_stop();
    call_.fetch_add(1, std::memory_order_release);
    call_.notify_all();
    threads_.clear();  // joins, while what they read is still there
  }

  ThreadPool(ThreadPool const&) = delete;
  ThreadPool& operator=(ThreadPool const&) = delete;

  Cpu exec() { return {&ThreadPool::parallel_for, this, workers_}; }

 private:
  static void parallel_for(void* pool, std::int64_t items, void* context, Cpu::Body body) {
    static_cast<ThreadPool*>(pool)->run(items, context, body);
  }

  void run(std::int64_t items, void* context, Cpu::Body body) {
    items_ = items;
    context_ = context;
    body_ = body;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(workers_ - 1, std::memory_order_relaxed);
    call_.fetch_add(1, std::memory_order_release);
    call_.notify_all();
    drain(0);
    for (int busy = busy_.load(std::memory_order_acquire); busy != 0; busy = busy_.load(std::memory_order_acquire))
      busy_.wait(busy, std::memory_order_acquire);
  }

  void drain(int worker) {
    for (std::int64_t item = next_.fetch_add(1, std::memory_order_relaxed); item < items_;
         item = next_.fetch_add(1, std::memory_order_relaxed))
      body_(context_, item, worker);
  }

  void serve(std::stop_token const& stop, int worker) {
    for (std::uint32_t seen = 0;;) {
      call_.wait(seen, std::memory_order_acquire);
      // One call at a time: the caller waits for every worker, so the counter can only be one ahead of what was seen.
      ++seen;
      if (stop.stop_requested()) return;
      drain(worker);
      if (busy_.fetch_sub(1, std::memory_order_release) == 1) busy_.notify_one();
    }
  }

  int const workers_;
  std::int64_t items_ = 0;
  void* context_ = nullptr;
  Cpu::Body body_ = nullptr;
  alignas(64) std::atomic<std::int64_t> next_{0};  // apart from what only changes once per call
  alignas(64) std::atomic<std::uint32_t> call_{0};
  std::atomic<int> busy_{0};
  std::vector<std::jthread> threads_;  // last: joined before what they read is gone
};

}  // namespace lacuna
