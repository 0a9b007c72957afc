#include "lacuna/kernels/page_bounds.hpp"

#include <cmath>
#include <vector>

#include "support/batch_case.hpp"
#include "support/catch.hpp"
#include "support/inputs.hpp"

namespace {

using support::Data;

template <class T>
struct Cache {
  static constexpr std::int64_t heads_kv = 2;
  std::int64_t dim, page_tokens, pages;
  std::vector<reference::Inputs> inputs;
  support::BatchCase<T> c;
  support::DeviceArray<T> bounds;

  Cache(std::int64_t dim, std::int64_t page_tokens, std::int64_t cache_page, Data data)
      : dim(dim),
        page_tokens(page_tokens),
        pages((300 + page_tokens - 1) / page_tokens),
        inputs(make(dim, data)),
        c(inputs, {false, 0, cache_page}),
        bounds(static_cast<std::size_t>(3 * heads_kv * pages * 2 * dim)) {}
  static std::vector<reference::Inputs> make(std::int64_t dim, Data data) {
    std::vector<reference::Inputs> all;
    for (std::int64_t len : {300, 1, 49}) all.push_back(support::make_inputs<T>({1, len, 2, 1, dim}, data, 5));
    return all;
  }
  lacuna::PageBoundsBatchArgs<T> args(std::int64_t new_tokens) const {
    return {c.problem().kv, 3, 300, new_tokens, lacuna::dense_view<T, 5>(bounds.data(), {3, heads_kv, pages, 2, dim}),
            page_tokens};
  }
  void check_pages(std::int64_t new_tokens) {
    auto const got = bounds.download();
    support::DeviceArray<T> const untouched(std::size_t{1});
    T const poison = untouched.download()[0];
    for (std::size_t b = 0; b < 3; ++b)
      for (std::int64_t h = 0; h < heads_kv; ++h)
        for (std::int64_t page = 0; page < pages; ++page)
          for (std::int64_t x = 0; x < dim; ++x) {
            auto const& in = inputs[b];
            double low = INFINITY, high = -INFINITY;
            bool nan = false;
            for (std::int64_t t = page * page_tokens; t < std::min((page + 1) * page_tokens, in.len_k); ++t) {
              double const key = in.key(t, h)[x];
              nan = nan || std::isnan(key);
              low = std::min(low, key);
              high = std::max(high, key);
            }
            std::size_t const at = static_cast<std::size_t>(
                (((static_cast<std::int64_t>(b) * heads_kv + h) * pages + page) * 2) * dim + x);
            bool const touched = (page + 1) * page_tokens > std::max<std::int64_t>(0, in.len_k - new_tokens) &&
                                 page * page_tokens < in.len_k;
            float const got_low = lacuna::to_float(got[at]),
                        got_high = lacuna::to_float(got[at + static_cast<std::size_t>(dim)]);
            bool const right = !touched ? support::same_bits(got[at], poison)
                               : nan    ? std::isnan(got_low) && std::isnan(got_high)
                                        : got_low == low && got_high == high;
            if (right) continue;
            CAPTURE(b, h, page, x, got_low, low, got_high, high, touched);
            REQUIRE(right);
          }
    REQUIRE(bounds.guards_untouched());
  }
};

template <class T>
void builds(std::int64_t dim, std::int64_t page_tokens, std::int64_t cache_page, Data data, std::int64_t new_tokens) {
  CAPTURE(dim, page_tokens, cache_page, new_tokens);
  Cache<T> cache(dim, page_tokens, cache_page, data);
  support::Stream stream;
  REQUIRE(std::string(lacuna::page_bounds(lacuna::Cuda{stream}, cache.args(new_tokens)).message) == "");
  stream.wait();
  cache.check_pages(new_tokens);
}

TEST_CASE("cuda page bounds: minimum and maximum of every page, wherever it lies", "[cuda]") {
  for (std::int64_t new_tokens : {300, 1, 20})
    for (std::int64_t cache_page : {0, 16, 48}) {
      builds<lacuna::bfloat16>(128, 16, cache_page, Data::random, new_tokens);
      builds<lacuna::half>(64, 7, cache_page, Data::nan_key, new_tokens);
      builds<lacuna::bfloat16>(256, 32, cache_page, Data::nan_key, new_tokens);
    }
}

TEST_CASE("cuda append kv: new rows stand at the end and their pages are bounded", "[cuda]") {
  using T = lacuna::bfloat16;
  for (std::int64_t cache_page : {0, 16})
    for (bool with_bounds : {true, false}) {
      Cache<T> cache(128, 16, cache_page, Data::random);
      auto const problem = cache.c.problem();
      // New tokens: 19 of the first sequence, one of the second, none of the third.
      std::vector<std::int32_t> const cu_new{0, 19, 20, 20};
      std::vector<T> new_k, new_v;
      for (std::size_t b = 0; b < 2; ++b)
        for (std::int64_t i = 0; i < (b == 0 ? 19 : 1); ++i)
          for (std::int64_t h = 0; h < 2; ++h)
            for (std::int64_t x = 0; x < 128; ++x) {
              auto& in = cache.inputs[b];
              std::int64_t const t = in.len_k - (b == 0 ? 19 : 1) + i;
              std::size_t const at = static_cast<std::size_t>((t * 2 + h) * 128 + x);
              in.k[at] = support::round_to<T>(-2.0 * in.k[at] + 1.0);
              in.v[at] = support::round_to<T>(-2.0 * in.v[at] + 1.0);
              new_k.push_back(support::stored<T>(in.k[at]));
              new_v.push_back(support::stored<T>(in.v[at]));
            }
      support::DeviceArray<T> d_k(new_k), d_v(new_v);
      support::DeviceArray<std::int32_t> d_cu(cu_new);
      lacuna::AppendKvBatchArgs<T> args;
      args.cache = cache.args(19);
      if (!with_bounds) args.cache.bounds.data = nullptr;
      args.k = const_cast<T*>(problem.kv.k);
      args.v = const_cast<T*>(problem.kv.v);
      args.new_k = lacuna::dense_view<T const, 3>(d_k.data(), {20, 2, 128});
      args.new_v = lacuna::dense_view<T const, 3>(d_v.data(), {20, 2, 128});
      args.cu_new = d_cu.data();
      support::Stream stream;
      REQUIRE(std::string(lacuna::append_kv(lacuna::Cuda{stream}, args).message) == "");
      stream.wait();
      if (with_bounds) {
        // The third sequence's bounds were never made: make them like the others'.
        args.cu_new = nullptr;
        REQUIRE(std::string(lacuna::page_bounds(lacuna::Cuda{stream}, cache.args(300)).message) == "");
        stream.wait();
        auto const whole = cache.bounds.download();
        cache.bounds.poison();
        args.cu_new = d_cu.data();
        REQUIRE(std::string(lacuna::append_kv(lacuna::Cuda{stream}, args).message) == "");
        stream.wait();
        auto const updated = cache.bounds.download();
        std::size_t const head = static_cast<std::size_t>(cache.pages * 2 * 128);
        for (std::size_t e = 0; e < 2 * head; ++e) {
          std::size_t const page = e % head / 256;
          if (page >= 281 / 16 && page < 19) REQUIRE(support::same_bits(updated[e], whole[e]));
        }
        cache.bounds.poison();
        REQUIRE(std::string(lacuna::page_bounds(lacuna::Cuda{stream}, cache.args(300)).message) == "");
      } else {
        REQUIRE(std::string(lacuna::page_bounds(lacuna::Cuda{stream}, cache.args(300)).message) == "");
      }
      stream.wait();
      cache.check_pages(300);  // against the changed inputs: the keys are where they belong
    }
}

}  // namespace
