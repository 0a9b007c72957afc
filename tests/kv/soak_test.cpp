#include <algorithm>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "lacuna/kv/accumulating.hpp"
#include "lacuna/kv/evicting.hpp"
#include "lacuna/kv/paged.hpp"
#include "lacuna/kv/streaming.hpp"
#include "lacuna/methods/dense.hpp"
#include "lacuna/methods/quest.hpp"
#include "reference/quest.hpp"
#include "support/cache_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/index_case.hpp"
#include "support/method_run.hpp"
#include "support/random.hpp"

namespace {

using reference::Units;
using Pool = lacuna::PagePool<float>;

constexpr std::int64_t kHeads = 2, kGroup = 2, kDim = 8, kPage = 4, kSource = 600;

/// One sequence in a cache, beside a list of what each head should hold. Its tokens are drawn from a source of kSource,
/// again and again.
class Sequence {
 public:
  explicit Sequence(std::uint64_t seed)
      : in_(support::make_inputs<float>({kSource, kSource, kHeads, kGroup, kDim}, support::Data::random, seed)),
        held_(kHeads) {}
  virtual ~Sequence() = default;
  Sequence(Sequence const&) = delete;
  Sequence& operator=(Sequence const&) = delete;

  virtual lacuna::Status append(support::RowsCase<float> const& rows) = 0;
  virtual lacuna::KvView<float> view() const = 0;
  virtual void clear() = 0;
  /// What the store forgets by itself when tokens come.
  virtual void keep_rule() {}
  virtual void evict(support::Random&) {}
  virtual std::int64_t most_held() const = 0;
  virtual bool guards_untouched() const = 0;

  /// Some tokens more, or, when there is no room for them, a Status and nothing.
  void grow(Pool const& pool, std::int64_t tokens) {
    std::int64_t const first = seen_ % kSource;
    tokens = std::min(tokens, kSource - first);
    std::vector<Units> const before = held_;
    for (Units& units : held_)
      for (std::int64_t t = 0; t < tokens; ++t) units.push_back(first + t);
    seen_ += tokens;
    keep_rule();
    std::int64_t wanted = 0;
    bool fits = true;
    for (std::size_t h = 0; h < held_.size(); ++h) {
      wanted += pages_of(held_[h]) - pages_of(before[h]);
      fits = fits && static_cast<std::int64_t>(held_[h].size()) <= most_held();
    }
    fits = fits && wanted <= pool.free_pages();
    lacuna::Status const s = append(support::RowsCase<float>(in_, first, first + tokens));
    REQUIRE(static_cast<bool>(s) == fits);
    if (fits) return;
    ++refused;
    REQUIRE(s.code == lacuna::Errc::out_of_pages);
    held_ = before;
    seen_ -= tokens;
  }

  void end() {
    clear();
    for (Units& units : held_) units.clear();
    seen_ = 0;
  }

  std::int64_t pages() const {
    return std::accumulate(held_.begin(), held_.end(), std::int64_t{0},
                           [](std::int64_t sum, Units const& units) { return sum + pages_of(units); });
  }

  /// Every token is where it should be, and nothing else; every page's bounds are those of its keys.
  void check() const {
    lacuna::KvView<float> const kv = view();
    for (std::int64_t head = 0; head < kHeads; ++head) {
      Units const& units = held_[static_cast<std::size_t>(head)];
      REQUIRE(support::explain_tokens(kv, head, in_, units) == "");
      if (kv.bounds.data == nullptr) continue;
      auto const own = keys_of(head);
      for (std::int64_t page = 0; page < pages_of(units); ++page) {
        auto const bounds = reference::page_bounds(own, 0, page, kPage);
        for (std::int64_t x = 0; x < kDim; ++x) {
          REQUIRE(kv.bounds(head, page, 0, x) == static_cast<float>(bounds.low[static_cast<std::size_t>(x)]));
          REQUIRE(kv.bounds(head, page, 1, x) == static_cast<float>(bounds.high[static_cast<std::size_t>(x)]));
        }
      }
    }
  }

