#include "lacuna/kernels/attend_pages.hpp"

#include <optional>
#include <string>
#include <vector>

#include "reference/attention.hpp"
#include "reference/quest.hpp"
#include "support/batch_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/inputs.hpp"
#include "support/random.hpp"

namespace {

using support::Data;
using support::Sizes;

/// Lists of pages on the device for a batch, one row per KV head or query head of each sequence.
struct BatchPages {
  std::int64_t heads, page_tokens, room = 1;
  std::vector<std::vector<std::int64_t>> pages;  // [batch * heads]
  std::vector<std::int32_t> counts;
  std::optional<support::DeviceArray<std::int32_t>> d_pages, d_counts;

  BatchPages(std::vector<reference::Inputs> const& sequences, std::int64_t heads, std::int64_t page_tokens,
             std::uint64_t seed)
      : heads(heads), page_tokens(page_tokens) {
    support::Random random(seed);
    for (auto const& in : sequences)
      for (std::int64_t h = 0; h < heads; ++h) {
        std::int64_t const held = (in.len_k + page_tokens - 1) / page_tokens;
        pages.push_back(held == 0 ? std::vector<std::int64_t>{} : random.subset(held - 1, random.uniform()));
        if (held > 0) pages.back().push_back(held - 1);
        counts.push_back(static_cast<std::int32_t>(pages.back().size()));
        room = std::max<std::int64_t>(room, static_cast<std::int64_t>(pages.back().size()));
      }
    std::vector<std::int32_t> ids(pages.size() * static_cast<std::size_t>(room), -7);
    for (std::size_t row = 0; row < pages.size(); ++row)
      for (std::size_t i = 0; i < pages[row].size(); ++i)
        ids[row * static_cast<std::size_t>(room) + i] = static_cast<std::int32_t>(pages[row][i]);
    d_pages.emplace(ids);
    d_counts.emplace(counts);
  }
  lacuna::PageIndex index() const {
    auto const rows = static_cast<std::int64_t>(pages.size());
    return {lacuna::dense_view<std::int32_t, 2>(d_pages->data(), {rows, room}),
            lacuna::dense_view<std::int32_t, 1>(d_counts->data(), {rows}),
            {},
            page_tokens};
  }
  reference::Keys keys(std::size_t sequence, std::int64_t head, std::int64_t newest) const {
    reference::Keys keys;
    for (std::int64_t page : pages[sequence * static_cast<std::size_t>(heads) + static_cast<std::size_t>(head)])
      for (std::int64_t t = page * page_tokens; t < (page + 1) * page_tokens && t <= newest; ++t) keys.push_back(t);
    return keys;
  }
};

struct Variant {
  std::vector<Sizes> sequences;
  std::int64_t page_tokens = 0;  // 0: dense
  bool per_query_head = false;
  Data data = Data::random;
  support::Layout layout{};
  std::int64_t window = 0;
  double cap = 0.0;
  bool sinks = false;
};

template <class T>
std::string attend(support::BatchCase<T>& c, lacuna::BatchProblem<T> const& problem, lacuna::PageIndex const& index,
                   bool with_tickets) {
  support::Stream stream;
  lacuna::Cuda const exec{stream};
  lacuna::AttendPagesBatchArgs<T> args{problem, index, c.out(), {}};
  lacuna::Workspace bytes;
  lacuna::reserve_attend_pages(exec, lacuna::shape_of(problem), args.heads(), bytes);
  support::DeviceMemory scratch(bytes.used_bytes());
  args.scratch = scratch.workspace();
  auto const tickets = lacuna::attend_pages_tickets(lacuna::shape_of(problem), args.heads());
  support::DeviceArray<std::int32_t> d_tickets(std::vector<std::int32_t>(static_cast<std::size_t>(tickets), 0));
  if (with_tickets) args.tickets = lacuna::dense_view<std::int32_t, 1>(d_tickets.data(), {tickets});
  c.poison_answers();
  lacuna::Status const s = lacuna::attend_pages(exec, args);
  stream.wait();
  c.fetch();
  if (!scratch.guards_untouched()) return "scratch: written out of bounds";
  if (d_tickets.download() != std::vector<std::int32_t>(static_cast<std::size_t>(tickets), 0)) return "tickets left";
  return s.message;
}

template <class T>
void equals_the_oracle(Variant const& v) {
  std::vector<reference::Inputs> inputs;
  for (std::size_t b = 0; b < v.sequences.size(); ++b) {
    inputs.push_back(support::make_inputs<T>(v.sequences[b], v.data, 40 + b));
    inputs.back().window_tokens = v.window;
    inputs.back().soft_cap = v.cap;
    if (v.sinks)
      for (std::int64_t h = 0; h < inputs.back().heads_q; ++h)
        inputs.back().sink_logits.push_back(0.25 * static_cast<double>(h) - 1.0);
  }
  Sizes const& one = v.sequences[0];
  CAPTURE(one.len_q, one.len_k, one.heads_kv, one.group, one.dim, v.page_tokens, v.per_query_head, name_of(v.data),
          v.layout.page_tokens, v.window, v.cap, v.sinks);
  support::BatchCase<T> c(inputs, v.layout);
  std::int64_t const heads = v.per_query_head ? one.heads_kv * one.group : one.heads_kv;
  std::optional<BatchPages> kept;
  if (v.page_tokens > 0) kept.emplace(inputs, heads, v.page_tokens, 3);
  std::vector<T> first;
  for (bool tickets : {true, false}) {
    REQUIRE(attend(c, c.problem(), kept ? kept->index() : lacuna::PageIndex{}, tickets) == "");
    REQUIRE(c.nothing_else_was_written());
    for (std::size_t b = 0; b < inputs.size(); ++b) {
      auto const exact = reference::attend(inputs[b], [&](std::int64_t head, std::int64_t row) {
        if (!kept) return reference::dense_keys(inputs[b], row);
        return kept->keys(b, v.per_query_head ? head : inputs[b].head_kv(head), inputs[b].position(row));
      });
      CAPTURE(b, tickets);
      REQUIRE(support::explain_answer(c.answer(b), exact, v.data) == "");
    }
    if (first.empty()) first = c.out_bits();
    REQUIRE(c.out_bits() == first);  // however parts are merged
  }
}

template <class T>
void all_types(Variant const& v) {
  equals_the_oracle<T>(v);
}

TEST_CASE("cuda attend pages: every token of long and short sequences", "[cuda]") {
  for (std::int64_t dim : {64, 128, 256})
    for (std::int64_t group : {1, 4, 5, 8, 16}) {
      equals_the_oracle<lacuna::bfloat16>({{{1, 1, 2, group, dim}, {1, 3000, 2, group, dim}, {1, 17, 2, group, dim}}});
      equals_the_oracle<lacuna::half>({{{1, 130, 1, group, dim}}});
    }
  equals_the_oracle<lacuna::bfloat16>({{{1, 20000, 1, 4, 64}}});
}

TEST_CASE("cuda attend pages: lists of pages of any size, in caches of any page", "[cuda]") {
  for (std::int64_t page : {1, 4, 16, 24, 64})
    for (std::int64_t cache : {0, 1, 16, 48, 256})
      for (bool per_query_head : {false, true}) {
        Variant v{{{1, 333, 2, 4, 128}, {1, 16, 2, 4, 128}, {1, 1600, 2, 4, 128}}, page, per_query_head};
        v.layout.page_tokens = cache;
        v.layout.padding = 8;
        equals_the_oracle<lacuna::bfloat16>(v);
      }
  Variant v{{{1, 700, 3, 7, 256}, {1, 31, 3, 7, 256}}, 16, true};
  v.layout.heads_first = true;
  equals_the_oracle<lacuna::half>(v);
}

TEST_CASE("cuda attend pages: several queries of a step see what causality allows", "[cuda]") {
  for (std::int64_t page : {0, 16})
    for (std::int64_t queries : {2, 5, 8})
      equals_the_oracle<lacuna::bfloat16>(
          {{{queries, 300, 2, 4, 64}, {0, 40, 2, 4, 64}, {1, 200, 2, 4, 64}, {queries, queries, 2, 4, 64}}, page});
}

TEST_CASE("cuda attend pages: windows, caps and sinks", "[cuda]") {
  for (std::int64_t page : {0, 16})
    for (std::int64_t queries : {1, 3}) {
      Variant v{{{queries, 500, 2, 4, 128}, {queries, 20, 2, 4, 128}, {0, 0, 2, 4, 128}}, page};
      v.window = 100;
      equals_the_oracle<lacuna::bfloat16>(v);
      v.cap = 5.0;
      v.sinks = true;
      equals_the_oracle<lacuna::half>(v);
    }
}

TEST_CASE("cuda attend pages: tied, huge, NaN and infinite inputs", "[cuda]") {
  for (Data data : {Data::ties, Data::huge, Data::nan_key, Data::infinite_query})
    for (std::int64_t page : {0, 16}) equals_the_oracle<lacuna::bfloat16>({{{1, 1000, 2, 2, 64}}, page, false, data});
}

TEST_CASE("cuda attend pages: sequences without keys or queries", "[cuda]") {
  equals_the_oracle<lacuna::bfloat16>({{{0, 0, 2, 2, 64}, {1, 100, 2, 2, 64}, {0, 50, 2, 2, 64}}});
}

TEST_CASE("cuda attend pages: every head its own length", "[cuda]") {
  using T = lacuna::bfloat16;
  std::vector<reference::Inputs> inputs{support::make_inputs<T>({1, 900, 3, 4, 64}, Data::random, 1),
                                        support::make_inputs<T>({1, 640, 3, 4, 64}, Data::random, 2)};
  std::vector<std::int32_t> const lens{900, 1, 450, 0, 640, 33};
  support::BatchCase<T> c(inputs);
  support::DeviceArray<std::int32_t> d_lens(lens);
  auto problem = c.problem();
  problem.kv.lens = lacuna::dense_view<std::int32_t const, 2>(d_lens.data(), {2, 3});
  problem.max_len_k = 5000;
  REQUIRE(attend(c, problem, {}, true) == "");
  for (std::size_t b = 0; b < 2; ++b) {
    auto const exact = reference::attend(inputs[b], [&](std::int64_t head, std::int64_t) {
      reference::Keys keys;
      for (std::int64_t t = 0; t < lens[b * 3 + static_cast<std::size_t>(head / 4)]; ++t) keys.push_back(t);
      return keys;
    });
    CAPTURE(b);
    REQUIRE(support::explain_answer(c.answer(b), exact) == "");
  }
}

TEST_CASE("cuda attend pages: what the device cannot serve is refused", "[cuda]") {
  using T = lacuna::bfloat16;
  support::BatchCase<T> odd({support::make_inputs<T>({1, 40, 1, 2, 64}, Data::random, 1)}, {false, 3, 0});
  CHECK(attend(odd, odd.problem(), {}, true) ==
        "kv: on the device every row of k and v must begin at a multiple of 16 bytes");
  support::BatchCase<T> wide({support::make_inputs<T>({1, 40, 1, 2, 80}, Data::random, 1)});
  CHECK(attend(wide, wide.problem(), {}, true) == "attend_pages: dim must be 64, 128 or 256 on the device");
}

}  // namespace

// For the tests of whole methods, which do not compile it again (support/cuda_doors.hpp).
template lacuna::Status lacuna::attend_pages<lacuna::bfloat16>(lacuna::Cuda,
                                                               lacuna::AttendPagesBatchArgs<lacuna::bfloat16> const&);
