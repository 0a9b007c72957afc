#include "lacuna/kernels/gather_kv.hpp"

#include <numeric>
#include <vector>

#include "lacuna/kernels/attend_tokens.hpp"
#include "reference/attention.hpp"
#include "support/batch_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/inputs.hpp"
#include "support/random.hpp"

namespace gather_kv_test {

using T = lacuna::bfloat16;
using support::Data;

/// A batch, the tokens that each head keeps, and attention over what is kept by the oracle.
struct Eviction {
  static constexpr std::int64_t heads_kv = 2, dim = 64, batch = 3, room = 1500;
  std::vector<reference::Inputs> inputs;
  std::vector<std::vector<std::int64_t>> kept;
  std::vector<std::int32_t> counts;
  support::DeviceArray<std::int32_t> d_tokens, d_counts;

  explicit Eviction(double share)
      : inputs(make()), kept(choose(inputs, share)), counts(count(kept)), d_tokens(table(kept)), d_counts(counts) {}
  static std::vector<reference::Inputs> make() {
    std::vector<reference::Inputs> all;
    for (std::int64_t len : {1500, 64, 1})
      all.push_back(support::make_inputs<T>({1, len, heads_kv, 4, dim}, Data::random, 7));
    return all;
  }
  static std::vector<std::vector<std::int64_t>> choose(std::vector<reference::Inputs> const& inputs, double share) {
    support::Random random(11);
    std::vector<std::vector<std::int64_t>> kept;
    for (auto const& in : inputs)
      for (std::int64_t h = 0; h < heads_kv; ++h) kept.push_back(random.subset(in.len_k, h == 0 ? share : share / 3));
    return kept;
  }
  static std::vector<std::int32_t> count(std::vector<std::vector<std::int64_t>> const& kept) {
    std::vector<std::int32_t> counts;
    for (auto const& row : kept) counts.push_back(static_cast<std::int32_t>(row.size()));
    return counts;
  }
  static std::vector<std::int32_t> table(std::vector<std::vector<std::int64_t>> const& kept) {
    std::vector<std::int32_t> ids(kept.size() * room, 1 << 30);
    for (std::size_t row = 0; row < kept.size(); ++row)
      for (std::size_t i = 0; i < kept[row].size(); ++i) ids[row * room + i] = static_cast<std::int32_t>(kept[row][i]);
    return ids;
  }
  lacuna::TokenIndex index() const {
    return {lacuna::dense_view<std::int32_t, 2>(d_tokens.data(), {batch * heads_kv, room}),
            lacuna::dense_view<std::int32_t, 1>(d_counts.data(), {batch * heads_kv}),
            {}};
  }
  void check(support::BatchCase<T>& c) {
    c.fetch();
    for (std::size_t b = 0; b < inputs.size(); ++b) {
      auto const exact = reference::attend(inputs[b], [&](std::int64_t head, std::int64_t) {
        return kept[b * heads_kv + static_cast<std::size_t>(inputs[b].head_kv(head))];
      });
      CAPTURE(b);
      REQUIRE(support::explain_answer(c.answer(b), exact) == "");
    }
  }
};

void attend(support::BatchCase<T>& c, lacuna::BatchProblem<T> const& problem, lacuna::TokenIndex const* index) {
  support::Stream stream;
  lacuna::Workspace bytes;
  lacuna::reserve_attend_tokens(lacuna::Cuda{stream}, lacuna::shape_of(problem), bytes);
  support::DeviceMemory scratch(bytes.used_bytes());
  c.poison_answers();
  if (index != nullptr) {
    lacuna::AttendTokensBatchArgs<T> const args{problem, *index, c.out(), scratch.workspace()};
    REQUIRE(std::string(lacuna::attend_tokens(lacuna::Cuda{stream}, args).message) == "");
  } else {
    lacuna::AttendPagesBatchArgs<T> const args{problem, {}, c.out(), scratch.workspace()};
    REQUIRE(std::string(lacuna::attend_pages(lacuna::Cuda{stream}, args).message) == "");
  }
  stream.wait();
}

TEST_CASE("cuda attend tokens: the kept tokens of every head, wherever they lie", "[cuda]") {
  for (std::int64_t page : {0, 16, 64}) {
    Eviction e(0.3);
    support::BatchCase<T> c(e.inputs, {false, 0, page});
    auto const index = e.index();
    attend(c, c.problem(), &index);
    e.check(c);
  }
}

TEST_CASE("cuda gather kv: attention over what was moved is attention over what was kept", "[cuda]") {
  for (std::int64_t page : {0, 16})
    for (double share : {0.1, 0.9, 1.0})
      for (bool in_place : {false, true}) {
        CAPTURE(page, share, in_place);
        Eviction e(share);
        support::BatchCase<T> c(e.inputs, {false, 0, page});
        auto problem = c.problem();
        problem.max_len_k = 1504;
        // Elsewhere: dense rows of every head, [batch, heads, room, dim].
        support::DeviceArray<T> to_k(std::size_t{3 * 2 * 1500 * 64}), to_v(to_k.size());
        support::DeviceArray<std::int32_t> lens(std::vector<std::int32_t>{1500, 1500, 64, 64, 1, 1}),
            first(std::vector<std::int32_t>{0, 3000, 6000}), freed(std::size_t{6});
        problem.kv.lens = lacuna::dense_view<std::int32_t const, 2>(lens.data(), {3, 2});
        lacuna::GatherKvBatchArgs<T> args;
        args.from = args.to = problem.kv;
        if (!in_place) {
          args.to.k = to_k.data();
          args.to.v = to_v.data();
          args.to.page_table = {};
          args.to.page_tokens = 0;
          args.to.stride_page = 0;
          args.to.first_token = first.data();
          args.to.stride_token = 64;
          args.to.stride_head = 1500 * 64;
        }
        args.to_k = const_cast<T*>(args.to.k);
        args.to_v = const_cast<T*>(args.to.v);
        args.batch = 3;
        args.index = e.index();
        args.lens = lacuna::dense_view<std::int32_t, 2>(lens.data(), {3, 2});
        if (page > 0) args.freed_pages = lacuna::dense_view<std::int32_t, 2>(freed.data(), {3, 2});
        support::Stream stream;
        REQUIRE(std::string(lacuna::gather_kv(lacuna::Cuda{stream}, args).message) == "");
        stream.wait();
        REQUIRE(lens.download() == e.counts);
        if (page > 0) {
          std::vector<std::int32_t> expected;
          std::int32_t const before[] = {1500, 1500, 64, 64, 1, 1};
          for (std::size_t row = 0; row < 6; ++row)
            expected.push_back((before[row] + 15) / 16 - (e.counts[row] + 15) / 16);
          REQUIRE(freed.download() == expected);
        }
        problem.kv.k = args.to.k;
        problem.kv.v = args.to.v;
        if (!in_place) {
          problem.kv = args.to;
          problem.kv.lens = lacuna::dense_view<std::int32_t const, 2>(lens.data(), {3, 2});
        }
        attend(c, problem, nullptr);
        e.check(c);
        REQUIRE(to_k.guards_untouched());
        REQUIRE(to_v.guards_untouched());
      }
}

}  // namespace gather_kv_test