  /// One query over everything that is held, and one over the pages that Quest picks.
  void attend(support::Random& random) const {
    if (std::any_of(held_.begin(), held_.end(), [](Units const& units) { return units.empty(); })) return;
    std::int64_t const row = random.below(kSource);
    auto const rows = support::rows_of(in_, row, row + 1, kSource);
    support::ProblemCase<float> c(rows);
    auto problem = c.problem();
    problem.kv = view();
    std::int64_t longest = 0;
    for (Units const& units : held_) longest = std::max(longest, static_cast<std::int64_t>(units.size()));
    support::MethodRun<lacuna::Dense> dense({}, {1, longest, kHeads * kGroup, kHeads, kDim}, {});
    REQUIRE(dense.run(problem, c.out()) == "");
    auto const all = [&](std::int64_t head, std::int64_t) { return held_[static_cast<std::size_t>(head / kGroup)]; };
    REQUIRE(support::explain_answer(c, reference::attend(rows, all)) == "");
    if (problem.kv.bounds.data == nullptr) return;

    std::int64_t const budget = 1 + random.below(5);
    support::MethodRun<lacuna::QuestOf<kPage>> quest({.budget = {.tokens = budget * kPage}}, problem);
    REQUIRE(quest.run(problem, c.out()) == "");
    for (std::int64_t head = 0; head < kHeads; ++head) {
      auto own = keys_of(head);
      own.len_q = 1;
      own.q.assign(rows.query(0, head * kGroup), rows.query(0, head * kGroup) + kGroup * kDim);
      auto const scores = reference::quest_shared_scores(own, 0, kPage);
      Units picked = support::units_of(quest.index().pages, head, quest.index().counts(head));
      REQUIRE(picked.back() == static_cast<std::int64_t>(scores.size()));
      picked.pop_back();
      REQUIRE(reference::explain_selection(picked, scores, {}, budget,
                                           1e-5 * reference::cut_magnitude(scores, {}, budget) + 1e-5) == "");
    }
    auto const read = [&](std::int64_t head, std::int64_t) {
      reference::Keys keys;
      Units const& units = held_[static_cast<std::size_t>(head / kGroup)];
      for (std::int64_t i = 0; i < quest.index().counts(head / kGroup); ++i) {
        std::int64_t const page = quest.index().pages(head / kGroup, i);
        for (std::int64_t t = page * kPage; t < std::min<std::int64_t>((page + 1) * kPage, std::ssize(units)); ++t)
          keys.push_back(units[static_cast<std::size_t>(t)]);
      }
      return keys;
    };
    REQUIRE(support::explain_answer(c, reference::attend(rows, read)) == "");
  }

  std::int64_t refused = 0;

 protected:
  static std::int64_t pages_of(Units const& units) { return (std::ssize(units) + kPage - 1) / kPage; }

  /// The keys that a head holds, as a problem of its own.
  reference::Inputs keys_of(std::int64_t head) const {
    Units const& units = held_[static_cast<std::size_t>(head)];
    reference::Inputs own{};
    own.len_k = std::ssize(units);
    own.heads_q = kGroup;
    own.heads_kv = 1;
    own.dim = kDim;
    for (std::int64_t unit : units) own.k.insert(own.k.end(), in_.key(unit, head), in_.key(unit, head) + kDim);
    return own;
  }

  reference::Inputs in_;
  std::vector<Units> held_;
  std::int64_t seen_ = 0;
};

constexpr std::int64_t kMost = 120;

template <template <class> class Cache>
class Cached : public Sequence {
 public:
  template <class... Rule>
  Cached(Pool& pool, std::uint64_t seed, Rule const&... rule)
      : Sequence(seed),
        memory_(Cache<float>::bytes(pool, kMost, kHeads, rule...)),
        cache_(pool, memory_.data(), kMost, kHeads, rule...) {}
  lacuna::Status append(support::RowsCase<float> const& rows) override {
    return cache_.append(lacuna::Cpu{}, rows.k(), rows.v());
  }
  lacuna::KvView<float> view() const override { return cache_.view(); }
  void clear() override { cache_.clear(); }
  std::int64_t most_held() const override { return kMost; }
  bool guards_untouched() const override { return memory_.guards_untouched(); }

