#include "lacuna/cost/model_cost.hpp"

#include <array>

#include "support/catch.hpp"

namespace {

using namespace lacuna;

// layers, query heads, KV heads, head size, hidden, MLP, vocabulary
constexpr ModelDims kQwen7B{28, 28, 4, 128, 3584, 18944, 152064};
constexpr ModelDims kQwen14B{48, 40, 8, 128, 5120, 13824, 152064};
constexpr ModelDims kQwen32B{64, 40, 8, 128, 5120, 27648, 152064};
constexpr ModelDims kQwen72B{80, 64, 8, 128, 8192, 29568, 152064};
constexpr ModelDims kGemma12B{48, 16, 8, 256, 3840, 15360, 262208, 40, 1024};
constexpr ModelDims kLlama8B{32, 32, 8, 128, 4096, 14336, 128256};

template <class F>
double qwen_mean(F const& f) {
  double sum = 0.0;
  for (ModelDims const& model : {kQwen7B, kQwen14B, kQwen32B, kQwen72B}) sum += f(model);
  return sum / 4.0;
}

constexpr std::array<std::int64_t, 3> kLengths{16384, 65536, 131072};
using Row = std::array<double, 3>;  // one value for each length

/// To three decimals: half a unit of the last one, and its own rounding.
void check_row(Row const& golden, double (*value)(std::int64_t), double decimals = 1e-3) {
  for (std::size_t i = 0; i < kLengths.size(); ++i) {
    CAPTURE(kLengths[i]);
    CHECK(value(kLengths[i]) == Approx(golden[i]).epsilon(0.0).margin(0.5001 * decimals));
  }
}

double attention_share(PrefillFlops const& flops) { return flops.attention() / flops.total(); }
double kv_share(DecodeReads const& reads) { return reads.kv / reads.total(); }

template <Accounting accounting>
double prefill_speedup(std::int64_t len) {
  return qwen_mean([&](ModelDims const& model) {
    return prefill_flops(model, len).total() / prefill_flops(model, len, 0.2, accounting).total();
  });
}
template <std::int64_t batch>
double mean_kv_share(std::int64_t len) {
  return qwen_mean([&](ModelDims const& model) { return kv_share(decode_reads(model, len, batch)); });
}
template <std::int64_t batch>
double decode_speedup(std::int64_t len) {
  return qwen_mean([&](ModelDims const& model) {
    return decode_reads(model, len, batch).total() / decode_reads(model, len, batch, 0.2).total();
  });
}

TEST_CASE("model cost: share of attention in prefill, mean of Qwen 2.5", "[cost][golden]") {
  check_row({.402, .677, .799}, [](std::int64_t len) {
    return qwen_mean([&](ModelDims const& model) { return attention_share(prefill_flops(model, len)); });
  });
  check_row({.292, .618, .762}, [](std::int64_t len) {
    return qwen_mean(
        [&](ModelDims const& model) { return prefill_flops(model, len).scores / prefill_flops(model, len).total(); });
  });
}

TEST_CASE("model cost: prefill speed-up at 5x, as published and exact", "[cost][golden]") {
  check_row({1.483, 2.204, 2.796}, prefill_speedup<Accounting::published>);
  check_row({1.310, 1.996, 2.586}, prefill_speedup<Accounting::exact>);
  check_row({1.31, 2.00, 2.59}, prefill_speedup<Accounting::exact>, 1e-2);
}

TEST_CASE("model cost: share of the cache in decode, mean of Qwen 2.5", "[cost][golden]") {
  check_row({.066, .217, .352}, mean_kv_share<1>);
  check_row({.352, .674, .802}, mean_kv_share<8>);
  check_row({.802, .941, .969}, mean_kv_share<64>);
}

TEST_CASE("model cost: decode speed-up at 5x", "[cost][golden]") {
  check_row({1.056, 1.215, 1.405}, decode_speedup<1>);
  check_row({1.405, 2.217, 2.842}, decode_speedup<8>);
  check_row({2.842, 4.060, 4.460}, decode_speedup<64>);
}

TEST_CASE("model cost: Qwen 14B and Gemma 12B with 8 global layers of 48", "[cost][golden]") {
  check_row({.503, .764, .861}, [](std::int64_t len) { return attention_share(prefill_flops(kQwen14B, len)); });
  check_row({.279, .421, .541}, [](std::int64_t len) { return attention_share(prefill_flops(kGemma12B, len)); });
  check_row({.479, .787, .880}, [](std::int64_t len) { return kv_share(decode_reads(kQwen14B, len, 8)); });
  check_row({.324, .612, .752}, [](std::int64_t len) { return kv_share(decode_reads(kGemma12B, len, 8)); });
}

TEST_CASE("model cost: totals of a batch of 64 at 128K", "[cost][golden]") {
  CHECK(64.0 * prefill_flops(kQwen7B, 131072).total() == Approx(5.6e17).epsilon(0.01));
  CHECK(64.0 * prefill_flops(kQwen72B, 131072).total() == Approx(4.1e18).epsilon(0.01));
  CHECK(decode_reads(kQwen7B, 131072, 64).total() == Approx(2.5e11).epsilon(0.01));
  CHECK(decode_reads(kQwen72B, 131072, 64).total() == Approx(1.45e12).epsilon(0.01));
}

TEST_CASE("model cost: Quest's index is 1/16 of the cache", "[cost][golden]") {
  double const dense = decode_reads(kLlama8B, 65536).kv;
  double const index = quest_index_reads(kLlama8B, 65536, 16);
  CHECK(index == dense / 16);
  auto const compression = [&](double density) {
    DecodeReads const reads = decode_reads(kLlama8B, 65536, 1, density, index);
    return dense / (reads.kv + reads.selection);
  };
  CHECK(compression(1.0 / 2) == Approx(1.78).margin(5e-3));
  CHECK(compression(1.0 / 5) == Approx(3.81).margin(5e-3));
  CHECK(compression(1.0 / 10) == Approx(6.15).margin(5e-3));
  CHECK(compression(1.0 / 20) == Approx(8.89).margin(5e-3));
  CHECK(compression(0.0) == 16.0);
}

TEST_CASE("model cost: Vertical-Slash selects for under 1 % of sparse prefill at 128K", "[cost][golden]") {
  double const index = vertical_slash_index_flops(kQwen7B, 131072, 256, 2048, 2048);
  double const by_hand = 28.0 * 28 * (2.0 * 128 * 131072 * 256 + 5.0 * 131072 * 256 + 2.0 * 131072 * 17 + 2048 * 4096);
  CHECK(index == Approx(by_hand).epsilon(1e-12));
  PrefillFlops const flops = prefill_flops(kQwen7B, 131072, 0.1, Accounting::exact, index);
  CHECK(flops.selection / flops.total() < 0.01);
  CHECK(flops.total() - flops.selection == Approx(prefill_flops(kQwen7B, 131072, 0.1).total()));
}

TEST_CASE("model cost: the other selections, term by term", "[cost]") {
  double const n = 16384;
  CHECK(flex_prefill_index_flops(kQwen7B, 16384, 512, 600, 700) ==
        Approx(vertical_slash_index_flops(kQwen7B, 16384, 512, 600, 700) + 28 * 28 * 2 * n));
  CHECK(block_sparse_index_flops(kQwen7B, 16384, 16) ==
        Approx(28 * 28 * (2 * n * 128 + 1024.0 * 1024 * 128 + 1024.0 * 1024 * 10 / 2)));
  CHECK(snap_kv_index_flops(kQwen7B, 16384, 256, 21) ==
        Approx(28 * (28 * (2.0 * 128 * n * 256 + 5 * n * 256) + 4 * (21 * n + n * 14))));
  CHECK(snap_kv_index_flops(kGemma12B, 16384, 256, 21) ==  // of the 8 layers that are made sparse
        Approx(8 * (16 * (2.0 * 256 * n * 256 + 5 * n * 256) + 8 * (21 * n + n * 14))));
}

TEST_CASE("model cost: sliding layers keep to their window and are never made sparse", "[cost]") {
  double const n = 16384, of_square = 16 * (4.0 * 256 + 3);
  CHECK(prefill_flops(kGemma12B, 16384, 0.2).scores == Approx(of_square * (8 * 0.2 * n * n + 40 * n * 1024)));
  CHECK(decode_reads(kGemma12B, 16384, 1, 0.2).kv == Approx(2.0 * 256 * 8 * (8 * 0.2 * n + 40 * 1024)));
  CHECK(decode_reads(kGemma12B, 500).kv == Approx(2.0 * 256 * 8 * 48 * 500));
  double const projections = prefill_flops(kGemma12B, 16384).projections;
  CHECK(prefill_flops(kGemma12B, 16384, 0.2).projections == projections);
  CHECK(prefill_flops(kGemma12B, 16384, 0.2, Accounting::published).projections ==
        Approx(projections * (40 + 8 * 0.2) / 48));
}

static_assert(prefill_flops(kLlama8B, 1024).total() > 0.0 && decode_reads(kLlama8B, 1024).total() > 0.0);

}  // namespace
