#include <cmath>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "lacuna/kernels/attend_pages.hpp"
#include "lacuna/kernels/bound_scores.hpp"
#include "lacuna/kernels/page_bounds.hpp"
#include "reference/attention.hpp"
#include "support/batch_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/inputs.hpp"
#include "support/random.hpp"

namespace {

using lacuna::e4m3;
using support::Sizes;

/// The library's conversion is tested in tests/core; here the format's own definition.
double value_of(e4m3 x) {
  int const exponent = (x.bits >> 3) & 15, significand = x.bits & 7;
  double const magnitude = exponent == 0 ? std::ldexp(significand, -9) : std::ldexp(8 + significand, exponent - 10);
  return (x.bits & 0x80) != 0 ? -magnitude : magnitude;
}

/// A batch whose keys and values are e4m3 times a scale of their head, in one run of rows or in shuffled pages.
template <class T>
struct EightBits {
  static constexpr std::int64_t kPadding = 16;
  std::vector<reference::Inputs> inputs;
  std::vector<float> k_scales, v_scales;
  std::int64_t heads, dim, row, page_tokens;  // 0: not paged
  std::vector<std::int32_t> first, table;
  std::int64_t pages_each = 0;
  std::vector<e4m3> k, v;
  std::optional<support::DeviceArray<e4m3>> d_k, d_v;
  std::optional<support::DeviceArray<float>> d_k_scales, d_v_scales;
  std::optional<support::DeviceArray<std::int32_t>> d_first, d_table;
  std::optional<support::BatchCase<T>> c;

  EightBits(std::vector<Sizes> const& sequences, std::int64_t page_tokens, std::int64_t window, double cap)
      : heads(sequences[0].heads_kv), dim(sequences[0].dim), row(dim + kPadding), page_tokens(page_tokens) {
    for (std::int64_t h = 0; h < heads; ++h) {
      k_scales.push_back(0.013F * static_cast<float>(h + 1));
      v_scales.push_back(0.007F * static_cast<float>(3 * h + 1));
    }
    std::int64_t tokens = 0, longest = 1;
    for (std::size_t b = 0; b < sequences.size(); ++b) {
      auto& in = inputs.emplace_back(support::make_inputs<T>(sequences[b], support::Data::random, 60 + b));
      in.window_tokens = window;
      in.soft_cap = cap;
      first.push_back(static_cast<std::int32_t>(tokens));
      tokens += in.len_k;
      longest = std::max(longest, in.len_k);
    }
    if (page_tokens > 0) {
      pages_each = (longest + page_tokens - 1) / page_tokens;
      std::int64_t const all = pages_each * static_cast<std::int64_t>(inputs.size());
      for (std::int64_t p = 0; p < all; ++p) table.push_back(static_cast<std::int32_t>((p * 7919 + 3) % all));
      if (std::gcd(std::int64_t{7919}, all) != 1) throw std::logic_error("pages: another factor, please");
      tokens = all * page_tokens;
    }
    k.assign(static_cast<std::size_t>(tokens * heads * row), {0x7e});  // 448 wherever nobody may look
    v = k;
    for (std::size_t b = 0; b < inputs.size(); ++b)
      for (std::int64_t t = 0; t < inputs[b].len_k; ++t)
        for (std::int64_t h = 0; h < heads; ++h)
          for (std::int64_t x = 0; x < dim; ++x) {
            auto const place = [&](std::vector<double>& values, float scale, std::vector<e4m3>& to) {
              double& value = values[static_cast<std::size_t>((t * heads + h) * dim + x)];
              e4m3 const code = lacuna::quantise(static_cast<float>(value) / scale);
              value = value_of(code) * scale;
              to[static_cast<std::size_t>(at(b, h, t) + x)] = code;
            };
            place(inputs[b].k, k_scales[static_cast<std::size_t>(h)], k);
            place(inputs[b].v, v_scales[static_cast<std::size_t>(h)], v);
          }
    d_k.emplace(k), d_v.emplace(v), d_k_scales.emplace(k_scales), d_v_scales.emplace(v_scales);
    d_first.emplace(first);
    if (page_tokens > 0) d_table.emplace(table);
    c.emplace(inputs);
  }