 protected:
  support::GuardedMemory memory_;
  Cache<float> cache_;
};

template <template <class> class Cache>
class Evicted : public Cached<Cache> {
 public:
  using Cached<Cache>::Cached;
  /// Now and then all but a few, mostly one or two; often nothing at all, as a choice may.
  void evict(support::Random& random) override {
    double const share = random.below(3) == 0 ? random.uniform() : 0.95;
    std::vector<Units> kept, left;
    for (Units const& units : this->held_) {
      kept.push_back(random.subset(std::ssize(units), random.below(20) == 0 ? 0.0 : share));
      left.emplace_back();
      for (std::int64_t place : kept.back()) left.back().push_back(units[static_cast<std::size_t>(place)]);
    }
    support::IdTable table(kept);
    std::vector<std::int32_t> lens;
    for (Units const& units : this->held_) lens.push_back(static_cast<std::int32_t>(units.size()));
    lacuna::TokenIndex const index{table.ids(), table.counts(),
                                   lacuna::dense_view<std::int32_t, 1>(lens.data(), {kHeads})};
    REQUIRE(std::string(this->cache_.retain(lacuna::Cpu{}, index).message) == "");
    this->held_ = left;
  }
};

class Streamed : public Cached<lacuna::StreamingCache> {
 public:
  Streamed(Pool& pool, std::uint64_t seed, lacuna::StreamingRule const& rule) : Cached(pool, seed, rule), rule_(rule) {}
  void keep_rule() override {
    for (std::size_t head = 0; head < held_.size(); ++head) {
      if (rule_.streaming(static_cast<std::int64_t>(head)) == 0) continue;
      std::int64_t const ring = rule_.sink_tokens + rule_.recent_tokens;
      Units places(static_cast<std::size_t>(std::min(seen_, ring)));
      for (std::int64_t position = 0; position < seen_; ++position) {
        if (position >= rule_.sink_tokens && position < seen_ - rule_.recent_tokens) continue;
        std::int64_t const place = position < rule_.sink_tokens
                                       ? position
                                       : rule_.sink_tokens + (position - rule_.sink_tokens) % rule_.recent_tokens;
        places[static_cast<std::size_t>(place)] = position % kSource;
      }
      held_[head] = places;
    }
  }

 private:
  lacuna::StreamingRule rule_;
};

TEST_CASE("kv soak: caches of four kinds live on one pool that is nearly empty", "[kv]") {
  char const* const asked = std::getenv("LACUNA_SOAK_STEPS");  // 200000 take about half a minute
  std::int64_t const steps = asked != nullptr ? std::atoll(asked) : 6000;
  constexpr std::int64_t kPages = 150;
  support::GuardedMemory pool_memory(Pool::bytes(kPages, kPage, kDim));
  Pool pool(pool_memory.data(), kPages, kPage, kDim);
  std::uint8_t const streaming[] = {0, 1};
  lacuna::StreamingRule rule;
  rule.sink_tokens = 3;
  rule.recent_tokens = 21;
  rule.streaming = lacuna::dense_view<std::uint8_t const, 1>(streaming, {kHeads});

  std::vector<std::unique_ptr<Sequence>> sequences;
  for (std::uint64_t i = 0; i < 2; ++i) {
    sequences.push_back(std::make_unique<Cached<lacuna::PagedCache>>(pool, 10 + i, kPage));
    sequences.push_back(std::make_unique<Evicted<lacuna::EvictingCache>>(pool, 20 + i, kPage));
    sequences.push_back(std::make_unique<Evicted<lacuna::AccumulatingCache>>(pool, 30 + i));
    sequences.push_back(std::make_unique<Streamed>(pool, 40 + i, rule));
  }
  support::Random random(77);
  std::int64_t ends = 0;
  for (std::int64_t step = 0; step < steps; ++step) {
    CAPTURE(step);
    std::size_t const which = static_cast<std::size_t>(random.below(std::ssize(sequences)));
    Sequence& sequence = *sequences[which];
    CAPTURE(which);
    std::int64_t const what = random.below(100);
    if (what < 55)
      sequence.grow(pool, what < 45 ? 1 : 1 + random.below(30));
    else if (what < 80)
      sequence.attend(random);
    else if (what < 98)
      sequence.evict(random);
    else
      sequence.end(), ++ends;
    sequence.check();
    std::int64_t in_use = 0;
    for (auto const& each : sequences) in_use += each->pages();
    REQUIRE(pool.pages() - pool.free_pages() == in_use);
    if (step % 50 != 0) continue;
    for (auto const& each : sequences) {
      each->check();
      REQUIRE(each->guards_untouched());
    }
    REQUIRE(pool_memory.guards_untouched());
  }
  std::int64_t refused = 0;
  for (auto const& each : sequences) {
    refused += each->refused;
    each->end();
  }
  CHECK(refused > steps / 100);
  CHECK(ends > steps / 200);
  CHECK(pool.free_pages() == pool.pages());
}

}  // namespace