  std::int64_t at(std::size_t b, std::int64_t h, std::int64_t t) const {
    if (page_tokens == 0) return ((first[b] + t) * heads + h) * row;
    std::int64_t const page =
        table[b * static_cast<std::size_t>(pages_each) + static_cast<std::size_t>(t / page_tokens)];
    return ((page * heads + h) * page_tokens + t % page_tokens) * row;
  }
  lacuna::BatchKv<T> where(lacuna::BatchKv<T> kv) const {
    kv.k = kv.v = nullptr;
    kv.first_token = page_tokens == 0 ? d_first->data() : nullptr;
    kv.stride_token = page_tokens == 0 ? heads * row : row;
    kv.stride_head = page_tokens == 0 ? row : page_tokens * row;
    kv.stride_page = heads * page_tokens * row;
    kv.page_tokens = page_tokens;
    if (page_tokens > 0)
      kv.page_table = {
          d_table->data(), {static_cast<std::int64_t>(inputs.size()), heads, pages_each}, {pages_each, 0, 1}};
    return kv;
  }
  lacuna::TensorView<float const, 1> k_scales_view() const {
    return lacuna::dense_view<float const, 1>(d_k_scales->data(), {heads});
  }
};

template <class T>
void equals_the_oracle(std::vector<Sizes> const& sequences, std::int64_t listed_pages, std::int64_t cache_page,
                       std::int64_t window = 0, double cap = 0.0) {
  CAPTURE(sequences[0].dim, sequences[0].group, sequences[0].len_q, listed_pages, cache_page, window, cap);
  EightBits<T> e(sequences, cache_page, window, cap);
  // Every other page, and the last.
  std::int64_t room = 1;
  for (auto const& in : e.inputs)
    if (listed_pages > 0) room = std::max(room, in.len_k / listed_pages + 1);
  std::vector<std::int32_t> ids, counts;
  auto const listed = [&](reference::Inputs const& in, std::int64_t page) {
    return page % 2 == 0 || page == (in.len_k - 1) / listed_pages;
  };
  for (auto const& in : e.inputs)
    for (std::int64_t h = 0; h < e.heads && listed_pages > 0; ++h) {
      std::int32_t count = 0;
      ids.resize(counts.size() * static_cast<std::size_t>(room), -7);
      for (std::int64_t page = 0; page * listed_pages < in.len_k; ++page)
        if (listed(in, page)) ids.push_back(static_cast<std::int32_t>(page)), ++count;
      counts.push_back(count);
    }
  ids.resize(std::max<std::size_t>(counts.size() * static_cast<std::size_t>(room), 1), -7);
  support::DeviceArray<std::int32_t> const d_ids(ids), d_counts(counts.empty() ? std::vector<std::int32_t>{0} : counts);

  lacuna::AttendFp8PagesBatchArgs<T> args;
  args.pages.problem = e.c->problem();
  args.pages.problem.kv = e.where(args.pages.problem.kv);
  args.pages.out = e.c->out();
  auto const rows = static_cast<std::int64_t>(counts.size());
  if (listed_pages > 0)
    args.pages.index = {lacuna::dense_view<std::int32_t, 2>(d_ids.data(), {rows, room}),
                        lacuna::dense_view<std::int32_t, 1>(d_counts.data(), {rows}),
                        {},
                        listed_pages};
  args.k = e.d_k->data();
  args.v = e.d_v->data();
  args.k_scales = e.k_scales_view();
  args.v_scales = lacuna::dense_view<float const, 1>(e.d_v_scales->data(), {e.heads});
  lacuna::BatchShape const shape = lacuna::shape_of(args.pages.problem);
  lacuna::Workspace bytes;
  support::Stream stream;
  lacuna::reserve_attend_pages(lacuna::Cuda{stream}, shape, e.heads, bytes);
  support::DeviceMemory scratch(bytes.used_bytes());
  args.pages.scratch = scratch.workspace();
  std::int64_t const tickets = lacuna::attend_pages_tickets(shape, e.heads);
  support::DeviceArray<std::int32_t> d_tickets(std::vector<std::int32_t>(static_cast<std::size_t>(tickets), 0));
  for (bool with_tickets : {true, false}) {
    args.pages.tickets.data = nullptr;
    if (with_tickets) args.pages.tickets = lacuna::dense_view<std::int32_t, 1>(d_tickets.data(), {tickets});
    e.c->poison_answers();
    REQUIRE(std::string(lacuna::attend_pages(lacuna::Cuda{stream}, args).message) == "");
    stream.wait();
    e.c->fetch();
    REQUIRE((scratch.guards_untouched() && e.c->nothing_else_was_written()));
    for (std::size_t b = 0; b < e.inputs.size(); ++b) {
      auto const& in = e.inputs[b];
      auto const exact = reference::attend(in, [&](std::int64_t, std::int64_t row) {
        reference::Keys keys;
        for (std::int64_t t = 0; t <= in.position(row); ++t)
          if (listed_pages == 0 || listed(in, t / listed_pages)) keys.push_back(t);
        return keys;
      });
      CAPTURE(b, with_tickets);
      REQUIRE(support::explain_answer(e.c->answer(b), exact) == "");
    }
  }
}

TEST_CASE("cuda attend pages, eight bits: every dim, group and type, long rows and short", "[cuda]") {
  for (std::int64_t dim : {64, 128, 256})
    for (std::int64_t group : {1, 4, 5, 8, 16}) {
      equals_the_oracle<lacuna::bfloat16>({{1, 1, 2, group, dim}, {1, 3000, 2, group, dim}, {1, 17, 2, group, dim}}, 0,
                                          0);
      equals_the_oracle<lacuna::half>({{1, 130, 1, group, dim}}, 0, 16);
    }
}

TEST_CASE("cuda attend pages, eight bits: lists, caches, queries, windows and caps", "[cuda]") {
  for (std::int64_t listed : {0, 1, 16, 24})
    for (std::int64_t cache : {0, 16, 48})
      equals_the_oracle<lacuna::bfloat16>({{1, 333, 2, 4, 128}, {1, 16, 2, 4, 128}}, listed, cache);
  equals_the_oracle<lacuna::half>({{3, 300, 2, 4, 64}, {0, 40, 2, 4, 64}, {1, 200, 2, 4, 64}}, 16, 16);
  equals_the_oracle<lacuna::bfloat16>({{2, 500, 2, 4, 128}}, 16, 16, 100);
  equals_the_oracle<lacuna::bfloat16>({{1, 500, 2, 4, 256}}, 0, 16, 0, 5.0);
}

TEST_CASE("cuda page bounds, eight bits: exact without the scale, which scores take up", "[cuda]") {
  using T = lacuna::bfloat16;
  for (std::int64_t dim : {64, 128, 256})
    for (std::int64_t cache : {0, 16, 24}) {
      CAPTURE(dim, cache);
      EightBits<T> e({{1, 300, 2, 4, dim}, {1, 49, 2, 4, dim}}, cache, 0, 0.0);
      std::int64_t const pages = 19;
      support::DeviceArray<T> const bounds(static_cast<std::size_t>(2 * 2 * pages * 2 * dim));
      auto const problem = e.c->problem();
      lacuna::PageBoundsBatchArgs<T> const where{
          e.where(problem.kv), 2, 300, 300, lacuna::dense_view<T, 5>(bounds.data(), {2, 2, pages, 2, dim}), 16};
      support::Stream stream;
      REQUIRE(
          std::string(lacuna::page_bounds(lacuna::Cuda{stream}, lacuna::Fp8PageBoundsBatchArgs<T>{where, e.d_k->data()})
                          .message) == "");
      support::DeviceArray<float> const scores(static_cast<std::size_t>(4 * pages));
      lacuna::BoundScoresBatchArgs<T> args;
      args.problem = problem;
      args.bounds = lacuna::dense_view<T const, 5>(bounds.data(), {2, 2, pages, 2, dim});
      args.page_tokens = 16;
      args.scores = lacuna::dense_view<float, 2>(scores.data(), {4, pages});
      args.k_scales = {e.d_k_scales->data(), {1}, {1}};
      REQUIRE(std::string(args.check().message) == "bound_scores: k_scales must be null or [heads_kv], dense");
      args.k_scales = e.k_scales_view();
      REQUIRE(std::string(lacuna::bound_scores(lacuna::Cuda{stream}, args).message) == "");
      stream.wait();
      auto const got = bounds.download();
      auto const got_scores = scores.download();
      for (std::size_t b = 0; b < 2; ++b)
        for (std::int64_t h = 0; h < 2; ++h)
          for (std::int64_t page = 0; page * 16 < e.inputs[b].len_k; ++page) {
            std::int64_t const end = std::min<std::int64_t>(page * 16 + 16, e.inputs[b].len_k);
            double score = 0.0, spread = 0.0;
            for (std::int64_t x = 0; x < dim; ++x) {
              double low = INFINITY, high = -INFINITY;
              for (std::int64_t t = page * 16; t < end; ++t) {
                double const key = value_of(e.k[static_cast<std::size_t>(e.at(b, h, t) + x)]);
                low = std::min(low, key), high = std::max(high, key);
              }
              std::size_t const place =
                  static_cast<std::size_t>((((static_cast<std::int64_t>(b) * 2 + h) * pages + page) * 2) * dim + x);
              REQUIRE(lacuna::to_float(got[place]) == low);
              REQUIRE(lacuna::to_float(got[place + static_cast<std::size_t>(dim)]) == high);
              for (std::int64_t g = 0; g < 4; ++g) {
                double const q = e.inputs[b].query(0, h * 4 + g)[x];
                score += std::max(q * low, q * high);
                spread += std::max(std::abs(q * low), std::abs(q * high));
              }
            }
            if (end == e.inputs[b].len_k) continue;  // the newest token's page is not scored
            double const scale = e.k_scales[static_cast<std::size_t>(h)];
            double const found = got_scores[(b * 2 + static_cast<std::size_t>(h)) * static_cast<std::size_t>(pages) +
                                            static_cast<std::size_t>(page)];
            CAPTURE(b, h, page, found, score * scale);
            REQUIRE(std::abs(found - score * scale) <= 1e-5 * spread * scale);
          }
    }
}

TEST_CASE("cuda append kv, eight bits: rows stand at the end and their pages are bounded", "[cuda]") {
  using T = lacuna::half;
  for (std::int64_t cache : {0, 16}) {
    EightBits<T> e({{1, 300, 2, 1, 128}, {1, 49, 2, 1, 128}}, cache, 0, 0.0);
    std::vector<e4m3> new_k, new_v;
    for (std::uint32_t i = 0; i < 2 * 2 * 128; ++i) {
      new_k.push_back({static_cast<std::uint8_t>(i * 37 % 0x7f | (i % 2 << 7))});
      new_v.push_back({static_cast<std::uint8_t>(i * 11 % 0x7f)});
    }
    support::DeviceArray<e4m3> const d_new_k(new_k), d_new_v(new_v);
    support::DeviceArray<T> const appended(static_cast<std::size_t>(2 * 2 * 19 * 2 * 128)), whole(appended.size());
    auto const bounds_of = [](support::DeviceArray<T> const& to) {
      return lacuna::dense_view<T, 5>(to.data(), {2, 2, 19, 2, 128});
    };
    auto const kv = e.where(e.c->problem().kv);
    auto const fresh = [](support::DeviceArray<e4m3> const& rows) {
      return lacuna::dense_view<e4m3 const, 3>(rows.data(), {2, 2, 128});
    };
    lacuna::AppendFp8KvBatchArgs<T> const args{
        {kv, 2, 300, 1, bounds_of(appended), 16}, e.d_k->data(), e.d_v->data(), fresh(d_new_k), fresh(d_new_v)};
    support::Stream stream;
    lacuna::Cuda const exec{stream};
    REQUIRE(std::string(lacuna::append_kv(exec, args).message) == "");
    lacuna::Fp8PageBoundsBatchArgs<T> const all{{kv, 2, 300, 300, bounds_of(whole), 16}, e.d_k->data()};
    REQUIRE(std::string(lacuna::page_bounds(exec, all).message) == "");
    stream.wait();
    for (std::size_t b = 0; b < 2; ++b)
      for (std::int64_t h = 0; h < 2; ++h)
        for (std::int64_t x = 0; x < 128; ++x) {
          auto const to = static_cast<std::size_t>(e.at(b, h, e.inputs[b].len_k - 1) + x);
          auto const from = (b * 2 + static_cast<std::size_t>(h)) * 128 + static_cast<std::size_t>(x);
          e.k[to] = new_k[from], e.v[to] = new_v[from];
        }
    REQUIRE(e.d_k->download() == e.k);  // the new rows, and nothing else
    REQUIRE(e.d_v->download() == e.v);
    auto const updated = appended.download(), rebuilt = whole.download();
    for (std::size_t b = 0; b < 2; ++b)
      for (std::size_t h = 0; h < 2; ++h) {
        auto const page = static_cast<std::size_t>((e.inputs[b].len_k - 1) / 16);
        std::size_t const place = ((b * 2 + h) * 19 + page) * 256;
        for (std::size_t i = 0; i < 256; ++i) REQUIRE(support::same_bits(updated[place + i], rebuilt[place + i]));
      }
    lacuna::AppendFp8KvBatchArgs<T> odd = args;
    odd.cache.kv.stride_token += 2;
    REQUIRE(std::string(lacuna::append_kv(exec, odd).message) ==
            "page_bounds: rows of eight bits must begin at multiples of 8 and have 8, 16, ... 256 channels");
    odd = args;
    odd.v = nullptr;
    REQUIRE(std::string(lacuna::append_kv(exec, odd).message) == "append_kv: k and v must not be null");
  }
}

TEST_CASE("cuda attend pages, eight bits: what does not fit is refused", "[cuda]") {
  using T = lacuna::bfloat16;
  EightBits<T> e({{1, 40, 1, 2, 64}}, 0, 0, 0.0);
  lacuna::AttendFp8PagesBatchArgs<T> args;
  args.pages.problem = e.c->problem();
  args.pages.problem.kv = e.where(args.pages.problem.kv);
  args.pages.out = e.c->out();
  args.k = args.v = e.d_k->data();
  args.k_scales = e.k_scales_view();
  lacuna::Cuda const exec{};
  CHECK(std::string(lacuna::attend_pages(exec, args).message) ==
        "attend_pages: scales of eight-bit rows must be [heads_kv], dense");
  args.v_scales = args.k_scales;
  args.pages.problem.kv.stride_token += 8;
  CHECK(std::string(lacuna::attend_pages(exec, args).message) ==
        "kv: on the device every row of k and v must begin at a multiple of 16 bytes");
  args.k = nullptr;
  CHECK(std::string(lacuna::attend_pages(exec, args).message) == "batch_problem: k, v and lens must not be null");
}

}  // namespace
